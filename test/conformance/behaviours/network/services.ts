/** Services: who answers behind an address, a name and a node's port, and what becomes of it when the Service changes. */
import assert from "node:assert/strict";
import { WEB_IMAGE } from "../../../../deploy/images.ts";
import type { Behaviours } from "../../behaviour.ts";
import { waitingPod, type Loose, type Trial } from "../../trial.ts";
import { udpClient, UDP_SERVER } from "./udp.ts";

const named = (rest: string): string => `[sig-network] ${rest} [Conformance]`;

/** A pod whose web server says its host's name at /hostname. */
export function webPod(name: string, labels: object = {}, container: object = {}): Loose {
  const pod = waitingPod(name, {
    labels,
    pod: { terminationGracePeriodSeconds: 1 },
    container: { image: WEB_IMAGE, command: undefined, env: [{ name: "DRAIN_SECONDS", value: "0" }], ...container },
  });
  return pod;
}

async function client(t: Trial): Promise<void> {
  await t.api("v1", "pods").create(waitingPod("client"));
  await t.ready("client");
}

/** What the client hears at `http://<host>/<path>`; undefined where nobody answers. */
async function hears(t: Trial, host: string, path = "hostname"): Promise<string | undefined> {
  const asked = t.exec("client", "sh", "-c", `timeout 3 wget -q -O - http://${host}/${path}`);
  return (await asked.catch(() => undefined))?.trim();
}

async function answers(t: Trial, host: string, wanted: (said: string) => boolean = () => true): Promise<void> {
  await t.until(`${host} answers`, async () => {
    const said = await hears(t, host);
    return said !== undefined && said !== "" && wanted(said);
  });
}

function serviceOf(name: string, spec: object = {}): object {
  return { metadata: { name }, spec: { selector: { serves: name }, ports: [{ port: 80, targetPort: 80 }], ...spec } };
}

async function servers(t: Trial, service: string, count: number): Promise<readonly string[]> {
  const names = Array.from({ length: count }, (_, index) => `${service}-${index}`);
  for (const name of names) await t.api("v1", "pods").create(webPod(name, { serves: service }));
  await Promise.all(names.map((name) => t.ready(name)));
  return names;
}

async function nodeAddresses(t: Trial): Promise<readonly string[]> {
  const { items } = await t.clusterApi("v1", "nodes").list();
  return items.flatMap(({ status }) =>
    (status.addresses as { type: string; address: string }[])
      .filter(({ type }) => type === "InternalIP")
      .map(({ address }) => address),
  );
}

async function endpointsOf(t: Trial, service: string): Promise<readonly string[]> {
  const { items } = await t.api("discovery.k8s.io/v1", "endpointslices").list({
    labelSelector: `kubernetes.io/service-name=${service}`,
  });
  return items
    .flatMap((slice) =>
      ((slice["endpoints"] ?? []) as { targetRef?: { name: string } }[]).flatMap(({ targetRef }) =>
        ((slice["ports"] ?? []) as { port: number }[]).map(({ port }) => `${targetRef?.name ?? ""}:${port}`),
      ),
    )
    .sort();
}

async function shows(t: Trial, service: string, ...wanted: readonly string[]): Promise<void> {
  await t.until(`${service} has ${wanted.join(", ") || "no endpoints"}`, async () => {
    return (await endpointsOf(t, service)).join() === [...wanted].sort().join();
  });
}

/** Whether all of many calls go to one pod. */
async function isSticky(t: Trial, host: string): Promise<boolean> {
  const said = await t.exec("client", "sh", "-c", `for i in $(seq 16); do wget -q -O - http://${host}/hostname; done`);
  return new Set(said.trim().split("\n")).size === 1;
}

async function affinity(t: Trial, type: "ClusterIP" | "NodePort", switches: boolean): Promise<void> {
  const services = t.api("v1", "services");
  const created = await services.create(serviceOf("sticky", { type, sessionAffinity: "ClientIP" }));
  await servers(t, "sticky", 3);
  await client(t);
  const { clusterIP, ports } = created["spec"] as { clusterIP: string; ports: { nodePort?: number }[] };
  const host = type === "ClusterIP" ? clusterIP : `${(await nodeAddresses(t))[0] ?? ""}:${ports[0]?.nodePort ?? 0}`;
  await answers(t, host);
  await shows(t, "sticky", "sticky-0:80", "sticky-1:80", "sticky-2:80");
  await t.until("every call goes to one pod", () => isSticky(t, host));
  if (!switches) return;
  await services.patch("sticky", { spec: { sessionAffinity: "None" } });
  await t.until("calls go to several pods", async () => !(await isSticky(t, host)));
  await services.patch("sticky", { spec: { sessionAffinity: "ClientIP" } });
  await t.until("calls go to one pod again", () => isSticky(t, host));
}

async function becomesExternal(t: Trial, type: "ClusterIP" | "NodePort"): Promise<void> {
  const services = t.api("v1", "services");
  await services.create(serviceOf("changing", { type }));
  await services.create(serviceOf("target"));
  await servers(t, "target", 1);
  await client(t);
  const externalName = `target.${t.namespace}.svc.cluster.local`;
  const changed = await services.patch("changing", {
    spec: { type: "ExternalName", externalName, clusterIP: null, clusterIPs: null },
  });
  assert.equal(changed["spec"].clusterIP ?? "", "");
  await answers(t, `changing.${t.namespace}.svc.cluster.local`, (said) => said === "target-0");
}

async function wasExternal(t: Trial, type: "ClusterIP" | "NodePort"): Promise<void> {
  const services = t.api("v1", "services");
  const spec = { type: "ExternalName", externalName: "example.com", selector: { serves: "changing" } };
  await services.create({ metadata: { name: "changing" }, spec });
  await servers(t, "changing", 1);
  await client(t);
  const ports = [{ port: 80, targetPort: 80, protocol: "TCP", name: "http" }];
  const changed = await services.patch("changing", { spec: { type, externalName: null, ports } }, { type: "merge" });
  const { clusterIP, ports: given } = changed["spec"] as { clusterIP: string; ports: { nodePort?: number }[] };
  await answers(t, clusterIP, (said) => said === "changing-0");
  await answers(t, "changing", (said) => said === "changing-0");
  if (type === "NodePort") {
    for (const address of await nodeAddresses(t)) await answers(t, `${address}:${given[0]?.nodePort ?? 0}`);
  }
}

export const services: Behaviours = {
  [named("Services should be able to create a functioning NodePort service")]: async (t) => {
    const created = await t.api("v1", "services").create(serviceOf("open", { type: "NodePort" }));
    await servers(t, "open", 2);
    await client(t);
    const { clusterIP, ports } = created["spec"] as { clusterIP: string; ports: { nodePort: number }[] };
    await answers(t, "open");
    await answers(t, clusterIP);
    for (const address of await nodeAddresses(t)) await answers(t, `${address}:${ports[0]?.nodePort ?? 0}`);
  },
  [named("Services should be able to change the type from ClusterIP to ExternalName")]: (t) =>
    becomesExternal(t, "ClusterIP"),
  [named("Services should be able to change the type from NodePort to ExternalName")]: (t) =>
    becomesExternal(t, "NodePort"),
  [named("Services should be able to change the type from ExternalName to ClusterIP")]: (t) =>
    wasExternal(t, "ClusterIP"),
  [named("Services should be able to change the type from ExternalName to NodePort")]: (t) =>
    wasExternal(t, "NodePort"),
  [named("Services should have session affinity work for service with type clusterIP [LinuxOnly]")]: (t) =>
    affinity(t, "ClusterIP", false),
  [named("Services should have session affinity work for NodePort service [LinuxOnly]")]: (t) =>
    affinity(t, "NodePort", false),
  [named("Services should be able to switch session affinity for service with type clusterIP [LinuxOnly]")]: (t) =>
    affinity(t, "ClusterIP", true),
  [named("Services should be able to switch session affinity for NodePort service [LinuxOnly]")]: (t) =>
    affinity(t, "NodePort", true),

  [named("Services should serve a basic endpoint from pods")]: async (t) => {
    await t.api("v1", "services").create(serviceOf("basic"));
    await client(t);
    await shows(t, "basic");
    const [first, second] = ["basic-a", "basic-b"];
    await t.api("v1", "pods").create(webPod(first, { serves: "basic" }));
    await shows(t, "basic", `${first}:80`);
    await answers(t, "basic", (said) => said === first);
    await t.api("v1", "pods").create(webPod(second, { serves: "basic" }));
    await shows(t, "basic", `${first}:80`, `${second}:80`);
    await t.api("v1", "pods").delete(first);
    await shows(t, "basic", `${second}:80`);
    await answers(t, "basic", (said) => said === second);
    await t.api("v1", "pods").delete(second);
    await shows(t, "basic");
  },

  [named("Services should serve multiport endpoints from pods")]: async (t) => {
    const ports = ["one", "two"].map((name, index) => ({ name, port: 80 + index, targetPort: name }));
    await t.api("v1", "services").create(serviceOf("several", { ports }));
    const serving = (name: string, portName: string, port: number): Loose =>
      webPod(
        name,
        { serves: "several" },
        {
          env: [
            { name: "PORT", value: String(port) },
            { name: "DRAIN_SECONDS", value: "0" },
          ],
          ports: [{ name: portName, containerPort: port }],
        },
      );
    await client(t);
    await t.api("v1", "pods").create(serving("first", "one", 100));
    await t.ready("first");
    await t.api("v1", "pods").create(serving("second", "two", 101));
    await t.ready("second");
    await answers(t, "several:80", (said) => said === "first");
    await answers(t, "several:81", (said) => said === "second");
    await shows(t, "several", "first:100", "second:101");
    await t.api("v1", "pods").delete("first");
    await shows(t, "several", "second:101");
    await answers(t, "several:81", (said) => said === "second");
    await t.api("v1", "pods").delete("second");
    await shows(t, "several");
  },

  [named("Services should serve endpoints on same port and different protocols")]: async (t) => {
    const all = t.api("v1", "services");
    const tcp = { name: "tcp", port: 80, targetPort: 80, protocol: "TCP" };
    const udp = { name: "udp", port: 80, targetPort: 8081, protocol: "UDP" };
    await all.create(serviceOf("both", { ports: [tcp, udp] }));
    const pod = webPod("both-0", { serves: "both" });
    const command = t.script.command(UDP_SERVER);
    pod["spec"].containers.push({ name: "udp", image: WEB_IMAGE, ...t.script.container, command });
    Object.assign(pod["spec"], t.script.pod);
    await t.api("v1", "pods").create(pod);
    await t.ready("both-0");
    await t.api("v1", "pods").create(waitingPod("client", t.script));
    await t.ready("client");
    const { clusterIP } = (await all.get("both"))["spec"] as { clusterIP: string };
    const hearsUdp = async (): Promise<boolean> => {
      const asked = t.exec("client", ...t.script.command(udpClient(clusterIP, 80)));
      return (await asked.catch(() => "")).includes("both-0");
    };
    await answers(t, clusterIP);
    await t.until("UDP answers", hearsUdp);
    await all.update({ ...(await all.get("both")), spec: { ...(await all.get("both"))["spec"], ports: [tcp] } });
    await t.until("UDP answers no more", async () => !(await hearsUdp()));
    await answers(t, clusterIP);
    await all.update({ ...(await all.get("both")), spec: { ...(await all.get("both"))["spec"], ports: [udp] } });
    await t.until("TCP answers no more", async () => (await hears(t, clusterIP)) === undefined);
    await t.until("UDP answers again", hearsUdp);
  },

  [named("Services should find a service from listing all namespaces")]: async (t) => {
    const { items } = await t.clusterApi("v1", "services").list();
    assert.ok(items.some(({ metadata }) => metadata.name === "kubernetes" && metadata.namespace === "default"));
  },
  [named("Services should delete a collection of services")]: async (t) => {
    const all = t.api("v1", "services");
    for (const name of ["one", "two", "three"]) {
      await all.create({
        metadata: { name, labels: { kept: String(name === "three") } },
        spec: { ports: [{ port: 80 }] },
      });
    }
    assert.equal((await all.list()).items.length, 3);
    await all.deleteCollection({ labelSelector: "kept=false" });
    await t.until(
      "only one is left",
      async () => (await all.list()).items.map(({ metadata }) => metadata.name).join() === "three",
    );
  },
  [named("Services should complete a service status lifecycle")]: async (t) => {
    const all = t.api("v1", "services");
    const watch = await all.watch({ fieldSelector: "metadata.name=balanced" });
    await all.create(serviceOf("balanced", { type: "LoadBalancer" }));
    await watch.next(({ type }) => type === "ADDED");
    assert.deepEqual((await all.get("balanced", "status"))["status"].loadBalancer, {});
    const ingress = [{ ip: "203.0.113.1" }];
    await all.patch("balanced", { status: { loadBalancer: { ingress } } }, { subresource: "status" });
    await watch.next(({ object }) => object["status"].loadBalancer.ingress?.[0]?.ip === "203.0.113.1");
    await t.until("the status is put", async () => {
      const now = await all.get("balanced", "status");
      const conditions = [
        {
          type: "StatusUpdate",
          status: "True",
          reason: "E2E",
          message: "m",
          lastTransitionTime: new Date().toISOString().replace(/\.\d+/, ""),
        },
      ];
      return all.update({ ...now, status: { ...now["status"], conditions } }, "status").catch(() => undefined);
    });
    await watch.next(({ object }) => object["status"].conditions?.[0]?.type === "StatusUpdate");
    await all.patch("balanced", { metadata: { labels: { patched: "yes" } } });
    await watch.next(({ object }) => object.metadata.labels?.["patched"] === "yes");
    await all.delete("balanced");
    await watch.next(({ type }) => type === "DELETED");
    watch.close();
  },

  [named("API Server should provide secure master service")]: async (t) => {
    const { items } = await t.clusterApi("v1", "services").list({ fieldSelector: "metadata.name=kubernetes" });
    assert.ok(items[0]?.["spec"].ports.some(({ port }: { port: number }) => port === 443));
  },
  [named("API Server should have Endpoints and EndpointSlices pointing to API Server")]: async (t) => {
    const read = async (path: string): Promise<Loose> =>
      JSON.parse((await t.client.send({ method: "GET", path })).text) as Loose;
    const endpoints = await read("/api/v1/namespaces/default/endpoints/kubernetes");
    const slices = await read(
      "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices?labelSelector=kubernetes.io/service-name=kubernetes",
    );
    const addresses = (endpoints["subsets"] as { addresses: { ip: string }[] }[]).flatMap((subset) =>
      subset.addresses.map(({ ip }) => ip),
    );
    const sliced = (slices["items"] as Loose[]).flatMap((slice) =>
      (slice["endpoints"] as { addresses: string[] }[]).flatMap((each) => each.addresses),
    );
    assert.ok(addresses.length > 0);
    assert.deepEqual(addresses.sort(), sliced.sort());
  },

  [named("EndpointsController should create Endpoints for Pods matching a Service")]: async (t) => {
    await t.api("v1", "services").create(serviceOf("matched"));
    const [name = ""] = await servers(t, "matched", 1);
    const { podIP } = (await t.api("v1", "pods").get(name))["status"] as { podIP: string };
    await t.until("its Endpoints name the pod", async () => {
      const [subset] = ((await t.api("v1", "endpoints").get("matched"))["subsets"] ?? []) as {
        addresses: { ip: string }[];
      }[];
      return subset?.addresses[0]?.ip === podIP;
    });
  },
  [named("EndpointsController should create and delete Endpoints for a Service with a selector that matches no pods")]:
    async (t) => {
      await t.api("v1", "services").create(serviceOf("lonely"));
      await t.until("there are empty Endpoints", () => t.api("v1", "endpoints").get("lonely"));
      await t.api("v1", "services").delete("lonely");
      await t.until("they are gone", async () => (await t.api("v1", "endpoints").list()).items.length === 0);
    },
  [named("Endpoints should test the lifecycle of an Endpoint")]: async (t) => {
    const all = t.api("v1", "endpoints");
    const watch = await all.watch({ labelSelector: "test=yes" });
    await all.create({
      metadata: { name: "by-hand", labels: { test: "yes" } },
      subsets: [{ addresses: [{ ip: "10.0.0.24" }], ports: [{ name: "http", port: 80, protocol: "TCP" }] }],
    });
    await watch.next(({ type }) => type === "ADDED");
    const found = await all.get("by-hand");
    await all.update({ ...found, metadata: { ...found.metadata, labels: { test: "yes", updated: "yes" } } });
    await watch.next(({ object }) => object.metadata.labels?.["updated"] === "yes");
    const subsets = [{ addresses: [{ ip: "10.0.0.25" }], ports: [{ name: "http", port: 8080, protocol: "TCP" }] }];
    const patched = await all.patch("by-hand", { subsets }, { type: "strategic" });
    assert.equal(patched["subsets"][0].addresses[0].ip, "10.0.0.25");
    await all.deleteCollection({ labelSelector: "test=yes" });
    await watch.next(({ type }) => type === "DELETED");
    watch.close();
  },
  [named("EndpointSlice should create Endpoints and EndpointSlices for Pods matching a Service")]: async (t) => {
    await t.api("v1", "services").create(serviceOf("sliced"));
    await servers(t, "sliced", 1);
    await shows(t, "sliced", "sliced-0:80");
    await t.api("v1", "services").delete("sliced");
    await shows(t, "sliced");
    await t.until("its Endpoints are gone", async () => (await t.api("v1", "endpoints").list()).items.length === 0);
  },
  [named("EndpointSlice should create and delete EndpointSlices for a Service with a selector that matches no pods")]:
    async (t) => {
      const slices = t.api("discovery.k8s.io/v1", "endpointslices");
      await t.api("v1", "services").create(serviceOf("lonely"));
      await t.until("there is an empty slice", async () => (await slices.list()).items.length === 1);
      await t.api("v1", "services").delete("lonely");
      await t.until("it is gone", async () => (await slices.list()).items.length === 0);
    },
  [named("EndpointSlice should support a Service with multiple ports specified in multiple EndpointSlices")]: (t) =>
    byHand(t, (pods) => [
      { ports: [{ name: "one", port: 80 }], address: pods[0] ?? "" },
      { ports: [{ name: "two", port: 81 }], address: pods[0] ?? "" },
    ]),
  [named("EndpointSlice should support a Service with multiple endpoint IPs specified in multiple EndpointSlices")]: (
    t,
  ) =>
    byHand(t, (pods) => [
      { ports: [{ name: "one", port: 80 }], address: pods[0] ?? "" },
      { ports: [{ name: "two", port: 81 }], address: pods[1] ?? "" },
    ]),
  [named("EndpointSliceMirroring should mirror a custom Endpoints resource through create update and delete")]: async (
    t,
  ) => {
    const [services, endpoints] = [t.api("v1", "services"), t.api("v1", "endpoints")];
    await services.create({ metadata: { name: "custom" }, spec: { ports: [{ name: "example", port: 80 }] } });
    const subsets = (ip: string): object[] => [{ addresses: [{ ip }], ports: [{ name: "example", port: 80 }] }];
    await endpoints.create({ metadata: { name: "custom" }, subsets: subsets("10.1.2.3") });
    const mirrored = async (): Promise<string> => {
      const { items } = await t.api("discovery.k8s.io/v1", "endpointslices").list({
        labelSelector: "kubernetes.io/service-name=custom",
      });
      return items
        .flatMap((slice) => (slice["endpoints"] as { addresses: string[] }[]).flatMap((each) => each.addresses))
        .join();
    };
    await t.until("it is mirrored", async () => (await mirrored()) === "10.1.2.3");
    await endpoints.patch("custom", { subsets: subsets("10.2.3.4") });
    await t.until("the mirror follows", async () => (await mirrored()) === "10.2.3.4");
    await endpoints.delete("custom");
    await t.until("the mirror is empty", async () => (await mirrored()) === "");
  },
};

/** A Service without a selector whose slices are written by hand: both ports answer. */
async function byHand(
  t: Trial,
  slices: (podAddresses: readonly string[]) => readonly { ports: readonly object[]; address: string }[],
): Promise<void> {
  const ports = [
    { name: "one", port: 80, protocol: "TCP" },
    { name: "two", port: 81, protocol: "TCP" },
  ];
  await t.api("v1", "services").create({ metadata: { name: "by-hand" }, spec: { ports } });
  const servers = ["first", "second"];
  for (const name of servers) {
    const pod = webPod(name);
    const [web] = pod["spec"].containers as Loose[];
    pod["spec"].containers.push({ ...web, name: "other", env: [{ name: "PORT", value: "81" }] });
    await t.api("v1", "pods").create(pod);
  }
  const addresses: string[] = [];
  for (const name of servers) addresses.push((await t.ready(name))["status"].podIP as string);
  for (const [index, { ports: sliced, address }] of slices(addresses).entries()) {
    await t.api("discovery.k8s.io/v1", "endpointslices").create({
      metadata: { name: `by-hand-${index}`, labels: { "kubernetes.io/service-name": "by-hand" } },
      addressType: "IPv4",
      endpoints: [{ addresses: [address] }],
      ports: sliced,
    });
  }
  await client(t);
  await answers(t, "by-hand:80");
  await answers(t, "by-hand:81");
}
