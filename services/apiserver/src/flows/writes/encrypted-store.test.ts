/** Encryption at rest through the whole apiserver: what etcd holds, what clients see, and the rotation of a key (C9). */
import { manualClock } from "@pilothouse/clock/manual";
import { memoryCrypto } from "@pilothouse/crypto/memory";
import { storeConformance } from "@pilothouse/store/conformance";
import { memoryStore } from "@pilothouse/store/memory";
import type { Store } from "@pilothouse/store";
import { expect, test } from "vitest";
import { EPOCH_HEADER } from "../../core/model.ts";
import type { EncryptionKey, EncryptionRule } from "../../core/stored/encryption.ts";
import { apiserverStory, type Answer, type Story } from "../../story.fixture.ts";
import { encryptedStore } from "./encrypted-store.ts";

const one: EncryptionKey = { name: "one", secret: Buffer.alloc(32, 1) };
const two: EncryptionKey = { name: "two", secret: Buffer.alloc(32, 2) };

function encrypting(prefix: string, ...keys: readonly EncryptionKey[]): readonly EncryptionRule[] {
  return [{ prefix, providers: [{ type: "aesgcm", keys }, { type: "identity" }] }];
}

storeConformance("memory store, through encryption", async () => {
  const clock = manualClock();
  const store = encryptedStore(memoryStore({ clock }), memoryCrypto(), () => encrypting("/", one));
  return { store, pass: (ms) => clock.advance(ms), breakConnections: () => undefined, stop: () => store.close() };
});

const SECRETS = "/api/v1/namespaces/default/secrets";

async function world() {
  const clock = manualClock();
  const etcd = memoryStore({ clock });
  const config = { rules: encrypting("/registry/core/secrets/", one) };
  const crypto = memoryCrypto();
  const story = await apiserverStory("a", { clock, store: encryptedStore(etcd, crypto, () => config.rules) });
  /** How the value of a key begins in etcd, and whether it shows the canary. */
  const stored = async (key: string): Promise<{ readonly head: string; readonly shows: boolean }> => {
    const bytes = Buffer.from((await etcd.get(key)).entry?.value ?? "");
    return { head: bytes.subarray(0, 22).toString("latin1"), shows: bytes.includes("Y2FuYXJ5") };
  };
  const ask = (...asked: Parameters<Story["ask"]>): Promise<Answer> => story.ask(...asked);
  const make = (name: string): Promise<unknown> =>
    ask("POST", SECRETS, { body: { metadata: { name }, data: { password: "Y2FuYXJ5" } } });
  const reread = async (): Promise<void> => {
    story.service.rereadUnreadable();
    await clock.advance(1_000);
  };
  const epoch = async (): Promise<unknown> => (await ask("GET", SECRETS)).headers[EPOCH_HEADER];
  return { ask, make, stored, etcd, config, reread, epoch, telemetry: story.telemetry, close: () => story.close() };
}

test("etcd holds Secrets encrypted and all else readable; clients see no difference", async () => {
  const { ask, make, stored, close } = await world();
  await make("a");
  await ask("POST", "/api/v1/namespaces/default/configmaps", {
    body: { metadata: { name: "a" }, data: { password: "Y2FuYXJ5" } },
  });
  expect(await stored("/registry/core/secrets/default/a")).toEqual({ head: "k8s:enc:aesgcm:v1:one:", shows: false });
  expect((await stored("/registry/core/configmaps/default/a")).shows).toBe(true);
  expect((await ask("GET", `${SECRETS}/a`)).json).toMatchObject({ data: { password: "Y2FuYXJ5" } });
  expect((await ask("GET", SECRETS)).json["items"]).toHaveLength(1);
  await close();
});

test("a key is rotated without an error on the way: all read the new one, write it, rewrite, drop the old one", async () => {
  const { ask, make, stored, config, close } = await world();
  const key = "/registry/core/secrets/default/a";
  await make("a");
  const first = await ask("GET", `${SECRETS}/a`);

  const prefix = "/registry/core/secrets/";
  config.rules = encrypting(prefix, one, two);
  const unchanged = await ask("PUT", `${SECRETS}/a`, { raw: first.text });
  expect(unchanged.json["metadata"]).toEqual(first.json["metadata"]);
  expect((await stored(key)).head).toContain(":one:");

  config.rules = encrypting(prefix, two, one);
  const rewritten = await ask("PUT", `${SECRETS}/a`, { raw: first.text });
  expect(rewritten.status).toBe(200);
  expect(Number(rewritten.json["metadata"]?.["resourceVersion"])).toBeGreaterThan(
    Number(first.json["metadata"]?.["resourceVersion"]),
  );
  expect((await stored(key)).head).toContain(":two:");
  const again = await ask("PUT", `${SECRETS}/a`, { raw: rewritten.text });
  expect(again.json["metadata"]).toEqual(rewritten.json["metadata"]);

  config.rules = encrypting(prefix, two);
  expect((await ask("GET", `${SECRETS}/a`)).json).toMatchObject({ data: { password: "Y2FuYXJ5" } });
  await close();
});

test("a Secret that no key opens is an error on that Secret, never gone, and never deleted by it", async () => {
  const { ask, make, etcd, config, reread, epoch, close } = await world();
  await make("lost");
  await make("kept");
  const before = (await etcd.get("/registry/core/secrets/default/lost")).entry?.value as Uint8Array;
  // Somebody with access to etcd puts one Secret's ciphertext in another's place.
  const put = { op: "put", key: "/registry/core/secrets/default/moved", value: before } as const;
  await etcd.txn({ compares: [], then: [put] });
  const moved = await ask("GET", `${SECRETS}/moved`);
  expect(moved).toMatchObject({ status: 500, json: { reason: "InternalError" } });
  expect(moved.json["message"]).toBe("Internal error occurred: cipher: message authentication failed");
  await etcd.txn({ compares: [], then: [{ op: "delete", key: put.key }] });
  expect((await ask("GET", SECRETS)).json["items"]).toHaveLength(2);
  const first = await epoch();

  config.rules = encrypting("/registry/core/secrets/", two);
  await etcd.txn({ compares: [], then: [{ ...put, key: "/registry/core/secrets/default/lost" }] });
  const message = "Internal error occurred: no matching prefix found";
  expect((await ask("GET", `${SECRETS}/lost`)).json).toMatchObject({ code: 500, message });
  expect((await ask("DELETE", `${SECRETS}/lost`)).json).toMatchObject({ code: 500, message });
  expect((await ask("PUT", `${SECRETS}/lost`, { body: { metadata: { name: "lost" } } })).status).toBe(500);
  expect((await ask("GET", SECRETS)).json["message"]).toBe(
    'Internal error occurred: unable to transform key "/registry/core/secrets/default/lost": no matching prefix found',
  );
  expect((await ask("GET", `${SECRETS}/kept`)).status).toBe(200);
  expect((await etcd.get("/registry/core/secrets/default/lost")).entry?.value).toEqual(before);

  // Its key is given back: all is read anew, once.
  config.rules = encrypting("/registry/core/secrets/", two, one);
  await reread();
  const anew = await epoch();
  expect(anew).not.toBe(first);
  await reread();
  expect(await epoch()).toBe(anew);
  expect((await ask("GET", `${SECRETS}/lost`)).json).toMatchObject({ data: { password: "Y2FuYXJ5" } });
  expect((await ask("GET", SECRETS)).json["items"]).toHaveLength(2);
  await close();
});

test("what a Secret holds is not told when its value is broken", async () => {
  const { ask, etcd, telemetry, close } = await world();
  const value = Buffer.from('{"data":{"password":"Y2FuYXJ5"},,}');
  await etcd.txn({ compares: [], then: [{ op: "put", key: "/registry/core/secrets/default/broken", value }] });
  const answer = await ask("GET", `${SECRETS}/broken`);
  expect(answer.status).toBe(500);
  expect(answer.text + JSON.stringify(telemetry.logs)).not.toContain("Y2FuYXJ5".slice(0, 4));
  await close();
});

test("who changes the key learns when no write can be stored by the earlier one any more", async () => {
  const etcd = memoryStore({ clock: manualClock() });
  const arrivals: (() => void)[] = [];
  const slow: Store = {
    ...etcd,
    async txn(txn) {
      await new Promise<void>((resolve) => arrivals.push(resolve));
      return etcd.txn(txn);
    },
  };
  let rules = encrypting("/", one);
  const store = encryptedStore(slow, memoryCrypto(), () => rules);
  const put = (key: string): Promise<unknown> =>
    store.txn({ compares: [], then: [{ op: "put", key, value: Buffer.from("v") }] });
  const before = put("/before");
  rules = encrypting("/", two, one);
  let ended = false;
  const writesEnded = store.writesEnded().then(() => (ended = true));
  const after = put("/after");
  await Promise.resolve();
  expect(ended).toBe(false);
  arrivals[0]?.();
  // The second, by the new key, is not waited for.
  await Promise.all([before, writesEnded]);
  arrivals[1]?.();
  await after;
  const values = await Promise.all(["/before", "/after"].map(async (key) => (await etcd.get(key)).entry?.value ?? ""));
  const heads = values.map((value) => Buffer.from(value).subarray(0, 22).toString("latin1"));
  expect(heads).toEqual(["k8s:enc:aesgcm:v1:one:", "k8s:enc:aesgcm:v1:two:"]);
  await store.close();
});
