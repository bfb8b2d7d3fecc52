import type { ConfigMap, Secret } from "@pilothouse/api/types/core-v1";
import { resources } from "@pilothouse/client";
import { detachedJws } from "@pilothouse/crypto/detached-jws";
import { afterEach, describe, expect, it } from "vitest";
import { cluster, type Cluster } from "../../cluster.fixture.ts";
import { startTokenCleanerController } from "../token-cleaner/reconcile.ts";
import { nextEndMs, plan } from "./plan.ts";
import { startBootstrapSignerController } from "./reconcile.ts";

const opened: Cluster[] = [];
afterEach(async () => {
  for (const one of opened.splice(0)) await one.close();
});

const KUBECONFIG = "apiVersion: v1\nkind: Config\n";
const SECRET = "0123456789abcdef";

function token(id: string, changes: Record<string, string> = {}): Secret {
  const stringData = { "token-id": id, "token-secret": SECRET, "usage-bootstrap-signing": "true", ...changes };
  const metadata = { name: `bootstrap-token-${id}`, namespace: "kube-system" };
  return { metadata, type: "bootstrap.kubernetes.io/token", stringData };
}

const clusterInfo = (data: Record<string, string>): ConfigMap => ({
  metadata: { name: "cluster-info", namespace: "kube-public" },
  data,
});

async function started(): Promise<Cluster> {
  const world = await cluster("bootstrap");
  opened.push(world);
  startBootstrapSignerController(world.ports);
  startTokenCleanerController(world.ports);
  return world;
}

const inSeconds = (world: Cluster, seconds: number): string =>
  new Date(world.clock.now() + seconds * 1_000).toISOString();

const infoNow = async (world: Cluster): Promise<Record<string, string> | undefined> =>
  (await world.find(resources.configMaps, "kube-public", "cluster-info"))?.data;

describe("cluster-info", () => {
  it("is signed by each token that is meant for it, and follows both", async () => {
    const world = await started();
    const { client } = world;
    await client.create(resources.secrets, token("aaaaaa"));
    await client.create(resources.secrets, token("bbbbbb", { "usage-bootstrap-signing": "false" }));
    await client.create(resources.configMaps, clusterInfo({ kubeconfig: KUBECONFIG, "jws-kubeconfig-cccccc": "old" }));
    await world.pass(500);
    expect(await infoNow(world)).toEqual({
      kubeconfig: KUBECONFIG,
      "jws-kubeconfig-aaaaaa": detachedJws(KUBECONFIG, "aaaaaa", SECRET),
    });
    const body = { data: { kubeconfig: `${KUBECONFIG}# changed\n` } };
    const patch = { type: "application/merge-patch+json", body } as const;
    await client.patch(resources.configMaps, "kube-public", "cluster-info", patch);
    await world.pass(500);
    expect((await infoNow(world))?.["jws-kubeconfig-aaaaaa"]).toBe(detachedJws(body.data.kubeconfig, "aaaaaa", SECRET));
    await client.delete(resources.secrets, "kube-system", "bootstrap-token-aaaaaa");
    await world.pass(500);
    expect(await infoNow(world)).toEqual(body.data);
    const before = world.writes.length;
    await world.pass(5_000);
    expect(world.writes.length).toBe(before);
    expect(world.failures).toEqual([]);
  });

  it("loses the signature of a token whose time is over, and the token goes", async () => {
    const world = await started();
    await world.client.create(resources.configMaps, clusterInfo({ kubeconfig: KUBECONFIG }));
    await world.client.create(resources.secrets, token("aaaaaa", { expiration: inSeconds(world, 60) }));
    await world.client.create(resources.secrets, token("bbbbbb"));
    await world.pass(500);
    expect(Object.keys((await infoNow(world)) ?? {})).toHaveLength(3);
    await world.clock.advance(58_000);
    expect(await world.find(resources.secrets, "kube-system", "bootstrap-token-aaaaaa")).toBeDefined();
    await world.pass(3_000);
    expect(await world.find(resources.secrets, "kube-system", "bootstrap-token-aaaaaa")).toBeUndefined();
    expect(Object.keys((await infoNow(world)) ?? {})).toEqual(["jws-kubeconfig-bbbbbb", "kubeconfig"]);
    expect(world.failures).toEqual([]);
  });
});

describe("the token cleaner", () => {
  it("lets a token be that is given more time, and takes one whose end nobody can read", async () => {
    const world = await started();
    const { client } = world;
    await client.create(resources.secrets, token("aaaaaa", { expiration: inSeconds(world, 60) }));
    await client.create(resources.secrets, token("bbbbbb", { expiration: "soon" }));
    await client.create(resources.secrets, {
      ...token("cccccc", { expiration: "2020-01-01T00:00:00Z" }),
      type: "Opaque",
    });
    await world.pass(500);
    const left = async (): Promise<unknown[]> =>
      (await world.all(resources.secrets, "kube-system")).map(({ metadata }) => metadata.name);
    expect(await left()).toEqual(["bootstrap-token-aaaaaa", "bootstrap-token-cccccc"]);
    const expiration = Buffer.from(inSeconds(world, 3_600)).toString("base64");
    const patch = { type: "application/merge-patch+json", body: { data: { expiration } } } as const;
    await client.patch(resources.secrets, "kube-system", "bootstrap-token-aaaaaa", patch);
    await world.pass(500);
    await world.clock.advance(120_000);
    expect(await left()).toEqual(["bootstrap-token-aaaaaa", "bootstrap-token-cccccc"]);
  });
});

describe("the plan for cluster-info", () => {
  const NOW_MS = Date.parse("2026-01-01T00:00:00Z");
  const stored = ({ stringData = {}, ...secret }: Secret): Secret => ({
    ...secret,
    data: Object.fromEntries(
      Object.entries(stringData).map(([key, text]) => [key, Buffer.from(text).toString("base64")]),
    ),
  });
  const rows: readonly (readonly [string, Secret, boolean])[] = [
    ["good", token("aaaaaa"), true],
    ["named otherwise", { ...token("aaaaaa"), metadata: { name: "bootstrap-token-bbbbbb" } }, false],
    ["of a name that is none", { ...token("aaaaaa"), metadata: { name: "aaaaaa" } }, false],
    ["without a secret", token("aaaaaa", { "token-secret": "" }), false],
    ["for nothing", token("aaaaaa", { "usage-bootstrap-signing": "" }), false],
    ["over", token("aaaaaa", { expiration: "2026-01-01T00:00:00Z" }), false],
    ["good for a second", token("aaaaaa", { expiration: "2026-01-01T00:00:01Z" }), true],
  ];
  it.each(rows)("a token that is %s signs or not", (_what, one, signs) => {
    const signed = plan(clusterInfo({ kubeconfig: "k" }), [stored(one)], NOW_MS, detachedJws);
    expect(signed !== undefined).toBe(signs);
    if (signed) expect(plan(signed, [stored(one)], NOW_MS, detachedJws)).toBeUndefined();
  });

  it("does nothing where there is nothing to sign, and looks again when the first token ends", () => {
    expect(plan(clusterInfo({}), [stored(token("aaaaaa"))], NOW_MS, detachedJws)).toBeUndefined();
    const ends = (id: string, expiration: string): Secret => stored(token(id, { expiration }));
    const two = [ends("aaaaaa", "2026-01-01T00:00:09Z"), ends("bbbbbb", "2026-01-01T00:00:05Z")];
    expect(nextEndMs(two, NOW_MS)).toBe(5_000);
    expect(nextEndMs([stored(token("aaaaaa"))], NOW_MS)).toBeUndefined();
  });
});
