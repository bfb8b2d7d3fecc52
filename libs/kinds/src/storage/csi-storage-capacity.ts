import type { CSIStorageCapacity } from "@pilothouse/api/types/storage-v1";
import { checkDns1123Subdomain } from "@pilothouse/selectors/names";
import { shown } from "../columns.ts";
import { amountRules } from "../core/resource-rules.ts";
import { firstErrors, immutable, invalidEach } from "../field-errors.ts";
import type { FieldErrors } from "../field-errors.ts";
import { ALL_VERBS, type KindDefinition } from "../kind.ts";
import { labelSelectorRules } from "../meta.ts";

/** How much storage of a class there is on a part of the nodes. */
export const csiStorageCapacity: KindDefinition<CSIStorageCapacity> = {
  group: "storage.k8s.io",
  version: "v1",
  kind: "CSIStorageCapacity",
  resource: "csistoragecapacities",
  singular: "csistoragecapacity",
  shortNames: [],
  categories: [],
  namespaced: true,
  verbs: ALL_VERBS,
  subresources: [],
  depth: "full",
  validate: (capacity) => firstErrors(rules(capacity)),
  validateUpdate: (capacity, old) =>
    firstErrors(
      immutable("nodeTopology", capacity.nodeTopology, old.nodeTopology),
      immutable("storageClassName", capacity.storageClassName, old.storageClassName),
    ),
  columns: [
    shown("StorageClassName", ({ storageClassName }) => storageClassName, "Of which class."),
    shown("Capacity", ({ capacity }) => capacity ?? "<unset>", "How much there is."),
  ],
  ageColumn: false,
};

function* rules({
  nodeTopology,
  storageClassName: name,
  capacity,
  maximumVolumeSize,
}: CSIStorageCapacity): FieldErrors {
  const storageClassName = name ?? "";
  yield* labelSelectorRules(nodeTopology, "nodeTopology");
  yield* invalidEach("storageClassName", storageClassName, checkDns1123Subdomain(storageClassName));
  if (capacity !== undefined) yield* amountRules(capacity, "capacity");
  if (maximumVolumeSize !== undefined) yield* amountRules(maximumVolumeSize, "maximumVolumeSize");
}
