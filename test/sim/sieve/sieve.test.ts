/**
 * The whole sweep is `npm run sim -- --sieve`; here a part of it, the same in each run: every eighth point of each scenario, and
 * that what the sweep is there to find is found.
 */
import { resources, type KubernetesObject } from "@pilothouse/client";
import { controllers } from "@pilothouse/controller-manager";
import { Feed } from "@pilothouse/informer/feed";
import { expect, test, vi } from "vitest";
import { edgeTriggered, forgetful } from "./planted.ts";
import { pointsOf } from "./points.ts";
import { scenarios } from "./scenarios.ts";
import type { Scenario } from "./scenario.ts";
import { difference, stateOf } from "./state.ts";
import { sweep } from "./sweep.ts";

type Wait = (this: Feed<KubernetesObject>, revision: number, signal?: AbortSignal) => Promise<void>;

const LONG_MS = 300_000;
const EVERY = 8;

test("every controller, the scheduler and the kubelet have a scenario", () => {
  const names = scenarios.map(({ name }) => name);
  expect(names.filter((name) => name in controllers).sort()).toEqual(Object.keys(controllers).sort());
  expect(names).toEqual(expect.arrayContaining(["scheduler", "kubelet"]));
});

test.each(scenarios)("$name comes to the same end, whatever befalls it", { timeout: LONG_MS }, async (scenario) => {
  let count = 0;
  const { failures, tried } = await sweep(scenario, () => count++ % EVERY === 0);
  expect(tried).toBeGreaterThan(2);
  for (const { point, error } of failures)
    expect(error.message, `npm run sim -- --sieve ${scenario.name} --point ${point}`).toBe("");
});

test(
  "a controller that acts on events only is found out: it misses what is so already",
  { timeout: LONG_MS },
  async () => {
    const found = await kindsOfFailures(edgeTriggered);
    expect(found).toContain("crash");
    expect(found).toContain("reborn");
  },
);

test("a controller that dies between two writes that belong together is found out", { timeout: LONG_MS }, async () => {
  expect(await kindsOfFailures(forgetful)).toContain("crash");
});

test("a leader that acts before it has looked is found out by an older snapshot", { timeout: LONG_MS }, async () => {
  const replicaSets = scenarios.find(({ name }) => name === "replicaset") as Scenario;
  const waitForRevision = Object.getOwnPropertyDescriptor(Feed.prototype, "waitForRevision")?.value as Wait;
  const untilListed: Wait = function (this: Feed<KubernetesObject>, revision, signal) {
    return waitForRevision.call(this, Math.min(1, revision), signal);
  };
  const spy = vi.spyOn(Feed.prototype, "waitForRevision").mockImplementation(untilListed);
  const { failures } = await sweep(replicaSets, (point) => /^reborn:.*[05]$/.test(point));
  spy.mockRestore();
  expect(failures.map(({ error }) => error.message)).toContainEqual(expect.stringMatching(/^I[35]: /));
});

test("each write, deed, revision and message is a point", () => {
  const points = pointsOf({ writes: 2, acts: 3, revisions: [7, 9], messages: ["changes.a.core.pods@7"], end: [] });
  expect(points).toHaveLength(2 + 3 + 4 * 2 + 1);
});

test("two states are the same whatever their uids, times and random names, and differ in all else", () => {
  const pod = (suffix: string, uid: string, owner: string) => ({
    kind: "Pod",
    metadata: {
      name: `web-${suffix}`,
      uid,
      creationTimestamp: `2026-01-01T00:00:0${suffix.length}Z`,
      ownerReferences: [{ apiVersion: "v1", kind: "ReplicaSet", name: "web", uid: owner, controller: true }],
    },
  });
  const replicaSet = (uid: string) => ({ kind: resources.replicaSets.kind, metadata: { name: "web", uid } });
  const [one, two, nobody] = [1, 2, 3].map((n) => `00000000-0000-4000-8000-00000000000${n}`) as [
    string,
    string,
    string,
  ];
  const a = stateOf([pod("a", nobody.replace("3", "4"), one), replicaSet(one)]);
  expect(difference(a, stateOf([replicaSet(two), pod("bb", nobody.replace("3", "5"), two)]))).toBe("");
  expect(difference(a, stateOf([replicaSet(two), pod("bb", one, nobody)]))).toMatch(
    /^- .*ReplicaSet web.*\n\+ .*<nobody>/,
  );
});

async function kindsOfFailures(scenario: Scenario): Promise<string[]> {
  const { failures } = await sweep(scenario);
  return [...new Set(failures.map(({ point }) => point.split(":")[0] ?? ""))];
}
