import type { CSINode, CSINodeDriver } from "@pilothouse/api/types/storage-v1";
import { checkQualifiedName } from "@pilothouse/selectors/names";
import { AGE, shown } from "../columns.ts";
import {
  duplicate,
  FIELD_IMMUTABLE,
  firstErrors,
  invalid,
  invalidEach,
  notNegative,
  required,
  sameValue,
} from "../field-errors.ts";
import type { FieldErrors } from "../field-errors.ts";
import { ALL_VERBS, type KindDefinition } from "../kind.ts";
import { driverNameRules } from "./csi-driver.ts";

const MAX_NODE_ID = 256;

/** What drivers of a node's volumes say of it; named as the node. */
export const csiNode: KindDefinition<CSINode> = {
  group: "storage.k8s.io",
  version: "v1",
  kind: "CSINode",
  resource: "csinodes",
  singular: "csinode",
  shortNames: [],
  categories: [],
  namespaced: false,
  verbs: ALL_VERBS,
  subresources: [],
  depth: "full",
  validate: ({ spec }) => firstErrors(rules(spec?.drivers ?? [])),
  validateUpdate: ({ spec }, old) => firstErrors(updateRules(spec?.drivers ?? [], old.spec?.drivers ?? [])),
  columns: [shown("Drivers", ({ spec }) => (spec?.drivers ?? []).length, "How many drivers it has.", "integer"), AGE],
  ageColumn: false,
};

function* rules(drivers: readonly CSINodeDriver[]): FieldErrors {
  const seen = new Set<string>();
  for (const [index, { name, nodeID, topologyKeys, allocatable }] of drivers.entries()) {
    const at = `spec.drivers[${index}]`;
    yield* driverNameRules(`${at}.name`, name);
    if (!nodeID) yield required(`${at}.nodeID`);
    else if (nodeID.length > MAX_NODE_ID)
      yield invalid(`${at}.nodeID`, nodeID, `must be ${MAX_NODE_ID} characters or less`);
    yield* notNegative(`${at}.allocatable.count`, allocatable?.count);
    if (seen.has(name)) yield duplicate(`${at}.name`, name);
    seen.add(name);
    yield* topologyRules(topologyKeys ?? [], at);
  }
}

function* topologyRules(keys: readonly string[], at: string): FieldErrors {
  const seen = new Set<string>();
  for (const key of keys) {
    if (!key) yield required(at, key);
    if (seen.has(key)) yield duplicate(at, key);
    seen.add(key);
    yield* invalidEach(at, keys, checkQualifiedName(key));
  }
}

/** A driver that is there stays as it is, but for how many volumes it can attach. */
function* updateRules(drivers: readonly CSINodeDriver[], old: readonly CSINodeDriver[]): FieldErrors {
  for (const { allocatable: _before, ...before } of old) {
    for (const { allocatable: _now, ...now } of drivers) {
      if (now.name === before.name && !sameValue(now, before)) yield invalid("spec.drivers", now, FIELD_IMMUTABLE);
    }
  }
}
