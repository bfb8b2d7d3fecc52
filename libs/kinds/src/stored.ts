/**
 * The GA kinds that are structure, CRUD, watch and discovery only. Not among them: kinds that would lie when merely
 * stored (admission webhooks and policies, CRDs, APIServices, flow control).
 */
import { ALL_VERBS, type KindDefinition, type SubresourceDefinition } from "./kind.ts";
import { STATUS } from "./subresources.ts";

interface StoredRow {
  readonly kind: string;
  readonly resource: string;
  readonly scope: "Namespaced" | "Cluster";
  readonly shortNames?: readonly string[];
  readonly categories?: readonly string[];
  readonly subresources?: readonly SubresourceDefinition[];
}

const STORED: Readonly<Record<string, readonly StoredRow[]>> = {
  "resource.k8s.io/v1": [
    { kind: "DeviceClass", resource: "deviceclasses", scope: "Cluster" },
    { kind: "ResourceClaim", resource: "resourceclaims", scope: "Namespaced", subresources: [STATUS] },
    { kind: "ResourceClaimTemplate", resource: "resourceclaimtemplates", scope: "Namespaced" },
    { kind: "ResourceSlice", resource: "resourceslices", scope: "Cluster" },
  ],
  "storage.k8s.io/v1": [
    { kind: "CSINode", resource: "csinodes", scope: "Cluster" },
    { kind: "CSIStorageCapacity", resource: "csistoragecapacities", scope: "Namespaced" },
  ],
};

export const storedKinds: readonly KindDefinition[] = Object.entries(STORED).flatMap(([groupVersion, rows]) =>
  rows.map((row) => storedKind(groupVersion, row)),
);

function storedKind(groupVersion: string, row: StoredRow): KindDefinition {
  const [version = "", group = ""] = groupVersion.split("/").reverse();
  return {
    group,
    version,
    kind: row.kind,
    resource: row.resource,
    singular: row.kind.toLowerCase(),
    shortNames: row.shortNames ?? [],
    categories: row.categories ?? [],
    namespaced: row.scope === "Namespaced",
    verbs: ALL_VERBS,
    subresources: row.subresources ?? [],
    depth: "stored",
  };
}
