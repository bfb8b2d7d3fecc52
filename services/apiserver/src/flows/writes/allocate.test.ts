import type { Service } from "@pilothouse/api/types/core-v1";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { heldWatch } from "../../held-watch.fixture.ts";
import { apiserverStory, type Json, type Story } from "../../story.fixture.ts";

const SERVICES = "/api/v1/namespaces/default/services";
const IP_ADDRESSES = "/apis/networking.k8s.io/v1/ipaddresses";
const RANGES = "/apis/networking.k8s.io/v1/servicecidrs";

let story: Story;
beforeEach(async () => {
  story = await apiserverStory();
});
afterEach(() => story.close());

const specOf = (json: Json): Service["spec"] => json["spec"] as unknown as Service["spec"];

async function service(name: string, spec: Service["spec"] = {}): Promise<Service["spec"]> {
  const body = { metadata: { name }, spec: { ports: [{ port: 80 }], ...spec } };
  const answer = await story.ask("POST", SERVICES, { body });
  expect(answer.status, answer.text).toBe(201);
  return specOf(answer.json);
}

const statusOf = async (path: string): Promise<number> => (await story.ask("GET", path)).status;
const causesOf = (json: Json) => json["details"]?.["causes"];

async function eventsOf(name: string): Promise<readonly string[]> {
  const { json } = await story.ask(
    "GET",
    `/api/v1/namespaces/default/events?fieldSelector=involvedObject.name=${name}`,
  );
  return (json["items"] as unknown as { reason: string; message: string }[]).map(
    ({ reason, message }) => `${reason}: ${message}`,
  );
}

async function makeRange(name: string, cidr: string): Promise<void> {
  const answer = await story.ask("POST", RANGES, { body: { metadata: { name }, spec: { cidrs: [cidr] } } });
  expect(answer.status, answer.text).toBe(201);
}

describe("the IPAddress of a Service", () => {
  it("comes and goes with it, and says whose it is as upstream does", async () => {
    const { clusterIP = "" } = await service("web");
    expect((await story.ask("GET", `${IP_ADDRESSES}/${clusterIP}`)).json).toMatchObject({
      metadata: {
        name: clusterIP,
        labels: {
          "ipaddress.kubernetes.io/ip-family": "IPv4",
          "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io",
        },
        managedFields: [{ manager: "kube-apiserver", operation: "Update" }],
      },
      spec: { parentRef: { resource: "services", namespace: "default", name: "web" } },
    });
    expect(await statusOf(`${IP_ADDRESSES}/198.19.0.1`)).toBe(200);
    await story.ask("DELETE", `${SERVICES}/web`);
    expect(await statusOf(`${IP_ADDRESSES}/${clusterIP}`)).toBe(404);
    const external = await service("named", { type: "ClusterIP" });
    const body = { metadata: { name: "named" }, spec: { type: "ExternalName", externalName: "example.org" } };
    expect((await story.ask("PUT", `${SERVICES}/named`, { body })).status).toBe(200);
    expect(await statusOf(`${IP_ADDRESSES}/${external.clusterIP ?? ""}`)).toBe(404);
  });

  it("keeps an address from Services that somebody has taken by hand", async () => {
    const parentRef = { group: "gateway.networking.k8s.io", resource: "gateways", namespace: "default", name: "door" };
    const body = { metadata: { name: "198.19.0.77" }, spec: { parentRef } };
    expect((await story.ask("POST", IP_ADDRESSES, { body })).status).toBe(201);
    const wanted = { metadata: { name: "web" }, spec: { clusterIP: "198.19.0.77", ports: [{ port: 80 }] } };
    expect(causesOf((await story.ask("POST", SERVICES, { body: wanted })).json)).toMatchObject([
      {
        field: "spec.clusterIPs",
        message: expect.stringContaining(
          "failed to allocate IP 198.19.0.77: provided IP is already allocated",
        ) as string,
      },
    ]);
  });

  it("stays while finalizers hold it, and so does the address", async () => {
    await service("web", { clusterIP: "198.19.0.88" });
    const merge = {
      contentType: "application/merge-patch+json",
      body: { metadata: { finalizers: ["example.org/kept"] } },
    };
    await story.ask("PATCH", `${IP_ADDRESSES}/198.19.0.88`, merge);
    expect((await story.ask("DELETE", `${SERVICES}/web`)).status).toBe(200);
    const { json } = await story.ask("GET", `${IP_ADDRESSES}/198.19.0.88`);
    expect(json["metadata"]).toMatchObject({ deletionTimestamp: expect.any(String) as string });
    const again = { metadata: { name: "again" }, spec: { clusterIP: "198.19.0.88", ports: [{ port: 80 }] } };
    expect((await story.ask("POST", SERVICES, { body: again })).status).toBe(422);
    await story.ask("PATCH", `${IP_ADDRESSES}/198.19.0.88`, { ...merge, body: { metadata: { finalizers: null } } });
    expect((await story.ask("POST", SERVICES, { body: again })).status).toBe(201);
  });

  it("is made again when it is taken away, and meanwhile nobody gets the address", async () => {
    await service("web", { clusterIP: "198.19.0.99" });
    await story.ask("DELETE", `${IP_ADDRESSES}/198.19.0.99`);
    const thief = { metadata: { name: "thief" }, spec: { clusterIP: "198.19.0.99", ports: [{ port: 80 }] } };
    expect((await story.ask("POST", SERVICES, { body: thief })).status).toBe(422);
    await story.clock.advance(1_500);
    await story.clock.advance(1_500);
    expect(await statusOf(`${IP_ADDRESSES}/198.19.0.99`)).toBe(200);
    expect(await eventsOf("web")).toEqual([
      "ClusterIPNotAllocated: Cluster IP [IPv4]: 198.19.0.99 is not allocated; repairing",
    ]);
  });
});

describe("ServiceCIDRs", () => {
  it("give addresses, each while it is in use", async () => {
    const outside = { metadata: { name: "o" }, spec: { clusterIP: "10.9.0.5", ports: [{ port: 80 }] } };
    expect(causesOf((await story.ask("POST", SERVICES, { body: outside })).json)).toMatchObject([
      {
        message: expect.stringContaining(
          "failed to allocate IP 10.9.0.5: the provided network does not match the current range",
        ) as string,
      },
    ]);
    await makeRange("more", "10.9.0.0/28");
    expect((await story.ask("POST", SERVICES, { body: outside })).status).toBe(201);
    const merge = {
      contentType: "application/merge-patch+json",
      body: { metadata: { finalizers: ["example.org/kept"] } },
    };
    await story.ask("PATCH", `${RANGES}/more`, merge);
    await story.ask("DELETE", `${RANGES}/more`);
    const late = { metadata: { name: "late" }, spec: { clusterIP: "10.9.0.6", ports: [{ port: 80 }] } };
    expect((await story.ask("POST", SERVICES, { body: late })).status).toBe(422);
  });

  it("are asked one after the other: what one has no more comes from the next", async () => {
    await story.close();
    story = await apiserverStory("small", { config: { serviceClusterIpRange: "10.8.0.0/28", withClusterDns: false } });
    const had = new Set<string>(["10.8.0.1"]);
    for (let index = 0; index < 13; index++) had.add((await service(`s${index}`)).clusterIP ?? "");
    expect(had.size).toBe(14);
    const full = await story.ask("POST", SERVICES, {
      body: { metadata: { name: "x" }, spec: { ports: [{ port: 80 }] } },
    });
    expect(full.json["message"]).toContain("failed to allocate a serviceIP: range is full");
    await makeRange("more", "10.9.0.0/30");
    expect(new Set([(await service("y")).clusterIP, (await service("z")).clusterIP])).toEqual(
      new Set(["10.9.0.1", "10.9.0.2"]),
    );
  });

  it("give nothing once they are marked, though another apiserver has not heard of it", async () => {
    await makeRange("more", "10.9.0.0/28");
    const body = { metadata: { finalizers: ["example.org/kept"] } };
    await story.ask("PATCH", `${RANGES}/more`, { contentType: "application/merge-patch+json", body });
    const late = heldWatch(story.store);
    const other = await apiserverStory("b", { ...story, store: late.wrapped });
    const at = (name: string, clusterIP: string) => ({
      metadata: { name },
      spec: { clusterIP, ports: [{ port: 80 }] },
    });
    expect((await other.ask("POST", SERVICES, { body: at("before", "10.9.0.1") })).status).toBe(201);
    late.state.holds = true;
    await story.ask("DELETE", `${RANGES}/more`);
    const answer = other.ask("POST", SERVICES, { body: at("after", "10.9.0.2") });
    await story.clock.advance(100);
    late.release();
    expect((await answer).status).toBe(422);
    expect(await statusOf(`${IP_ADDRESSES}/10.9.0.2`)).toBe(404);
    await other.close();
  });

  it("named kubernetes is made again", async () => {
    await story.ask("DELETE", `${RANGES}/kubernetes`);
    expect(await statusOf(`${RANGES}/kubernetes`)).toBe(404);
    await story.clock.advance(10_500);
    const { json } = await story.ask("GET", `${RANGES}/kubernetes`);
    expect(json).toMatchObject({ spec: { cidrs: ["198.19.0.0/16"] }, status: { conditions: [{ status: "True" }] } });
  });
});

describe("what an older release or a hand left behind", () => {
  it("is put right at the next start: Services get their objects, and nobody's go", async () => {
    const { clusterIP = "" } = await service("web", { type: "NodePort" });
    const { store } = story;
    const put = (key: string, value: string) => ({ op: "put", key, value: Buffer.from(value) }) as const;
    await store.txn({
      compares: [],
      then: [
        { op: "delete", key: `/registry/networking.k8s.io/ipaddresses/${clusterIP}` },
        put("/pilothouse/allocations/port/31999", `{"namespace":"default","name":"gone","uid":"u"}`),
        put("/pilothouse/allocations/address/198.19.7.7", `{"namespace":"default","name":"gone","uid":"u"}`),
      ],
    });
    const parentRef = { resource: "services", namespace: "default", name: "gone" };
    const labels = {
      "ipaddress.kubernetes.io/ip-family": "IPv4",
      "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io",
    };
    await story.ask("POST", IP_ADDRESSES, { body: { metadata: { name: "198.19.7.8", labels }, spec: { parentRef } } });
    const next = await apiserverStory("next", story);
    await story.clock.advance(1_000);
    await story.clock.advance(1_000);
    expect(await statusOf(`${IP_ADDRESSES}/${clusterIP}`)).toBe(200);
    expect(await statusOf(`${IP_ADDRESSES}/198.19.7.8`)).toBe(404);
    for (const key of ["port/31999", "address/198.19.7.7"])
      expect((await store.get(`/pilothouse/allocations/${key}`)).entry).toBeUndefined();
    expect(await eventsOf("web")).toEqual([
      `ClusterIPNotAllocated: Cluster IP [IPv4]: ${clusterIP} is not allocated; repairing`,
    ]);
    expect(await eventsOf("198.19.7.8")).toEqual([
      "IPAddressNotAllocated: IPAddress: 198.19.7.8 for Service default/gone appears to have leaked: cleaning up",
    ]);
    await next.close();
  });
});
