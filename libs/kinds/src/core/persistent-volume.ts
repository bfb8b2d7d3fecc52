import type {
  CSIPersistentVolumeSource,
  NodeSelectorTerm,
  PersistentVolume,
  PersistentVolumeSpec,
  VolumeNodeAffinity,
} from "@pilothouse/api/types/core-v1";
import { checkDns1123Label, checkDns1123Subdomain } from "@pilothouse/selectors/names";
import { AGE, shown, wide } from "../columns.ts";
import {
  FIELD_IMMUTABLE,
  firstErrors,
  forbidden,
  immutable,
  invalid,
  invalidEach,
  invalidTogether,
  notSupported,
  required,
  sameValue,
  type FieldErrors,
} from "../field-errors.ts";
import { keepField } from "../isolation.ts";
import { ALL_VERBS, type KindDefinition } from "../kind.ts";
import { STATUS } from "../subresources.ts";
import { noBackstepRules } from "./path-rules.ts";
import { defaultLegacySource } from "./pod-defaults.ts";
import { nodeTermRules } from "./scheduling-rules.ts";
import { accessModeRules, accessModesText, storageRules, volumeModeRules } from "./storage-rules.ts";
import {
  commonSourceRules,
  csiDriverNameRules,
  ISCSI_TOO_LONG,
  iscsiRules,
  isTooLongForIscsi,
} from "./volume-source-rules.ts";

const RECLAIM_POLICIES: readonly string[] = ["Delete", "Recycle", "Retain"];

const CSI_SECRETS = [
  "controllerPublishSecretRef",
  "controllerExpandSecretRef",
  "nodePublishSecretRef",
  "nodeExpandSecretRef",
] as const;

/** What labels of nodes were called before they were there to stay. */
const LASTING_LABELS: Readonly<Record<string, string>> = {
  "failure-domain.beta.kubernetes.io/zone": "topology.kubernetes.io/zone",
  "failure-domain.beta.kubernetes.io/region": "topology.kubernetes.io/region",
  "beta.kubernetes.io/os": "kubernetes.io/os",
  "beta.kubernetes.io/arch": "kubernetes.io/arch",
  "beta.kubernetes.io/instance-type": "node.kubernetes.io/instance-type",
};

/** Every field of a spec that says where the data lies. A volume has exactly one. */
export const VOLUME_SOURCES = [
  "awsElasticBlockStore",
  "azureDisk",
  "azureFile",
  "cephfs",
  "cinder",
  "csi",
  "fc",
  "flexVolume",
  "flocker",
  "gcePersistentDisk",
  "glusterfs",
  "hostPath",
  "iscsi",
  "local",
  "nfs",
  "photonPersistentDisk",
  "portworxVolume",
  "quobyte",
  "rbd",
  "scaleIO",
  "storageos",
  "vsphereVolume",
] as const satisfies readonly (keyof PersistentVolumeSpec)[];

export const persistentVolume: KindDefinition<PersistentVolume> = {
  group: "",
  version: "v1",
  kind: "PersistentVolume",
  resource: "persistentvolumes",
  singular: "persistentvolume",
  shortNames: ["pv"],
  categories: [],
  namespaced: false,
  verbs: ALL_VERBS,
  subresources: [STATUS],
  depth: "full",
  defaults: (volume) => {
    volume.spec ??= {};
    const { spec } = volume;
    spec.persistentVolumeReclaimPolicy ??= "Retain";
    spec.volumeMode ??= "Filesystem";
    if (spec.hostPath) spec.hostPath.type ??= "";
    defaultLegacySource(spec);
    volume.status ??= {};
    volume.status.phase ||= "Pending";
  },
  prepareForCreate: (volume) => {
    volume.status = { phase: "Pending" };
  },
  prepareForUpdate: (volume, old) => keepField(volume, old, "status"),
  prepareForStatusUpdate: (volume, old, now) => {
    keepField(volume, old, "spec");
    if (!volume.status || volume.status.phase === old.status?.phase) return;
    if (volume.status.lastPhaseTransitionTime === old.status?.lastPhaseTransitionTime) {
      volume.status.lastPhaseTransitionTime = now;
    }
  },
  validate: ({ metadata, spec }) => firstErrors(rules(spec ?? {}, metadata.name ?? "")),
  validateUpdate: ({ spec }, old) => firstErrors(updateRules(spec ?? {}, old.spec ?? {})),
  columns: [
    shown("Capacity", ({ spec }) => spec?.capacity?.["storage"] ?? "", "How much it holds."),
    shown("Access Modes", ({ spec }) => accessModesText(spec?.accessModes), "How it can be mounted."),
    shown(
      "Reclaim Policy",
      ({ spec }) => spec?.persistentVolumeReclaimPolicy ?? "",
      "What becomes of it when released.",
    ),
    shown(
      "Status",
      ({ metadata, status }) => (metadata.deletionTimestamp === undefined ? (status?.phase ?? "") : "Terminating"),
      "Whether a claim has it.",
    ),
    shown("Claim", claimText, "The claim that has it."),
    shown("StorageClass", ({ spec }) => spec?.storageClassName ?? "", "The class it belongs to."),
    shown("VolumeAttributesClass", ({ spec }) => spec?.volumeAttributesClassName ?? "<unset>", "How it is tuned."),
    shown("Reason", ({ status }) => status?.reason ?? "", "Why it is in this state."),
    AGE,
    wide("VolumeMode", ({ spec }) => spec?.volumeMode ?? "<unset>", "A file system, or a raw device."),
  ],
  ageColumn: false,
};

function claimText({ spec }: PersistentVolume): string {
  const claim = spec?.claimRef;
  return claim ? `${claim.namespace ?? ""}/${claim.name ?? ""}` : "";
}

function* rules(spec: PersistentVolumeSpec, name: string): FieldErrors {
  if ((spec.accessModes ?? []).length === 0) yield required("spec.accessModes");
  yield* accessModeRules(spec.accessModes, "spec.accessModes");
  const amounts = Object.keys(spec.capacity ?? {});
  if (amounts.length === 0) yield required("spec.capacity");
  if (amounts.length !== 1 || amounts[0] !== "storage") yield notSupported("spec.capacity", spec.capacity, ["storage"]);
  for (const amount of amounts) yield* storageRules(spec.capacity?.[amount], `spec.capacity[${amount}]`);
  const policy = spec.persistentVolumeReclaimPolicy;
  if (policy && !RECLAIM_POLICIES.includes(policy)) {
    yield notSupported("spec.persistentVolumeReclaimPolicy", policy, RECLAIM_POLICIES);
  }
  if (spec.nodeAffinity) yield* affinityRules(spec.nodeAffinity, "spec.nodeAffinity");
  yield* sourceRules(spec, name);
  if (spec.storageClassName) {
    yield* invalidEach("spec.storageClassName", spec.storageClassName, checkDns1123Subdomain(spec.storageClassName));
  }
  yield* volumeModeRules(spec.volumeMode, "spec.volumeMode");
  yield* attributesClassRules(spec);
}

function* affinityRules({ required: terms }: VolumeNodeAffinity, path: string): FieldErrors {
  if (!terms) {
    yield required(`${path}.required`, "must specify required node constraints");
    return;
  }
  const at = `${path}.required.nodeSelectorTerms`;
  const list: NodeSelectorTerm[] | undefined = terms.nodeSelectorTerms;
  if ((list ?? []).length === 0) yield required(at, "must have at least one node selector term");
  for (const [index, term] of (list ?? []).entries()) yield* nodeTermRules(term, `${at}[${index}]`);
}

function* attributesClassRules({ volumeAttributesClassName: name, csi }: PersistentVolumeSpec): FieldErrors {
  if (name === undefined) return;
  const path = "spec.volumeAttributesClassName";
  if (name === "") yield required(path, "an empty string is disallowed");
  else yield* invalidEach(path, name, checkDns1123Subdomain(name));
  if (!csi) yield required("spec.csi", "has to be specified when using volumeAttributesClassName");
}

function* sourceRules(spec: PersistentVolumeSpec, name: string): FieldErrors {
  const [first, ...others] = VOLUME_SOURCES.filter((source) => spec[source] !== undefined);
  if (first === undefined) {
    yield required("spec", "must specify a volume type");
    return;
  }
  yield* commonSourceRules(first, spec, "spec");
  yield* ownSourceRules(spec, name);
  for (const other of others) yield forbidden(`spec.${other}`, "may not specify more than 1 volume type");
  if (spec.hostPath?.path === "/" && spec.persistentVolumeReclaimPolicy === "Recycle") {
    yield forbidden("spec.persistentVolumeReclaimPolicy", "may not be 'recycle' for a hostPath mount of '/'");
  }
}

/** What only PersistentVolumes name, or say more of than a pod does. */
function* ownSourceRules(spec: PersistentVolumeSpec, name: string): FieldErrors {
  const { local, iscsi, csi, azureFile, cinder } = spec;
  if (local) {
    if (!local.path) yield required("spec.local.path");
    else yield* noBackstepRules(local.path, "spec.local.path");
    if (!spec.nodeAffinity) yield required("spec.nodeAffinity", "Local volume requires node affinity");
  }
  if (iscsi) {
    yield* iscsiRules(iscsi, "spec.iscsi", "persistentVolume");
    if (isTooLongForIscsi(name, iscsi)) yield invalid("spec.iscsi.targetportal", iscsi.targetPortal, ISCSI_TOO_LONG);
    if (iscsi.secretRef && !iscsi.secretRef.name) yield required("spec.iscsi.secretRef.name");
  }
  if (azureFile?.secretNamespace === "") yield required("spec.azureFile.secretNamespace");
  for (const field of ["name", "namespace"] as const) {
    if (cinder?.secretRef && !cinder.secretRef[field]) yield required(`spec.cinder.secretRef.${field}`);
  }
  if (csi) yield* csiRules(csi, "spec.csi");
}

function* csiRules(csi: CSIPersistentVolumeSource, path: string): FieldErrors {
  yield* csiDriverNameRules(csi.driver ?? "", `${path}.driver`);
  if (!csi.volumeHandle) yield required(`${path}.volumeHandle`);
  for (const field of CSI_SECRETS) {
    const secret = csi[field];
    if (!secret) continue;
    const at = `${path}.${field}`;
    if (!secret.name) yield required(`${at}.name`);
    else yield* invalidEach(`${at}.name`, secret.name, checkDns1123Subdomain(secret.name));
    if (!secret.namespace) yield required(`${at}.namespace`);
    else yield* invalidEach(`${at}.namespace`, secret.namespace, checkDns1123Label(secret.namespace));
  }
}

/** Where the data lies is for life; but for the secret that a larger volume needs, which may be told once. */
function* updateRules(spec: PersistentVolumeSpec, old: PersistentVolumeSpec): FieldErrors {
  const isSecretNew = old.csi && spec.csi?.controllerExpandSecretRef && !old.csi.controllerExpandSecretRef;
  const { controllerExpandSecretRef: _secret, ...csi } = spec.csi ?? {};
  const judged = isSecretNew ? { ...spec, csi } : spec;
  const sourceOf = (of: object): object =>
    Object.fromEntries(Object.entries(of).filter(([field]) => VOLUME_SOURCES.some((source) => source === field)));
  if (!sameValue(sourceOf(judged), sourceOf(old))) {
    const field = "spec.persistentvolumesource";
    yield { ...invalidTogether(field, `${field} is immutable after creation`), type: "FieldValueForbidden" };
  }
  yield* immutable("volumeMode", spec.volumeMode, old.volumeMode);
  if (old.nodeAffinity && !sameValue(withLastingLabels(old.nodeAffinity, spec.nodeAffinity), spec.nodeAffinity)) {
    yield invalid("nodeAffinity", spec.nodeAffinity, `${FIELD_IMMUTABLE}, except for updating from beta label to GA`);
  }
  if (old.volumeAttributesClassName !== undefined && spec.volumeAttributesClassName === undefined) {
    yield forbidden("spec.volumeAttributesClassName", "update from non-nil value to nil is forbidden");
  }
}

/** The old affinity, with the labels of nodes called as they are today wherever the new one does. */
function withLastingLabels(old: VolumeNodeAffinity, now: VolumeNodeAffinity | undefined): VolumeNodeAffinity {
  const termsOf = (affinity: VolumeNodeAffinity | undefined): NodeSelectorTerm[] =>
    affinity?.required?.nodeSelectorTerms ?? [];
  if (!old.required) return old;
  const nodeSelectorTerms = termsOf(old).map((term, index) => {
    const requirements = termsOf(now)[index]?.matchExpressions ?? [];
    if (!term.matchExpressions) return term;
    const matchExpressions = term.matchExpressions.map((requirement, i) => {
      const key = requirements[i]?.key;
      return key !== undefined && LASTING_LABELS[requirement.key] === key ? { ...requirement, key } : requirement;
    });
    return { ...term, matchExpressions };
  });
  return { ...old, required: { ...old.required, nodeSelectorTerms } };
}
