/** Services whose pods come, become ready, move and go: what their Endpoints and EndpointSlices must follow. */
import type { Pod } from "@pilothouse/api/types/core-v1";
import type { EndpointSlice } from "@pilothouse/api/types/discovery-v1";
import { resources, type ApiClient, type KubernetesObject } from "@pilothouse/client";
import type { Scenario, Step } from "../scenario.ts";
import { controllerManager } from "../subjects.ts";
import { account, merge, NAMESPACE } from "./acts.ts";

const pod =
  (name: string, ip: string, app = "web") =>
  async (client: ApiClient): Promise<void> => {
    const made = await client.create<Pod>(resources.pods, {
      metadata: { name, namespace: NAMESPACE, labels: { app } },
      spec: {
        nodeName: "node-1",
        automountServiceAccountToken: false,
        containers: [{ name: "web", image: "web", ports: [{ name: "http", containerPort: 8080 }] }],
      },
    });
    const status = { phase: "Running", podIP: ip, podIPs: [{ ip }], conditions: [ready("False")] };
    await client.update(resources.pods, { ...made, status }, { subresource: "status" });
  };

const ready = (status: string) => ({ type: "Ready", status, lastTransitionTime: "2026-01-01T00:00:00Z" });

const setReady = (name: string, status: string) => (client: ApiClient) =>
  client.patch(resources.pods, NAMESPACE, name, merge({ status: { conditions: [ready(status)] } }), {
    subresource: "status",
  });

const remove = (name: string) => (client: ApiClient) =>
  client.delete(resources.pods, NAMESPACE, name, { gracePeriodSeconds: 0 });

const service = (client: ApiClient) =>
  client.create(resources.services, {
    metadata: { name: "web", namespace: NAMESPACE },
    spec: { clusterIP: "198.19.0.99", selector: { app: "web" }, ports: [{ port: 80, targetPort: "http" }] },
  });

const steps: readonly Step[] = [
  { afterMs: 0, does: "makes the account that pods run as", run: account },
  { afterMs: 200, does: "makes a pod", run: pod("a", "198.18.0.1") },
  { afterMs: 500, does: "makes a Service", run: service },
  { afterMs: 1_000, does: "finds the pod ready", run: setReady("a", "True") },
  { afterMs: 500, does: "makes another pod", run: pod("b", "198.18.0.2") },
  { afterMs: 500, does: "finds it ready", run: setReady("b", "True") },
  { afterMs: 500, does: "makes a pod that is not meant", run: pod("c", "198.18.0.3", "other") },
  {
    afterMs: 500,
    does: "means it after all",
    run: (client) => client.patch(resources.pods, NAMESPACE, "c", merge({ metadata: { labels: { app: "web" } } })),
  },
  { afterMs: 500, does: "finds the first one not ready", run: setReady("a", "False") },
  { afterMs: 500, does: "removes the second one", run: remove("b") },
  {
    afterMs: 500,
    does: "labels the Service",
    run: (client) =>
      client.patch(resources.services, NAMESPACE, "web", merge({ metadata: { labels: { tier: "front" } } })),
  },
  {
    afterMs: 500,
    does: "makes another Service",
    run: (client) =>
      client.create(resources.services, {
        metadata: { name: "old", namespace: NAMESPACE },
        spec: { clusterIP: "198.19.0.98", selector: { app: "web" }, ports: [{ port: 81, targetPort: 8080 }] },
      }),
  },
  { afterMs: 500, does: "finds the first one ready again", run: setReady("a", "True") },
];

const byHand =
  (name: string, subsets: readonly object[], labels: Record<string, string> = {}) =>
  (client: ApiClient) =>
    client.create(resources.endpoints, {
      metadata: { name, namespace: NAMESPACE, labels },
      subsets: [...subsets],
    });

const moved = (name: string, body: object) => (client: ApiClient) =>
  client.patch(resources.endpoints, NAMESPACE, name, merge(body));

const subset = (...ips: readonly string[]) => ({ addresses: ips.map((ip) => ({ ip })), ports: [{ port: 80 }] });

const withoutSelector = (name: string) => (client: ApiClient) =>
  client.create(resources.services, { metadata: { name, namespace: NAMESPACE }, spec: { ports: [{ port: 80 }] } });

/** No node, no pod: Services without selectors, and Endpoints that people write for them. */
const mirrored: readonly Step[] = [
  { afterMs: 0, does: "writes Endpoints before there is a Service", run: byHand("db", [subset("192.0.2.1")]) },
  { afterMs: 500, does: "makes the Service", run: withoutSelector("db") },
  { afterMs: 500, does: "moves the address", run: moved("db", { subsets: [subset("192.0.2.2", "192.0.2.3")] }) },
  { afterMs: 500, does: "labels them", run: moved("db", { metadata: { labels: { team: "a" } } }) },
  { afterMs: 500, does: "makes another Service", run: withoutSelector("cache") },
  { afterMs: 500, does: "writes Endpoints for it", run: byHand("cache", [subset("192.0.2.9")]) },
  {
    afterMs: 500,
    does: "says that they are not to be mirrored after all",
    run: moved("cache", { metadata: { labels: { "endpointslice.kubernetes.io/skip-mirror": "true" } } }),
  },
];

/** With its protection, where it is to be deleted: what is deleted before the controller has seen it goes at once. */
const range =
  (name: string, cidr: string, ...finalizers: string[]) =>
  (client: ApiClient) =>
    client.create(resources.serviceCidrs, { metadata: { name, finalizers }, spec: { cidrs: [cidr] } });

const PROTECTED = "networking.k8s.io/service-cidr-finalizer";

const removeRange = (name: string) => (client: ApiClient) => client.delete(resources.serviceCidrs, "", name);

const at = (name: string, clusterIP: string) => (client: ApiClient) =>
  client.create(resources.services, {
    metadata: { name, namespace: NAMESPACE },
    spec: { clusterIP, ports: [{ port: 80 }] },
  });

const ranges: readonly Step[] = [
  { afterMs: 0, does: "makes a range", run: range("used", "198.51.100.0/27", PROTECTED) },
  { afterMs: 300, does: "makes another", run: range("unused", "198.51.100.32/27", PROTECTED) },
  { afterMs: 500, does: "uses the first", run: at("user", "198.51.100.5") },
  { afterMs: 500, does: "deletes it nevertheless", run: removeRange("used") },
  { afterMs: 500, does: "deletes the other", run: removeRange("unused") },
  { afterMs: 500, does: "ends the use", run: (client) => client.delete(resources.services, NAMESPACE, "user") },
  { afterMs: 500, does: "makes a range again", run: range("inner", "198.51.100.64/27", PROTECTED) },
  { afterMs: 100, does: "makes one around it", run: range("outer", "198.51.100.0/24") },
  { afterMs: 500, does: "uses both", run: at("other", "198.51.100.70") },
  { afterMs: 500, does: "deletes the inner one", run: removeRange("inner") },
];

export const services: readonly Scenario[] = [
  { name: "service-cidr", subject: controllerManager("service-cidr"), steps: ranges },
  {
    name: "endpointslice-mirroring",
    subject: controllerManager("endpointslice-mirroring"),
    end: inOrder,
    steps: mirrored,
  },
  { name: "endpointslice", subject: controllerManager("endpointslice"), end: inOrder, steps },
  {
    name: "endpoints",
    subject: controllerManager("endpoints"),
    steps: [
      ...steps,
      {
        afterMs: 500,
        does: "deletes the other Service",
        run: (client) => client.delete(resources.services, NAMESPACE, "old"),
      },
    ],
  },
];

/** Endpoints stay where they were put first, and slices tell since when their last change was due: that is history. */
function inOrder(objects: readonly KubernetesObject[]): readonly KubernetesObject[] {
  return objects.map((object) => {
    const { endpoints } = object as EndpointSlice;
    const { annotations: _, ...metadata } = object.metadata;
    const addressOf = (endpoint: (typeof endpoints)[number]): string => endpoint.addresses[0] ?? "";
    return endpoints
      ? { ...object, metadata, endpoints: [...endpoints].sort((a, b) => (addressOf(a) < addressOf(b) ? -1 : 1)) }
      : object;
  });
}
