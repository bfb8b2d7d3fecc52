/** Rules for the volumes of a pod. */
import type {
  DownwardAPIVolumeFile,
  KeyToPath,
  ProjectedVolumeSource,
  ServiceAccountTokenProjection,
  Volume,
} from "@pilothouse/api/types/core-v1";
import { checkConfigMapKey, checkDns1123Label } from "@pilothouse/selectors/names";
import { duplicate, forbidden, invalid, invalidEach, notSupported, required } from "../field-errors.ts";
import type { FieldErrors } from "../field-errors.ts";
import { fieldRefRules, resourceFieldRules } from "./reference-rules.ts";

const MAX_FILE_MODE = 0o777;
const BAD_MODE = "must be a number between 0 and 0777 (octal), both inclusive";

/** Ten minutes: a token that expires sooner could not be renewed in time. */
const MIN_TOKEN_SECONDS = 600;
const MAX_TOKEN_SECONDS = 2 ** 32;

const HOST_PATH_TYPES = [
  "",
  "BlockDevice",
  "CharDevice",
  "Directory",
  "DirectoryOrCreate",
  "File",
  "FileOrCreate",
  "Socket",
];

/** Fields without which a source names nothing. */
const REQUIRED_FIELDS: Readonly<Record<string, readonly string[]>> = {
  secret: ["secretName"],
  configMap: ["name"],
  hostPath: ["path"],
  nfs: ["server", "path"],
  persistentVolumeClaim: ["claimName"],
  csi: ["driver"],
  iscsi: ["targetPortal", "iqn"],
  gcePersistentDisk: ["pdName"],
  awsElasticBlockStore: ["volumeID"],
  azureFile: ["secretName", "shareName"],
  azureDisk: ["diskName", "diskURI"],
  cinder: ["volumeID"],
  flexVolume: ["driver"],
  vsphereVolume: ["volumePath"],
  portworxVolume: ["volumeID"],
  photonPersistentDisk: ["pdID"],
};

export function* volumesRules(volumes: readonly Volume[], path: string): FieldErrors {
  const names = new Set<string>();
  for (const [index, volume] of volumes.entries()) {
    const at = `${path}[${index}]`;
    yield* oneSourceRules(volume, at);
    if (!volume.name) yield required(`${at}.name`);
    else yield* invalidEach(`${at}.name`, volume.name, checkDns1123Label(volume.name));
    if (names.has(volume.name)) yield duplicate(`${at}.name`, volume.name);
    names.add(volume.name);
  }
}

function* oneSourceRules(volume: Volume, path: string): FieldErrors {
  const { name: _name, ...rest } = volume;
  const sources = Object.entries(rest).filter(([, source]) => source !== undefined && source !== null);
  const [first, ...others] = sources;
  if (!first) {
    yield required(path, "must specify a volume type");
    return;
  }
  for (const [kind] of others) yield forbidden(`${path}.${kind}`, "may not specify more than 1 volume type");
  const [kind, source] = first;
  for (const field of REQUIRED_FIELDS[kind] ?? []) {
    if (!(source as Record<string, unknown>)[field]) yield required(`${path}.${kind}.${field}`);
  }
  yield* sourceRules(volume, path);
}

function* sourceRules(volume: Volume, path: string): FieldErrors {
  const { hostPath, nfs, secret, configMap, downwardAPI, projected, emptyDir, ephemeral } = volume;
  if (hostPath?.path) {
    yield* noBackstepRules(hostPath.path, `${path}.hostPath.path`);
    if (hostPath.type !== undefined && !HOST_PATH_TYPES.includes(hostPath.type)) {
      yield notSupported(`${path}.hostPath.type`, hostPath.type, HOST_PATH_TYPES);
    }
  }
  if (nfs?.path && !nfs.path.startsWith("/")) yield invalid(`${path}.nfs.path`, nfs.path, "must be an absolute path");
  if (emptyDir?.sizeLimit?.startsWith("-")) {
    yield forbidden(`${path}.emptyDir.sizeLimit`, "SizeLimit field must be a valid resource quantity");
  }
  if (secret) yield* filesRules(secret, `${path}.secret`);
  if (configMap) yield* filesRules(configMap, `${path}.configMap`);
  if (downwardAPI) {
    yield* modeRules(downwardAPI.defaultMode, `${path}.downwardAPI.defaultMode`);
    yield* downwardRules(downwardAPI.items, `${path}.downwardAPI`);
  }
  if (projected) yield* projectedRules(projected, `${path}.projected`);
  if (ephemeral && !ephemeral.volumeClaimTemplate) yield required(`${path}.ephemeral.volumeClaimTemplate`);
}

function* filesRules(source: { items?: KeyToPath[]; defaultMode?: number }, path: string): FieldErrors {
  yield* modeRules(source.defaultMode, `${path}.defaultMode`);
  yield* itemsRules(source.items, path);
}

function* itemsRules(items: readonly KeyToPath[] | undefined, path: string): FieldErrors {
  for (const [index, item] of (items ?? []).entries()) {
    const at = `${path}.items[${index}]`;
    if (!item.key) yield required(`${at}.key`);
    else yield* invalidEach(`${at}.key`, item.key, checkConfigMapKey(item.key));
    if (!item.path) yield required(`${at}.path`);
    else yield* localPathRules(item.path, `${at}.path`, "nonReserved");
    yield* modeRules(item.mode, `${at}.mode`);
  }
}

function* downwardRules(items: readonly DownwardAPIVolumeFile[] | undefined, path: string): FieldErrors {
  for (const [index, item] of (items ?? []).entries()) {
    const at = `${path}[${index}]`;
    if (!item.path) yield required(`${at}.path`);
    else yield* localPathRules(item.path, `${at}.path`, "nonReserved");
    if (item.fieldRef) {
      yield* fieldRefRules(item.fieldRef, `${at}.fieldRef`, "volume");
      if (item.resourceFieldRef)
        yield invalid(at, "resource", "fieldRef and resourceFieldRef can not be specified simultaneously");
    } else if (item.resourceFieldRef) {
      yield* resourceFieldRules(item.resourceFieldRef, `${at}.resourceFieldRef`, "volume");
    } else yield required(at, "one of fieldRef and resourceFieldRef is required");
    yield* modeRules(item.mode, `${at}.mode`);
  }
}

function* projectedRules(projected: ProjectedVolumeSource, path: string): FieldErrors {
  yield* modeRules(projected.defaultMode, `${path}.defaultMode`);
  for (const [index, source] of (projected.sources ?? []).entries()) {
    const at = `${path}.sources[${index}]`;
    const [, ...others] = Object.keys(source);
    for (const kind of others) yield forbidden(`${at}.${kind}`, "may not specify more than 1 volume type");
    const { secret, configMap, downwardAPI, serviceAccountToken } = source;
    if (secret && !secret.name) yield required(`${at}.secret.name`);
    yield* itemsRules(secret?.items, `${at}.secret`);
    if (configMap && !configMap.name) yield required(`${at}.configMap.name`);
    yield* itemsRules(configMap?.items, `${at}.configMap`);
    yield* downwardRules(downwardAPI?.items, `${at}.downwardAPI`);
    if (serviceAccountToken) yield* tokenRules(serviceAccountToken, `${at}.serviceAccountToken`);
  }
}

function* tokenRules({ expirationSeconds, path: file }: ServiceAccountTokenProjection, path: string): FieldErrors {
  const seconds = expirationSeconds ?? 0;
  if (seconds < MIN_TOKEN_SECONDS) {
    yield invalid(`${path}.expirationSeconds`, seconds, "may not specify a duration less than 10 minutes");
  }
  if (seconds > MAX_TOKEN_SECONDS) {
    yield invalid(`${path}.expirationSeconds`, seconds, "may not specify a duration larger than 2^32 seconds");
  }
  if (!file) yield required(`${path}.path`);
  else yield* localPathRules(file, `${path}.path`, "nonReserved");
}

/** A path inside a volume; `nonReserved` also keeps clear of names like `..data`, which the kubelet needs itself. */
export function* localPathRules(value: string, path: string, reserved?: "nonReserved"): FieldErrors {
  if (value.startsWith("/")) yield invalid(path, value, "must be a relative path");
  yield* noBackstepRules(value, path);
  if (reserved && value.startsWith("..") && !value.startsWith("../")) {
    yield invalid(path, value, "must not start with '..'");
  }
}

function* noBackstepRules(value: string, path: string): FieldErrors {
  if (value.split("/").includes("..")) yield invalid(path, value, "must not contain '..'");
}

function* modeRules(mode: number | undefined, path: string): FieldErrors {
  if (mode !== undefined && (mode < 0 || mode > MAX_FILE_MODE)) yield invalid(path, mode, BAD_MODE);
}
