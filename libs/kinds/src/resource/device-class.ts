import type { DeviceClass, DeviceClassSpec } from "@pilothouse/api/types/resource-v1";
import { checkQualifiedName } from "@pilothouse/selectors/names";
import { firstErrors, invalid } from "../field-errors.ts";
import type { FieldErrors } from "../field-errors.ts";
import { nextGeneration, startGeneration } from "../isolation.ts";
import { ALL_VERBS, type KindDefinition } from "../kind.ts";
import { configurationRules, selectorsRules } from "./device-rules.ts";
import { listRules } from "./list-rules.ts";

const MAX_CONFIGURATIONS = 32;

/** Devices of one sort, by what they are selected and configured. */
export const deviceClass: KindDefinition<DeviceClass> = {
  group: "resource.k8s.io",
  version: "v1",
  kind: "DeviceClass",
  resource: "deviceclasses",
  singular: "deviceclass",
  shortNames: [],
  categories: [],
  namespaced: false,
  verbs: ALL_VERBS,
  subresources: [],
  depth: "full",
  prepareForCreate: startGeneration,
  prepareForUpdate: (one, old) => nextGeneration(one, old),
  validate: ({ spec }) => firstErrors(rules(spec ?? {})),
};

function* rules({ selectors, config, extendedResourceName: name }: DeviceClassSpec): FieldErrors {
  yield* selectorsRules(selectors, "spec.selectors");
  yield* listRules(config, "spec.config", MAX_CONFIGURATIONS, configurationRules);
  if (name !== undefined && !isExtendedResource(name))
    yield invalid("spec.extendedResourceName", name, "must be a valid extended resource name");
}

function isExtendedResource(name: string): boolean {
  if (!name.includes("/") || name.includes("kubernetes.io/") || name.startsWith("requests.")) return false;
  return checkQualifiedName(`requests.${name}`).length === 0;
}
