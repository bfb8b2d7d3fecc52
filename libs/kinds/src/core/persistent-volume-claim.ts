import type { PersistentVolumeClaim, PersistentVolumeClaimSpec } from "@pilothouse/api/types/core-v1";
import { checkDns1123Subdomain } from "@pilothouse/selectors/names";
import { AGE, shown, wide } from "../columns.ts";
import {
  firstErrors,
  forbidden,
  immutable,
  invalidEach,
  required,
  sameValue,
  type FieldErrors,
} from "../field-errors.ts";
import { keepField } from "../isolation.ts";
import { labelSelectorRules } from "../meta.ts";
import { ALL_VERBS, type KindDefinition } from "../kind.ts";
import { STATUS } from "../subresources.ts";
import { quantityOf } from "./resource-rules.ts";
import { accessModeRules, accessModesText, storageRules, volumeModeRules } from "./storage-rules.ts";

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
  },
  prepareForUpdate: (claim, old) => keepField(claim, old, "status"),
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

function isBound({ spec }: PersistentVolumeClaim): boolean {
  return Boolean(spec?.volumeName);
}

/** Also of claims that a StatefulSet or a pod makes. */
export function* claimSpecRules(spec: PersistentVolumeClaimSpec, path: string): FieldErrors {
  if ((spec.accessModes ?? []).length === 0)
    yield required(`${path}.accessModes`, "at least 1 access mode is required");
  yield* labelSelectorRules(spec.selector, `${path}.selector`);
  yield* accessModeRules(spec.accessModes, `${path}.accessModes`);
  const storage = spec.resources?.requests?.["storage"];
  if (storage === undefined) yield required(`${path}.resources[storage]`);
  else yield* storageRules(storage, `${path}.resources[storage]`);
  if (spec.storageClassName) {
    const texts = checkDns1123Subdomain(spec.storageClassName);
    yield* invalidEach(`${path}.storageClassName`, spec.storageClassName, texts);
  }
  yield* volumeModeRules(spec.volumeMode, `${path}.volumeMode`);
}

const SPEC_IMMUTABLE =
  "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";

/** A volume may be given once; a bound claim may grow, and be tuned. */
function* updateRules(claim: PersistentVolumeClaim, old: PersistentVolumeClaim): FieldErrors {
  const isOldBound = old.status?.phase === "Bound";
  const allowed: (keyof PersistentVolumeClaimSpec)[] = [
    ...(isBound(old) ? [] : (["volumeName"] as const)),
    ...(isOldBound ? (["resources", "volumeAttributesClassName"] as const) : []),
    // A default class may be given later to who named none.
    ...(old.spec?.storageClassName === undefined ? (["storageClassName"] as const) : []),
  ];
  const fixed = ({ spec }: PersistentVolumeClaim): object =>
    Object.fromEntries(Object.entries(spec).filter(([field]) => !allowed.some((name) => name === field)));
  if (!sameValue(fixed(claim), fixed(old))) yield forbidden("spec", SPEC_IMMUTABLE);
  const [size, oldSize] = [claim, old].map(({ spec }) => quantityOf(spec?.resources?.requests?.["storage"]));
  if (isOldBound && size && oldSize && size.compare(oldSize) < 0) {
    yield forbidden("spec.resources.requests.storage", "field can not be less than status.capacity");
  }
  yield* immutable("spec.volumeMode", claim.spec?.volumeMode, old.spec?.volumeMode);
}
