import type { ServiceAccount } from "@pilothouse/api/types/core-v1";
import { AGE } from "../columns.ts";
import { ALL_VERBS, type KindDefinition } from "../kind.ts";

export const serviceAccount: KindDefinition<ServiceAccount> = {
  group: "",
  version: "v1",
  kind: "ServiceAccount",
  resource: "serviceaccounts",
  singular: "serviceaccount",
  shortNames: ["sa"],
  categories: [],
  namespaced: true,
  verbs: ALL_VERBS,
  subresources: [
    { name: "token", verbs: ["create"], group: "authentication.k8s.io", version: "v1", kind: "TokenRequest" },
  ],
  depth: "full",
  columns: [AGE],
  ageColumn: false,
};
