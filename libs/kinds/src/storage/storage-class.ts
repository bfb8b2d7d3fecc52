import type { StorageClass } from "@pilothouse/api/types/storage-v1";
import { checkQualifiedName } from "@pilothouse/selectors/names";
import { AGE, shown } from "../columns.ts";
import {
  firstErrors,
  forbidden,
  immutable,
  invalid,
  invalidEach,
  oneOf,
  required,
  sameValue,
  tooLong,
} from "../field-errors.ts";
import type { FieldErrors } from "../field-errors.ts";
import { ALL_VERBS, type KindDefinition } from "../kind.ts";

const IS_DEFAULT = ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];
const MAX_PARAMETERS = 512;
const MAX_PARAMETER_BYTES = 256 * 1024;

export const storageClass: KindDefinition<StorageClass> = {
  group: "storage.k8s.io",
  version: "v1",
  kind: "StorageClass",
  resource: "storageclasses",
  singular: "storageclass",
  shortNames: ["sc"],
  categories: [],
  namespaced: false,
  verbs: ALL_VERBS,
  subresources: [],
  depth: "full",
  defaults: (storageClass) => {
    storageClass.reclaimPolicy ??= "Delete";
    storageClass.volumeBindingMode ??= "Immediate";
  },
  validate: (storageClass) => firstErrors(rules(storageClass)),
  validateUpdate: (storageClass, old) => firstErrors(updateRules(storageClass, old)),
  columns: [
    { ...shown("Name", nameText, "Its name, and whether claims that name none get it."), format: "name" },
    shown("Provisioner", ({ provisioner }) => provisioner, "Who makes volumes of this class."),
    shown(
      "ReclaimPolicy",
      ({ reclaimPolicy }) => reclaimPolicy ?? "Delete",
      "What becomes of a volume that is let go.",
    ),
    shown("VolumeBindingMode", ({ volumeBindingMode }) => volumeBindingMode ?? "Immediate", "When volumes are bound."),
    shown(
      "AllowVolumeExpansion",
      ({ allowVolumeExpansion }) => allowVolumeExpansion === true,
      "Whether volumes may grow.",
    ),
    AGE,
  ],
  nameColumn: false,
  ageColumn: false,
};

function* rules({
  provisioner,
  parameters,
  reclaimPolicy,
  volumeBindingMode,
  allowedTopologies,
}: StorageClass): FieldErrors {
  yield* provisionerRules("provisioner", provisioner);
  yield* parameterRules(parameters);
  yield* oneOf("reclaimPolicy", reclaimPolicy, ["Delete", "Retain"]);
  yield* oneOf("volumeBindingMode", volumeBindingMode, ["Immediate", "WaitForFirstConsumer"]);
  for (const [index, { matchLabelExpressions = [] }] of (allowedTopologies ?? []).entries()) {
    for (const [which, { key, values }] of matchLabelExpressions.entries()) {
      const at = `allowedTopologies[${index}].matchLabelExpressions[${which}]`;
      if ((values ?? []).length === 0) yield required(`${at}.values`);
      yield* invalidEach(`${at}.key`, key, checkQualifiedName(key ?? ""));
    }
  }
}

/** A qualified name in any case. */
export function* provisionerRules(path: string, name: string | undefined): FieldErrors {
  if (!name) yield required(path);
  else yield* invalidEach(path, name.toLowerCase(), checkQualifiedName(name.toLowerCase()));
}

/** What parameters every class of storage may have. */
export function* parameterRules(parameters: Readonly<Record<string, string>> | undefined): FieldErrors {
  const entries = Object.entries(parameters ?? {});
  if (entries.length > MAX_PARAMETERS) yield tooLong("parameters", MAX_PARAMETERS);
  let bytes = 0;
  for (const [key, value] of entries) {
    if (key === "") yield invalid("parameters", key, "field can not be empty.");
    bytes += Buffer.byteLength(key) + Buffer.byteLength(value);
  }
  if (bytes > MAX_PARAMETER_BYTES) yield tooLong("parameters", MAX_PARAMETER_BYTES);
}

function* updateRules(storageClass: StorageClass, old: StorageClass): FieldErrors {
  for (const field of ["parameters", "provisioner", "reclaimPolicy"] as const) {
    if (!sameValue(storageClass[field] ?? {}, old[field] ?? {}))
      yield forbidden(field, `updates to ${field} are forbidden.`);
  }
  yield* immutable("volumeBindingMode", storageClass.volumeBindingMode, old.volumeBindingMode);
}

function nameText({ metadata }: StorageClass): string {
  const isDefault = IS_DEFAULT.some((annotation) => metadata.annotations?.[annotation] === "true");
  return `${metadata.name ?? ""}${isDefault ? " (default)" : ""}`;
}
