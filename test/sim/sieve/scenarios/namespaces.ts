/** Namespaces that come and go, and what each of them has. */
import type { ConfigMap } from "@pilothouse/api/types/core-v1";
import { resources, type ApiClient } from "@pilothouse/client";
import type { Scenario, Step } from "../scenario.ts";
import { controllerManager } from "../subjects.ts";
import { merge } from "./acts.ts";

const SHOP = "shop";
/** What is in it when it is told to go may or may not have been made. */
const LEAVING = "leaving";
const ROOT_CA = "kube-root-ca.crt";

const make = (name: string): Step => ({
  afterMs: 200,
  does: `makes the namespace ${name}`,
  run: (client) => client.create(resources.namespaces, { metadata: { name }, spec: {} }),
});

const deleteNamespace = (name: string) => (client: ApiClient) => client.delete(resources.namespaces, "", name);

const configMap =
  (name: string, finalizers: string[] = []) =>
  (client: ApiClient) =>
    client.create<ConfigMap>(resources.configMaps, {
      metadata: { name, namespace: SHOP, finalizers },
      data: { a: "b" },
    });

/** What was never there needs not be deleted. */
const unlessAbsent = (work: (client: ApiClient) => Promise<unknown>) => (client: ApiClient) =>
  work(client).catch(() => undefined);

export const namespaces: readonly Scenario[] = [
  {
    name: "serviceaccount",
    subject: controllerManager("serviceaccount"),
    end: (objects) => objects.filter(({ metadata }) => metadata.namespace !== LEAVING),
    steps: [
      make(SHOP),
      {
        afterMs: 1_000,
        does: "deletes its account",
        run: unlessAbsent((client) => client.delete(resources.serviceAccounts, SHOP, "default")),
      },
      make(LEAVING),
      { afterMs: 1_000, does: "deletes the other namespace", run: deleteNamespace(LEAVING) },
    ],
  },
  {
    name: "root-ca",
    subject: controllerManager("root-ca"),
    steps: [
      make(SHOP),
      {
        afterMs: 1_000,
        does: "writes something else into its ConfigMap",
        run: unlessAbsent((client) =>
          client.patch(resources.configMaps, SHOP, ROOT_CA, merge({ data: { "ca.crt": "mine" } })),
        ),
      },
      {
        afterMs: 1_000,
        does: "deletes it",
        run: unlessAbsent((client) => client.delete(resources.configMaps, SHOP, ROOT_CA)),
      },
    ],
  },
  {
    name: "namespace",
    subject: controllerManager("namespace"),
    steps: [
      make(SHOP),
      { afterMs: 200, does: "puts a ConfigMap into it", run: configMap("plain") },
      { afterMs: 200, does: "and one that somebody holds", run: configMap("held", ["example.com/hold"]) },
      {
        afterMs: 200,
        does: "and a Service",
        run: (client) =>
          client.create(resources.services, {
            metadata: { name: "web", namespace: SHOP },
            spec: { clusterIP: "None", ports: [{ port: 80 }] },
          }),
      },
      { afterMs: 1_000, does: "deletes the namespace", run: deleteNamespace(SHOP) },
      {
        afterMs: 2_000,
        does: "lets go of what was held",
        run: (client) => client.patch(resources.configMaps, SHOP, "held", merge({ metadata: { finalizers: null } })),
      },
    ],
  },
];
