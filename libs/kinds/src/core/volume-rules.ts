/** Rules for the volumes of a pod. */
import type {
  CSIVolumeSource,
  EphemeralVolumeSource,
  GitRepoVolumeSource,
  ImageVolumeSource,
  KeyToPath,
  Volume,
} from "@pilothouse/api/types/core-v1";
import { checkDns1123Label, checkDns1123Subdomain } from "@pilothouse/selectors/names";
import { duplicate, forbidden, invalid, invalidEach, oneOf, required } from "../field-errors.ts";
import type { FieldErrors } from "../field-errors.ts";
import { templateMetaRules } from "../meta.ts";
import { claimSpecRules } from "./claim-rules.ts";
import { downwardFileRules, itemsRules } from "./file-rules.ts";
import { localPathRules, modeRules } from "./path-rules.ts";
import { projectedRules } from "./projected-rules.ts";
import { quantityOf } from "./resource-rules.ts";
import {
  commonSourceRules,
  csiDriverNameRules,
  ISCSI_TOO_LONG,
  iscsiRules,
  isTooLongForIscsi,
} from "./volume-source-rules.ts";

/** What the rules need to know of whose volumes they are. */
export interface VolumeOwner {
  /** Of the pod; undefined in a template, whose pods get their names later. */
  readonly podName: string | undefined;
}

/** In upstream's order: of several, the first is taken. */
const SOURCES = [
  "emptyDir",
  "hostPath",
  "gitRepo",
  "gcePersistentDisk",
  "awsElasticBlockStore",
  "secret",
  "nfs",
  "iscsi",
  "glusterfs",
  "flocker",
  "persistentVolumeClaim",
  "rbd",
  "cinder",
  "cephfs",
  "quobyte",
  "downwardAPI",
  "fc",
  "flexVolume",
  "configMap",
  "azureFile",
  "vsphereVolume",
  "photonPersistentDisk",
  "portworxVolume",
  "azureDisk",
  "storageos",
  "projected",
  "scaleIO",
  "csi",
  "ephemeral",
  "image",
] as const satisfies readonly (keyof Volume)[];

/** Upstream misspells them where there is more than one source. */
const MISSPELT: Readonly<Record<string, string>> = { cephfs: "cephFS", downwardAPI: "downwarAPI" };

export function* volumesRules(volumes: readonly Volume[], owner: VolumeOwner, path: string): FieldErrors {
  const made = new Set(
    volumes.filter(({ ephemeral }) => ephemeral).map(({ name }) => `${owner.podName ?? ""}-${name}`),
  );
  const names = new Set<string>();
  for (const [index, volume] of volumes.entries()) {
    const at = `${path}[${index}]`;
    const errors = [...volumeRules(volume, owner, at)];
    if (names.has(volume.name)) errors.push(duplicate(`${at}.name`, volume.name));
    if (errors.length === 0) names.add(volume.name);
    yield* errors;
    const claim = volume.persistentVolumeClaim?.claimName;
    if (owner.podName && claim !== undefined && made.has(claim)) {
      const detail = "must not reference a PVC that gets created for an ephemeral volume";
      yield invalid(`${at}.persistentVolumeClaim.claimName`, claim, detail);
    }
  }
}

/** Those with nothing wrong: to mount another one is to mount what is not there. */
export function soundVolumes(volumes: readonly Volume[], owner: VolumeOwner): readonly Volume[] {
  return volumes.filter((volume) => volumeRules(volume, owner, "").next().done === true);
}

function* volumeRules(volume: Volume, owner: VolumeOwner, path: string): FieldErrors {
  const [first, ...others] = SOURCES.filter((source) => volume[source] !== undefined);
  if (first) yield* sourceRules(first, volume, owner, path);
  else yield required(path, "must specify a volume type");
  for (const other of others) {
    yield forbidden(`${path}.${MISSPELT[other] ?? other}`, "may not specify more than 1 volume type");
  }
  if (!volume.name) yield required(`${path}.name`);
  else yield* invalidEach(`${path}.name`, volume.name, checkDns1123Label(volume.name));
}

function* sourceRules(source: string, volume: Volume, owner: VolumeOwner, path: string): FieldErrors {
  yield* commonSourceRules(source, volume, path);
  const { emptyDir, secret, configMap, downwardAPI, projected, persistentVolumeClaim: claim } = volume;
  const { csi, ephemeral, gitRepo, image, iscsi } = volume;
  const at = `${path}.${source}`;
  const limit = quantityOf(emptyDir?.sizeLimit);
  if (limit && limit.nanos < 0n) {
    yield forbidden(`${at}.sizeLimit`, "SizeLimit field must be a valid resource quantity");
  }
  if (secret && !secret.secretName) yield required(`${at}.secretName`);
  if (secret) yield* filesRules(secret, at);
  if (configMap && !configMap.name) yield required(`${at}.name`);
  if (configMap) yield* filesRules(configMap, at);
  if (claim && !claim.claimName) yield required(`${at}.claimName`);
  if (downwardAPI) {
    yield* modeRules(downwardAPI.defaultMode, `${at}.defaultMode`);
    for (const file of downwardAPI.items ?? []) yield* downwardFileRules(file, at);
  }
  if (projected) yield* projectedRules(projected, at);
  if (gitRepo) yield* gitRules(gitRepo, at);
  if (iscsi) {
    yield* iscsiRules(iscsi, at, "pod");
    if (isTooLongForIscsi(volume.name, iscsi)) yield invalid(`${path}.name`, volume.name, ISCSI_TOO_LONG);
  }
  if (csi) yield* csiRules(csi, at);
  if (ephemeral) yield* ephemeralRules(ephemeral, volume.name, owner, path);
  if (image) yield* imageRules(image, owner, at);
}

function* filesRules(source: { items?: KeyToPath[]; defaultMode?: number }, path: string): FieldErrors {
  yield* modeRules(source.defaultMode, `${path}.defaultMode`);
  yield* itemsRules(source.items, path);
}

function* gitRules({ repository, directory = "" }: GitRepoVolumeSource, path: string): FieldErrors {
  if (!repository) yield required(`${path}.repository`);
  yield* localPathRules(directory, `${path}.directory`);
}

function* csiRules({ driver = "", nodePublishSecretRef: secret }: Partial<CSIVolumeSource>, path: string): FieldErrors {
  yield* csiDriverNameRules(driver, `${path}.driver`);
  if (!secret) return;
  if (!secret.name) yield required(`${path}.nodePublishSecretRef.name`);
  else yield* invalidEach(`${path}.name`, secret.name, checkDns1123Subdomain(secret.name));
}

function* ephemeralRules(
  { volumeClaimTemplate: template }: EphemeralVolumeSource,
  volumeName: string,
  { podName }: VolumeOwner,
  path: string,
): FieldErrors {
  const at = `${path}.ephemeral.volumeClaimTemplate`;
  if (!template) yield required(at);
  else {
    yield* templateMetaRules(template.metadata, `${at}.metadata`);
    for (const field of Object.keys(template.metadata ?? {})) {
      if (field !== "labels" && field !== "annotations") yield forbidden(`${at}.metadata.${field}`, "cannot be set");
    }
    yield* claimSpecRules(template.spec ?? {}, `${at}.spec`);
  }
  if (!podName || !volumeName) return;
  const claim = `${podName}-${volumeName}`;
  for (const text of checkDns1123Subdomain(claim)) {
    yield invalid(`${path}.name`, volumeName, `PVC name ${JSON.stringify(claim)}: ${text}`);
  }
}

/** A template may leave the image to whoever makes the pod. */
function* imageRules({ reference, pullPolicy }: ImageVolumeSource, owner: VolumeOwner, path: string): FieldErrors {
  if (owner.podName !== undefined && !reference) yield required(`${path}.reference`);
  yield* oneOf(`${path}.pullPolicy`, pullPolicy, ["Always", "IfNotPresent", "Never"]);
}
