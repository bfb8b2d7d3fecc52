/** Owners that go, each in its way, and what they own. */
import type { ConfigMap } from "@pilothouse/api/types/core-v1";
import { resources, type ApiClient } from "@pilothouse/client";
import type { Scenario, Step } from "../scenario.ts";
import { controllerManager } from "../subjects.ts";
import { merge, NAMESPACE } from "./acts.ts";

const reference = async (client: ApiClient, owner: string): Promise<object> => {
  const { metadata } = await client.get(resources.configMaps, NAMESPACE, owner);
  return { apiVersion: "v1", kind: "ConfigMap", name: owner, uid: metadata.uid, blockOwnerDeletion: true };
};

const make = (name: string, ...owners: readonly string[]): Step => ({
  afterMs: 100,
  does: owners.length === 0 ? `makes ${name}` : `makes ${name}, owned by ${owners.join(" and ")}`,
  run: async (client) => {
    const ownerReferences = await Promise.all(owners.map((owner) => reference(client, owner)));
    const metadata = { name, namespace: NAMESPACE, ownerReferences } as ConfigMap["metadata"];
    await client.create<ConfigMap>(resources.configMaps, { metadata });
  },
});

const remove = (name: string, propagationPolicy: "Background" | "Foreground" | "Orphan"): Step => ({
  afterMs: 1_000,
  does: `deletes ${name}: ${propagationPolicy}`,
  run: (client) => client.delete(resources.configMaps, NAMESPACE, name, { propagationPolicy }),
});

export const owners: readonly Scenario[] = [
  {
    name: "garbage-collector",
    subject: controllerManager("garbage-collector"),
    steps: [
      make("kept"),
      make("background"),
      make("of-background", "background"),
      make("of-both", "background", "kept"),
      remove("background", "Background"),
      make("foreground"),
      make("of-foreground", "foreground"),
      make("of-that", "of-foreground"),
      remove("foreground", "Foreground"),
      make("orphan"),
      make("of-orphan", "orphan"),
      remove("orphan", "Orphan"),
      make("late"),
      {
        afterMs: 500,
        does: "gives kept away to late, and takes it back",
        run: async (client) => {
          const ownerReferences = [await reference(client, "late")];
          await client.patch(resources.configMaps, NAMESPACE, "kept", merge({ metadata: { ownerReferences } }));
          await client.patch(resources.configMaps, NAMESPACE, "kept", merge({ metadata: { ownerReferences: null } }));
        },
      },
      remove("late", "Background"),
    ],
  },
];
