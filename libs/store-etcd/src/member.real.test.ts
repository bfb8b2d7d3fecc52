import { systemClock } from "@pilothouse/clock/system";
import { afterAll, beforeAll, expect, test } from "vitest";
import { expectNoLeaks, startEtcd, startEtcdCluster, until } from "../../../test/harness/index.ts";
import type { Etcd } from "../../../test/harness/index.ts";
import { etcdMember, etcdStore } from "./index.ts";
import type { EtcdMember } from "./index.ts";

let members: Etcd[];
let asked: EtcdMember[];

beforeAll(async () => {
  members = await startEtcdCluster(3);
  asked = members.map(({ endpoint }) => etcdMember({ endpoint, clock: systemClock, deadlineMs: 2_000 }));
});

afterAll(async () => {
  for (const member of asked) member.close();
  await Promise.all(members.map((member) => member.stop()));
  await expectNoLeaks();
});

test("members tell of themselves, of each other, and what they hold", async () => {
  const store = etcdStore({ endpoints: members.map(({ endpoint }) => endpoint), clock: systemClock });
  const put = await store.txn({ compares: [], then: [{ op: "put", key: "/e/a", value: Buffer.from("1") }] });
  await store.close();
  await until("all members have it", async () => {
    const statuses = await Promise.all(asked.map((member) => member.status()));
    return statuses.every(({ revision }) => revision === put.revision);
  });
  const statuses = await Promise.all(asked.map((member) => member.status()));
  const known = await (asked[0] as EtcdMember).members();
  expect(known.map(({ name }) => name).sort()).toEqual(["m0", "m1", "m2"]);
  expect(statuses.map(({ id }) => id).sort()).toEqual(known.map(({ id }) => id).sort());
  expect(new Set(statuses.map(({ leaderId }) => leaderId)).size).toBe(1);
  expect(statuses[0]).toMatchObject({ isLearner: false, alarms: [], version: expect.stringMatching(/^3\./) as string });
  expect(statuses[0]?.dbBytes).toBeGreaterThanOrEqual(statuses[0]?.dbUsedBytes ?? Infinity);
  const { entries } = await (asked[1] as EtcdMember).entries("/e/");
  expect(entries.map(({ key }) => key)).toEqual(["/e/a"]);
});

test("without a quorum the last one answers, and knows no leader; a dead one does not", async () => {
  await Promise.all([members[0]?.kill(), members[1]?.kill()]);
  const last = asked[2] as EtcdMember;
  await until("it has noticed", async () => (await last.status()).leaderId === undefined, 20_000);
  expect((await last.entries("/e/")).entries).toHaveLength(1);
  await expect(asked[0]?.status()).rejects.toMatchObject({ name: "StoreUnavailable" });
});

test("a member that is full says so", async () => {
  const full = await startEtcd({ flags: ["--quota-backend-bytes=100000"] });
  const store = etcdStore({ endpoints: [full.endpoint], clock: systemClock });
  const put = { op: "put", key: "/a", value: Buffer.alloc(60_000) } as const;
  const fill = async (): Promise<void> => {
    for (let n = 0; n < 200; n++) await store.txn({ compares: [], then: [put] });
  };
  await expect(fill()).rejects.toMatchObject({ reason: "noSpace" });
  const member = etcdMember({ endpoint: full.endpoint, clock: systemClock, deadlineMs: 2_000 });
  expect((await member.status()).alarms).toEqual(["NOSPACE"]);
  member.close();
  await store.close();
  await full.stop();
});
