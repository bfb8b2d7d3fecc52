import type { Transport } from "@pilothouse/client";
import { afterAll, afterEach, expect, test } from "vitest";
import { startControlPlane, type ControlPlane } from "./control-plane.ts";
import { expectNoLeaks, until } from "./index.ts";

let plane: ControlPlane | undefined;
afterEach(() => plane?.stop());
afterAll(expectNoLeaks);

test("three apiservers serve one truth, behind proxies on every edge, and all of it can be broken and stopped", async () => {
  plane = await startControlPlane();
  const { apiservers, etcd } = plane;
  const [a, b, c] = apiservers as [(typeof apiservers)[0], (typeof apiservers)[0], (typeof apiservers)[0]];
  const [atA, atB, atC] = [a.connect(), b.connect(), c.connect()];

  expect(await create(atA, "made-at-a")).toBe(201);
  expect([await read(atB, "made-at-a"), await read(atC, "made-at-a")]).toEqual([200, 200]);
  for (const { toEtcd, toNats, door } of apiservers) {
    expect(door.accepted()).toBeGreaterThan(0);
    expect(toEtcd.some((proxy) => proxy.accepted() > 0)).toBe(true);
    expect(toNats.reduce((sum, proxy) => sum + proxy.accepted(), 0)).toBe(1);
  }

  const leader = await plane.etcdLeader();
  await leader?.kill();
  await until("another member leads", async () => (await plane?.etcdLeader()) !== undefined);
  await until("c still takes writes", async () => (await create(atC, "made-at-c")) !== undefined);

  await a.kill();
  a.start();
  await a.untilReady();
  expect(await read(atA, "made-at-c")).toBe(200);

  b.pause();
  etcd.find((member) => member !== leader)?.pause();
  await Promise.all([atA, atB, atC].map((client) => client.close()));
});

const CONFIG_MAPS = "/api/v1/namespaces/default/configmaps";

function create(client: Transport, name: string): Promise<number | undefined> {
  const body = Buffer.from(JSON.stringify({ apiVersion: "v1", kind: "ConfigMap", metadata: { name } }));
  return status(client, "POST", CONFIG_MAPS, body);
}

function read(client: Transport, name: string): Promise<number | undefined> {
  return status(client, "GET", `${CONFIG_MAPS}/${name}`);
}

/** Undefined for a 5xx and when there is no answer. */
async function status(client: Transport, method: string, path: string, body?: Buffer): Promise<number | undefined> {
  const headers = { "content-type": "application/json" };
  try {
    const answer = await client.send({ method, path, headers, ...(body ? { body } : {}) });
    for await (const _ of answer.body); // To its end, or its connection would not be free again.
    return answer.status < 500 ? answer.status : undefined;
  } catch {
    return undefined;
  }
}
