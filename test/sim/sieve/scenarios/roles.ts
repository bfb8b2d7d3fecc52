/** ClusterRoles that gather the rules of others. */
import type { ClusterRole, PolicyRule } from "@pilothouse/api/types/rbac-v1";
import { resources, type ApiClient } from "@pilothouse/client";
import type { Scenario, Step } from "../scenario.ts";
import { controllerManager } from "../subjects.ts";
import { merge } from "./acts.ts";

const type = resources.clusterRoles;
const LABEL = { "shop/part-of": "all" };

const may = (resource: string): PolicyRule => ({ verbs: ["get"], apiGroups: ["shop"], resources: [resource] });

const make = (role: ClusterRole): Step => ({
  afterMs: 300,
  does: `makes the role ${role.metadata.name ?? ""}`,
  run: (client: ApiClient) => client.create(type, role),
});

export const roles: readonly Scenario[] = [
  {
    name: "clusterrole-aggregation",
    subject: controllerManager("clusterrole-aggregation"),
    steps: [
      make({ metadata: { name: "orders", labels: LABEL }, rules: [may("orders")] }),
      make({
        metadata: { name: "all" },
        aggregationRule: { clusterRoleSelectors: [{ matchLabels: LABEL }] },
        rules: [],
      }),
      make({ metadata: { name: "prices", labels: LABEL }, rules: [may("prices"), may("orders")] }),
      make({ metadata: { name: "stock" }, rules: [may("stock")] }),
      {
        afterMs: 300,
        does: "labels stock",
        run: (client) => client.patch(type, "", "stock", merge({ metadata: { labels: LABEL } })),
      },
      { afterMs: 300, does: "deletes orders", run: (client) => client.delete(type, "", "orders") },
    ],
  },
];
