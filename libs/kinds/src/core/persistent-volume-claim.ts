import type { PersistentVolumeClaim, PersistentVolumeClaimSpec } from "@pilothouse/api/types/core-v1";
import { Quantity } from "@pilothouse/quantity";
import { AGE, shown, wide } from "../columns.ts";
import { firstErrors, forbidden, immutable, sameValue, type FieldErrors } from "../field-errors.ts";
import { keepField } from "../isolation.ts";
import { ALL_VERBS, type KindDefinition } from "../kind.ts";
import { STATUS } from "../subresources.ts";
import { claimSpecRules } from "./claim-rules.ts";
import { quantityOf } from "./resource-rules.ts";
import { accessModesText } from "./storage-rules.ts";

export const persistentVolumeClaim: KindDefinition<PersistentVolumeClaim> = {
  group: "",
  version: "v1",
  kind: "PersistentVolumeClaim",
  resource: "persistentvolumeclaims",
  singular: "persistentvolumeclaim",
  shortNames: ["pvc"],
  categories: [],
  namespaced: true,
  verbs: ALL_VERBS,
  subresources: [STATUS],
  depth: "full",
  defaults: (claim) => {
    claim.spec ??= {};
    claim.spec.volumeMode ??= "Filesystem";
    claim.status ??= {};
    claim.status.phase ||= "Pending";
  },
  prepareForCreate: (claim) => {
    claim.status = { phase: "Pending" };
    dropForeignSource(claim.spec ?? {});
    pairSources(claim.spec ?? {});
  },
  prepareForUpdate: (claim, old) => {
    keepField(claim, old, "status");
    const isFilled = old.spec?.dataSource ?? old.spec?.dataSourceRef;
    if (!isFilled) dropForeignSource(claim.spec ?? {});
    pairSources(claim.spec ?? {});
  },
  prepareForStatusUpdate: (claim, old) => keepField(claim, old, "spec"),
  validate: ({ spec }) => firstErrors(claimSpecRules(spec ?? {}, "spec")),
  validateUpdate: (claim, old) => firstErrors(updateRules(claim, old)),
  columns: [
    shown(
      "Status",
      ({ metadata, status }) => (metadata.deletionTimestamp === undefined ? (status?.phase ?? "") : "Terminating"),
      "Whether it has a volume.",
    ),
    shown("Volume", ({ spec }) => spec?.volumeName ?? "", "The volume that it has."),
    shown(
      "Capacity",
      (claim) => (isBound(claim) ? (claim.status?.capacity?.["storage"] ?? "") : ""),
      "How much that holds.",
    ),
    shown(
      "Access Modes",
      (claim) => (isBound(claim) ? accessModesText(claim.status?.accessModes) : ""),
      "How it can be mounted.",
    ),
    shown("StorageClass", ({ spec }) => spec?.storageClassName ?? "", "The class asked for."),
    shown(
      "VolumeAttributesClass",
      ({ spec }) => spec?.volumeAttributesClassName ?? "<unset>",
      "How it is to be tuned.",
    ),
    AGE,
    wide("VolumeMode", ({ spec }) => spec?.volumeMode ?? "<unset>", "A file system, or a raw device."),
  ],
  ageColumn: false,
};

/** What fills a new volume: `dataSource` knows claims and snapshots only, and has always forgotten what else it was told. */
function dropForeignSource(spec: PersistentVolumeClaimSpec): void {
  const { kind, apiGroup = "" } = spec.dataSource ?? {};
  const isClaim = kind === "PersistentVolumeClaim" && apiGroup === "";
  const isSnapshot = kind === "VolumeSnapshot" && apiGroup === "snapshot.storage.k8s.io";
  if (!isClaim && !isSnapshot) delete spec.dataSource;
}

/** Both fields that say what fills the volume say the same, but for what only one of them can say. */
function pairSources(spec: PersistentVolumeClaimSpec): void {
  const { dataSource, dataSourceRef } = spec;
  if (dataSource && !dataSourceRef) spec.dataSourceRef = { ...dataSource };
  else if (dataSourceRef && !dataSource && !dataSourceRef.namespace) {
    const { namespace: _namespace, ...same } = dataSourceRef;
    spec.dataSource = same;
  }
}

function isBound({ spec }: PersistentVolumeClaim): boolean {
  return Boolean(spec?.volumeName);
}

const SPEC_IMMUTABLE =
  "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";

/** A volume may be given once; a bound claim may grow, and be tuned. What it was to become, but did not yet, may be less again. */
function* updateRules(claim: PersistentVolumeClaim, old: PersistentVolumeClaim): FieldErrors {
  const { spec } = claim;
  const { spec: before } = old;
  const isOldBound = old.status?.phase === "Bound";
  const allowed: PersistentVolumeClaimSpec = { ...spec };
  const fixed = { ...before };
  if (!isBound(old)) keepField(fixed, spec, "volumeName");
  // A default class may be given later to who named none.
  if (before.storageClassName === undefined) keepField(allowed, before, "storageClassName");
  if (isOldBound) {
    if (spec.resources?.requests) allowed.resources = withStorageOf(spec.resources, before);
    if (spec.volumeAttributesClassName !== undefined) keepField(allowed, before, "volumeAttributesClassName");
  }
  if (!sameValue(allowed, fixed)) yield forbidden("spec", SPEC_IMMUTABLE);
  const [size, oldSize] = [spec, before].map(({ resources }) => quantityOf(resources?.requests?.["storage"]));
  const held = quantityOf(old.status?.capacity?.["storage"]) ?? Quantity.zero;
  if (size && oldSize && size.compare(oldSize) < 0 && size.compare(held) <= 0) {
    yield forbidden("spec.resources.requests.storage", "field can not be less than status.capacity");
  }
  yield* immutable("volumeMode", spec.volumeMode, before.volumeMode);
  const path = "spec.volumeAttributesClassName";
  if (before.volumeAttributesClassName === undefined) return;
  if (spec.volumeAttributesClassName === undefined) {
    yield forbidden(path, "update from non-nil value to nil is forbidden");
  } else if (spec.volumeAttributesClassName === "" && before.volumeAttributesClassName !== "") {
    yield forbidden(path, "update from non-nil value to an empty string is forbidden");
  }
}

function withStorageOf(
  resources: NonNullable<PersistentVolumeClaimSpec["resources"]>,
  { resources: old }: PersistentVolumeClaimSpec,
): NonNullable<PersistentVolumeClaimSpec["resources"]> {
  const storage = old?.requests?.["storage"];
  const { storage: _storage, ...rest } = resources.requests ?? {};
  return { ...resources, requests: storage === undefined ? rest : { ...rest, storage } };
}
