import type { VolumeAttributesClass } from "@pilothouse/api/types/storage-v1";
import { AGE, shown } from "../columns.ts";
import { firstErrors, forbidden, required, sameValue } from "../field-errors.ts";
import type { FieldErrors } from "../field-errors.ts";
import { ALL_VERBS, type KindDefinition } from "../kind.ts";
import { parameterRules, provisionerRules } from "./storage-class.ts";

export const volumeAttributesClass: KindDefinition<VolumeAttributesClass> = {
  group: "storage.k8s.io",
  version: "v1",
  kind: "VolumeAttributesClass",
  resource: "volumeattributesclasses",
  singular: "volumeattributesclass",
  shortNames: ["vac"],
  categories: [],
  namespaced: false,
  verbs: ALL_VERBS,
  subresources: [],
  depth: "full",
  validate: ({ driverName, parameters }) => firstErrors(rules(driverName, parameters)),
  validateUpdate: (attributesClass, old) => firstErrors(updateRules(attributesClass, old)),
  columns: [shown("DriverName", ({ driverName }) => driverName, "Which driver it is for."), AGE],
  ageColumn: false,
};

function* rules(driverName: string, parameters: VolumeAttributesClass["parameters"]): FieldErrors {
  yield* provisionerRules("driverName", driverName);
  yield* parameterRules(parameters);
  if (Object.keys(parameters ?? {}).length === 0)
    yield required("parameters", "must contain at least one key/value pair");
}

function* updateRules(attributesClass: VolumeAttributesClass, old: VolumeAttributesClass): FieldErrors {
  for (const field of ["driverName", "parameters"] as const) {
    if (!sameValue(attributesClass[field], old[field])) yield forbidden(field, `updates to ${field} are forbidden.`);
  }
}
