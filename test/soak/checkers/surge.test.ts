/** A rollout as it may be, and planted pods that are too many. */
import { expect, test } from "vitest";
import { InOrder } from "./in-order.ts";
import { LAG_MS, SurgeMonitor, type WorkloadEvent } from "./surge.ts";

let revision = 0;
const at = (atMs: number, kind: WorkloadEvent["kind"], type: WorkloadEvent["type"], object: object): WorkloadEvent =>
  ({ revision: ++revision, atMs, kind, type, object }) as WorkloadEvent;
const deployment = (atMs: number, replicas: number, maxSurge: number | string = 1): WorkloadEvent =>
  at(atMs, "Deployment", "MODIFIED", {
    metadata: { name: "web", namespace: "n", uid: "d" },
    spec: { replicas, strategy: { type: "RollingUpdate", rollingUpdate: { maxSurge } } },
  });
const replicaSet = (atMs: number, uid: string, replicas: number): WorkloadEvent =>
  at(atMs, "ReplicaSet", "MODIFIED", {
    metadata: { name: uid, namespace: "n", uid, ownerReferences: [{ uid: "d", controller: true }] },
    spec: { replicas },
  });
const pod = (atMs: number, owner: string, uid: string, type: WorkloadEvent["type"], more: object = {}): WorkloadEvent =>
  at(atMs, "Pod", type, {
    metadata: { name: uid, namespace: "n", uid, ownerReferences: [{ uid: owner, controller: true }], ...more },
  });

function messages(...events: WorkloadEvent[]): string[] {
  const monitor = new SurgeMonitor();
  for (const event of events) monitor.observe(event);
  return monitor.findings.map(({ message }) => message);
}

const old = (atMs: number): WorkloadEvent[] => [
  deployment(atMs, 2),
  replicaSet(atMs, "old", 2),
  pod(atMs, "old", "o1", "ADDED"),
  pod(atMs, "old", "o2", "ADDED"),
];

test("a rollout within the surge, one pod after the other, is as it should be", () => {
  const ends = { deletionTimestamp: "now" };
  expect(
    messages(
      ...old(0),
      replicaSet(1, "new", 1),
      pod(1, "new", "n1", "ADDED"),
      replicaSet(2, "old", 1),
      pod(2, "old", "o1", "MODIFIED", ends),
      replicaSet(3, "new", 2),
      pod(3, "new", "n2", "ADDED"),
      pod(3, "old", "o1", "DELETED", ends),
      replicaSet(4, "old", 0),
    ),
  ).toEqual([]);
});

test("a ReplicaSet that grows beyond the surge is found", () => {
  expect(messages(...old(0), replicaSet(1, "new", 2))).toEqual([
    expect.stringMatching(/^ReplicaSet n\/new grew to 2 at revision \d+: 4 replicas in all, 3 allowed$/),
  ]);
});

test("a percentage of the surge is rounded up", () => {
  expect(messages(deployment(0, 5, "25%"), replicaSet(0, "new", 7))).toEqual([]);
  expect(messages(deployment(0, 5, "25%"), replicaSet(0, "new", 8))).toHaveLength(1);
});

test("a pod too many is found, one in the place of an ended one is not", () => {
  expect(messages(...old(0), pod(1, "old", "o3", "ADDED"))).toEqual([
    expect.stringMatching(/^pod n\/o3 at revision \d+: its ReplicaSet has 3 living pods, 2 wanted$/),
  ]);
  const failed = at(1, "Pod", "MODIFIED", { ...pod(0, "old", "o1", "MODIFIED").object, status: { phase: "Failed" } });
  expect(messages(...old(0), failed, pod(1, "old", "o3", "ADDED"))).toEqual([]);
});

test("what was wanted a moment ago may still be acted on, but not for ever", () => {
  const scaledDown = [...old(0), deployment(1, 1), replicaSet(1, "old", 0)];
  expect(messages(...scaledDown, replicaSet(1_000, "old", 2))).toEqual([]);
  expect(messages(...scaledDown, deployment(2, 1), replicaSet(LAG_MS + 1_000, "old", 3))).toHaveLength(1);
});

test("events of several watches are told in the order of their revisions, and only when nothing older can come", () => {
  const order = new InOrder<{ revision: number }>(["pods", "replicasets"]);
  expect(order.offer("pods", { revision: 5 })).toEqual([]);
  expect(order.offer("pods", { revision: 8 })).toEqual([]);
  expect(order.offer("replicasets", { revision: 7 })).toEqual([{ revision: 5 }]);
  expect(order.advance("replicasets", 9)).toEqual([{ revision: 7 }]);
  expect(order.advance("pods", 20)).toEqual([{ revision: 8 }]);
});
