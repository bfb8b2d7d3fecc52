import type { ResourceSlice, ResourceSliceSpec } from "@pilothouse/api/types/resource-v1";
import { AGE, shown } from "../columns.ts";
import { firstErrors } from "../field-errors.ts";
import { nextGeneration, startGeneration } from "../isolation.ts";
import { ALL_VERBS, type KindDefinition } from "../kind.ts";
import { sliceRules, sliceUpdateRules } from "./slice-rules.ts";

/** Of a slice without a spec: what is missing is told by each rule. */
const NOTHING = {} as ResourceSliceSpec;

/** A part of the devices that a driver tells of. */
export const resourceSlice: KindDefinition<ResourceSlice> = {
  group: "resource.k8s.io",
  version: "v1",
  kind: "ResourceSlice",
  resource: "resourceslices",
  singular: "resourceslice",
  shortNames: [],
  categories: [],
  namespaced: false,
  verbs: ALL_VERBS,
  subresources: [],
  depth: "full",
  prepareForCreate: startGeneration,
  prepareForUpdate: (slice, old) => nextGeneration(slice, old),
  validate: ({ spec }) => firstErrors(sliceRules(spec ?? NOTHING)),
  validateUpdate: ({ spec }, old) => firstErrors(sliceUpdateRules(spec ?? NOTHING, old.spec ?? NOTHING)),
  selectableFields: ({ spec }) => ({ "spec.driver": spec?.driver ?? "", "spec.nodeName": spec?.nodeName ?? "" }),
  columns: [
    shown("Node", ({ spec }) => spec?.nodeName ?? "", "Where its devices are."),
    shown("Driver", ({ spec }) => spec?.driver ?? "", "Who tells of them."),
    shown("Pool", ({ spec }) => spec?.pool?.name ?? "", "To which pool they belong."),
    AGE,
  ],
  ageColumn: false,
};
