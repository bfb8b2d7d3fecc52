import type { StatefulSet } from "@pilothouse/api/types/apps-v1";
import type { Pod } from "@pilothouse/api/types/core-v1";
import * as fc from "fast-check";
import { expect, it } from "vitest";
import { isWanted, ordinalOf, podName, revisionNameOf, type Versions } from "./plan-identity.ts";
import { maxUnavailable } from "./plan-update.ts";
import { plan } from "./plan.ts";

const NOW_MS = Date.parse("2026-01-01T01:00:00Z");
const versions: Versions = {
  current: { name: "db-old", template: { spec: { containers: [] } } },
  update: { name: "db-new", template: { spec: { containers: [] } } },
};

type Fate = "pending" | "unready" | "ready" | "failed" | "going";

const anySet: fc.Arbitrary<StatefulSet> = fc
  .record({
    replicas: fc.nat(5),
    start: fc.nat(3),
    podManagementPolicy: fc.constantFrom("OrderedReady", "Parallel"),
    partition: fc.nat(4),
    maxUnavailable: fc.constantFrom<number | string>(1, 2, "60%"),
  })
  .map(({ replicas, start, podManagementPolicy, ...rollingUpdate }) => ({
    metadata: { name: "db", namespace: "default", uid: "set" },
    spec: {
      replicas,
      ordinals: { start },
      podManagementPolicy,
      serviceName: "db",
      template: versions.update.template,
      updateStrategy: { type: "RollingUpdate", rollingUpdate },
    },
  }));

const anyPods = fc.uniqueArray(
  fc.record({
    ordinal: fc.nat(8),
    revision: fc.constantFrom("db-old", "db-new"),
    fate: fc.constantFrom<Fate>("pending", "unready", "ready", "ready", "failed", "going"),
  }),
  { selector: ({ ordinal }) => ordinal, maxLength: 7 },
);

function podOf(ordinal: number, revision: string, fate: Fate): Pod {
  const isRunning = fate === "ready" || fate === "unready" || fate === "going";
  const ready = {
    type: "Ready",
    status: fate === "unready" ? "False" : "True",
    lastTransitionTime: "2026-01-01T00:00:00Z",
  };
  return {
    metadata: {
      name: `db-${ordinal}`,
      labels: { "controller-revision-hash": revision, "statefulset.kubernetes.io/pod-name": `db-${ordinal}` },
      ...(fate === "going" ? { deletionTimestamp: "2026-01-01T00:00:00Z" } : {}),
    },
    spec: { containers: [] },
    status: {
      phase: fate === "failed" ? "Failed" : isRunning ? "Running" : "Pending",
      conditions: isRunning ? [ready] : [],
    },
  };
}

const none = (): undefined => undefined;

it("makes one of each name only, in order below all that is well; takes away what is one too many, from above", () => {
  fc.assert(
    fc.property(anySet, anyPods, (set, made) => {
      const pods = made.map(({ ordinal, revision, fate }) => podOf(ordinal, revision, fate));
      const { actions } = plan(set, versions, pods, none, NOW_MS);
      const created = actions.flatMap((action) => (action.do === "create" ? [action.pod] : []));
      const gone = actions.flatMap((action) => (action.do === "delete" ? [action.pod] : []));
      for (const pod of created) {
        expect(isWanted(set, ordinalOf(set, pod) ?? -1)).toBe(true);
        expect(pods.map(({ metadata }) => metadata.name)).not.toContain(pod.metadata.name);
      }
      for (const pod of gone) expect(pod.metadata.deletionTimestamp).toBeUndefined();
      if (set.spec.podManagementPolicy === "Parallel") return;
      expect(created.length + gone.length).toBeLessThanOrEqual(Math.max(1, maxUnavailable(set)));
      const [first] = created;
      const below = first ? (ordinalOf(set, first) ?? 0) : 0;
      for (let ordinal = set.spec.ordinals?.start ?? 0; ordinal < below; ordinal++)
        expect(made.find((one) => one.ordinal === ordinal)?.fate).toBe("ready");
    }),
  );
});

it("never takes away more well pods for a rollout than may be unavailable", () => {
  fc.assert(
    fc.property(anySet, anyPods, (set, made) => {
      const pods = made.map(({ ordinal, revision, fate }) => podOf(ordinal, revision, fate));
      const { actions } = plan(set, versions, pods, none, NOW_MS);
      const isWell = (pod: Pod): boolean =>
        isWanted(set, ordinalOf(set, pod) ?? -1) &&
        pod.metadata.deletionTimestamp === undefined &&
        made.some(({ ordinal, fate }) => fate === "ready" && ordinal === ordinalOf(set, pod));
      const taken = actions.filter((action) => action.do === "delete" && isWell(action.pod)).length;
      const unwell = (set.spec.replicas ?? 1) - pods.filter(isWell).length;
      expect(taken).toBeLessThanOrEqual(Math.max(0, maxUnavailable(set) - unwell));
    }),
  );
});

it("comes to an end: every pod that is wanted, ready and of its revision, and nothing left to do", () => {
  fc.assert(
    fc.property(anySet, anyPods, (set, made) => {
      let pods = made.map(({ ordinal, revision, fate }) => podOf(ordinal, revision, fate));
      for (let round = 0; round < 60; round++) {
        // Somebody takes away what has failed and is not wanted: an ordered set takes nothing away while much is unwell.
        pods = pods
          .filter(({ metadata }) => metadata.deletionTimestamp === undefined)
          .filter((pod) => pod.status?.phase !== "Failed" || isWanted(set, ordinalOf(set, pod) ?? -1))
          .map((pod) =>
            pod.status?.phase === "Failed" ? pod : podOf(ordinalOf(set, pod) ?? 0, revisionNameOf(pod), "ready"),
          );
        const { actions } = plan(set, versions, pods, none, NOW_MS);
        if (actions.length === 0) break;
        for (const action of actions) {
          if (action.do === "create") pods.push(action.pod);
          if (action.do === "delete") pods = pods.filter((pod) => pod !== action.pod);
        }
      }
      const first = set.spec.ordinals?.start ?? 0;
      const partition = set.spec.updateStrategy?.rollingUpdate?.partition ?? 0;
      const wanted = Array.from({ length: set.spec.replicas ?? 1 }, (_, index) => podName(set, first + index));
      expect(pods.map(({ metadata }) => metadata.name ?? "").sort()).toEqual(wanted.sort());
      for (const pod of pods)
        if ((ordinalOf(set, pod) ?? 0) >= first + partition) expect(revisionNameOf(pod)).toBe("db-new");
    }),
  );
});
