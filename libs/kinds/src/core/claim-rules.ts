/** Rules for what a claim asks for: of claims themselves, and of those that a pod makes. */
import type {
  PersistentVolumeClaimSpec,
  TypedLocalObjectReference,
  TypedObjectReference,
} from "@pilothouse/api/types/core-v1";
import { checkDns1123Label, checkDns1123Subdomain } from "@pilothouse/selectors/names";
import { invalid, invalidEach, required, sameValue } from "../field-errors.ts";
import type { FieldErrors } from "../field-errors.ts";
import { labelSelectorRules } from "../meta.ts";
import { accessModeRules, storageRules, volumeModeRules } from "./storage-rules.ts";

export function* claimSpecRules(spec: PersistentVolumeClaimSpec, path: string): FieldErrors {
  if ((spec.accessModes ?? []).length === 0)
    yield required(`${path}.accessModes`, "at least 1 access mode is required");
  yield* labelSelectorRules(spec.selector, `${path}.selector`);
  yield* accessModeRules(spec.accessModes, `${path}.accessModes`);
  const storage = spec.resources?.requests?.["storage"];
  if (storage === undefined) yield required(`${path}.resources[storage]`);
  else yield* storageRules(storage, `${path}.resources[storage]`);
  yield* classRules(spec.storageClassName, `${path}.storageClassName`);
  yield* volumeModeRules(spec.volumeMode, `${path}.volumeMode`);
  if (spec.dataSource) yield* sourceRules(spec.dataSource, `${path}.dataSource`);
  if (spec.dataSourceRef) yield* sourceRules(spec.dataSourceRef, `${path}.dataSourceRef`);
  yield* pairRules(spec, path);
  yield* classRules(spec.volumeAttributesClassName, `${path}.volumeAttributesClassName`);
}

function* classRules(name: string | undefined, path: string): FieldErrors {
  if (name) yield* invalidEach(path, name, checkDns1123Subdomain(name));
}

function* sourceRules(source: Partial<TypedLocalObjectReference | TypedObjectReference>, path: string): FieldErrors {
  const { name, kind = "", apiGroup = "" } = source;
  if (!name) yield required(`${path}.name`);
  if (!kind) yield required(`${path}.kind`);
  if (!apiGroup && kind !== "PersistentVolumeClaim") {
    yield invalid(path, kind, "must be 'PersistentVolumeClaim' when referencing the default apiGroup");
  }
  if (apiGroup) yield* invalidEach(`${path}.apiGroup`, apiGroup, checkDns1123Subdomain(apiGroup));
  if ("namespace" in source && source.namespace) {
    yield* invalidEach(`${path}.namespace`, source.namespace, checkDns1123Label(source.namespace));
  }
}

function* pairRules({ dataSource, dataSourceRef }: PersistentVolumeClaimSpec, path: string): FieldErrors {
  if (!dataSource || !dataSourceRef) return;
  const shown = `${path}.dataSource`;
  if (dataSourceRef.namespace)
    yield invalid(path, shown, "may not be specified when dataSourceRef.namespace is specified");
  else if (!sameValue(dataSource, { ...dataSourceRef, namespace: undefined })) {
    yield invalid(path, shown, "must match dataSourceRef");
  }
}
