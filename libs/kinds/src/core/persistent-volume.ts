import type { PersistentVolume, PersistentVolumeSpec } from "@pilothouse/api/types/core-v1";
import { checkDns1123Subdomain } from "@pilothouse/selectors/names";
import { AGE, shown, wide } from "../columns.ts";
import {
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
import { nodeTermRules } from "./scheduling-rules.ts";
import { accessModeRules, accessModesText, storageRules, volumeModeRules } from "./storage-rules.ts";

const RECLAIM_POLICIES: readonly string[] = ["Delete", "Recycle", "Retain"];

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
  validate: ({ spec }) => firstErrors(rules(spec ?? {})),
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

function* rules(spec: PersistentVolumeSpec): FieldErrors {
  if ((spec.accessModes ?? []).length === 0) yield required("spec.accessModes");
  yield* accessModeRules(spec.accessModes, "spec.accessModes");
  const amounts = Object.keys(spec.capacity ?? {});
  if (amounts.length === 0) yield required("spec.capacity");
  else if (amounts.length > 1 || amounts[0] !== "storage")
    yield notSupported("spec.capacity", spec.capacity, ["storage"]);
  for (const name of amounts) yield* storageRules(spec.capacity?.[name], `spec.capacity[${name}]`);
  const policy = spec.persistentVolumeReclaimPolicy;
  if (policy && !RECLAIM_POLICIES.includes(policy)) {
    yield notSupported("spec.persistentVolumeReclaimPolicy", policy, RECLAIM_POLICIES);
  }
  yield* affinityRules(spec);
  yield* sourceRules(spec);
  if (spec.storageClassName) {
    yield* invalidEach("spec.storageClassName", spec.storageClassName, checkDns1123Subdomain(spec.storageClassName));
  }
  yield* volumeModeRules(spec.volumeMode, "spec.volumeMode");
}

function* affinityRules({ nodeAffinity, local }: PersistentVolumeSpec): FieldErrors {
  const path = "spec.nodeAffinity";
  if (!nodeAffinity) {
    if (local) yield required(path, "Local volume requires node affinity");
    return;
  }
  if (!nodeAffinity.required) {
    yield required(`${path}.required`, "must specify required node constraints");
    return;
  }
  const terms = nodeAffinity.required.nodeSelectorTerms ?? [];
  const at = `${path}.required.nodeSelectorTerms`;
  if (terms.length === 0) yield required(at, "must have at least one node selector term");
  for (const [index, term] of terms.entries()) yield* nodeTermRules(term, `${at}[${index}]`);
}

function* sourceRules(spec: PersistentVolumeSpec): FieldErrors {
  const [first, ...others] = VOLUME_SOURCES.filter((source) => spec[source] !== undefined);
  if (first === undefined) {
    yield required("spec", "must specify a volume type");
    return;
  }
  for (const other of others) yield forbidden(`spec.${other}`, "may not specify more than 1 volume type");
  const { hostPath, local, nfs, csi } = spec;
  if (hostPath) {
    if (!hostPath.path) yield required("spec.hostPath.path");
    else if (hostPath.path.split("/").includes(".."))
      yield invalid("spec.hostPath.path", hostPath.path, "must not contain '..'");
    if (hostPath.path === "/" && spec.persistentVolumeReclaimPolicy === "Recycle") {
      yield forbidden("spec.persistentVolumeReclaimPolicy", "may not be 'recycle' for a hostPath mount of '/'");
    }
  }
  if (local && !local.path) yield required("spec.local.path");
  if (nfs && !nfs.server) yield required("spec.nfs.server");
  if (nfs && !nfs.path) yield required("spec.nfs.path");
  if (csi && !csi.driver) yield required("spec.csi.driver");
  if (csi && !csi.volumeHandle) yield required("spec.csi.volumeHandle");
}

function* updateRules(spec: PersistentVolumeSpec, old: PersistentVolumeSpec): FieldErrors {
  const sourceOf = (of: PersistentVolumeSpec): object =>
    Object.fromEntries(VOLUME_SOURCES.flatMap((source) => (of[source] === undefined ? [] : [[source, of[source]]])));
  if (!sameValue(sourceOf(spec), sourceOf(old))) {
    const field = "spec.persistentvolumesource";
    yield { ...invalidTogether(field, `${field} is immutable after creation`), type: "FieldValueForbidden" };
  }
  yield* immutable("spec.volumeMode", spec.volumeMode, old.volumeMode);
  if (old.nodeAffinity) yield* immutable("spec.nodeAffinity", spec.nodeAffinity, old.nodeAffinity);
}
