/**
 * Why we use etcd3 for its transport only: its watch beside ours, over the same bad connection. Should etcd3's watch lose
 * nothing one day, this test fails and the adapter may be reconsidered.
 */
import { systemClock } from "@pilothouse/clock/system";
import { prefixRange } from "@pilothouse/store";
import { Etcd3 } from "etcd3";
import { afterAll, expect, test } from "vitest";
import { expectNoLeaks, startEtcd, tcpProxy, until } from "../../../test/harness/index.ts";
import { etcdStore } from "./index.ts";

const opened: (() => Promise<void>)[] = [];
afterAll(async () => {
  for (const close of opened.toReversed()) await close();
  await expectNoLeaks();
});

const CHANGES = 3_000;

test("etcd3's own watch loses changes when its connection breaks during a catch-up; ours loses none", async () => {
  const etcd = await startEtcd();
  opened.push(() => etcd.stop());
  const proxy = await tcpProxy(etcd.port);
  opened.push(() => proxy.close());
  const store = etcdStore({ endpoints: [`http://${proxy.address}`], clock: systemClock });
  opened.push(() => store.close());
  const etcd3 = new Etcd3({ hosts: `http://${proxy.address}` });
  opened.push(async () => etcd3.close());
  const start = (await store.revision()) + 1;
  const value = Buffer.alloc(150);
  for (let i = 0; i < CHANGES; i += 50)
    await Promise.all(
      Array.from({ length: 50 }, (_, j) =>
        store.txn({ compares: [], then: [{ op: "put", key: `/many/${i + j}`, value }] }),
      ),
    );

  const theirs = new Set<string>();
  const ours = new Set<number>();
  // One batch of a catch-up, 1,000 revisions, comes through; the connection breaks in the next.
  proxy.cutAfterBytes(300_000);
  const watcher = await etcd3.watch().prefix("/many/").startRevision(String(start)).create();
  watcher.on("put", (kv) => theirs.add(kv.mod_revision));
  watcher.on("error", () => undefined);
  store.watch({
    range: prefixRange("/many/"),
    startRevision: start,
    onChanges: (changes) => changes.forEach((change) => change.type === "put" && ours.add(change.entry.modRevision)),
    onEnd: () => undefined,
  });
  await until("ours has half", () => ours.size >= CHANGES / 2);
  proxy.cutAfterBytes(undefined);
  proxy.cut();
  await until("ours has all", () => ours.size === CHANGES);
  // Both have caught up when both have seen a last change.
  await store.txn({ compares: [], then: [{ op: "put", key: "/many/last", value }] });
  const last = await store.revision();
  await until("theirs is at the end", () => theirs.has(String(last)));
  expect(theirs.size).toBeLessThan(CHANGES);
  expect(ours.size).toBeGreaterThanOrEqual(CHANGES);
});
