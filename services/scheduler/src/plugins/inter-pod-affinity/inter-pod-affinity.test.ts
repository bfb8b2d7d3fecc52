import type { Affinity, Pod, PodAffinityTerm } from "@pilothouse/api/types/core-v1";
import { expect, test } from "vitest";
import { node, pod } from "../../core/cluster.fixture.ts";
import { schedule } from "../../core/cycle.ts";
import { ClusterState } from "../../core/snapshot.ts";
import {
  AFFINITY_REASON,
  ANTI_AFFINITY_REASON,
  EXISTING_ANTI_AFFINITY_REASON,
  interPodAffinity,
} from "./inter-pod-affinity.ts";

const HOST = "kubernetes.io/hostname";
const ZONE = "topology.kubernetes.io/zone";
const NODES = [
  node("a1", { labels: { [ZONE]: "a" } }),
  node("a2", { labels: { [ZONE]: "a" } }),
  node("b1", { labels: { [ZONE]: "b" } }),
];

function term(app: string, topologyKey: string, more: Partial<PodAffinityTerm> = {}): PodAffinityTerm {
  return { topologyKey, labelSelector: { matchLabels: { app } }, ...more };
}

const near = (...terms: PodAffinityTerm[]): Affinity => ({
  podAffinity: { requiredDuringSchedulingIgnoredDuringExecution: terms },
});
const apart = (...terms: PodAffinityTerm[]): Affinity => ({
  podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution: terms },
});

interface Sketch {
  readonly app: string;
  readonly on?: string;
  readonly affinity?: Affinity;
  readonly namespace?: string;
}

function made({ app, on, affinity, namespace = "default" }: Sketch): Pod {
  const spec = { ...(on === undefined ? {} : { nodeName: on }), ...(affinity ? { affinity } : {}) };
  return {
    ...pod(`${app}-${on ?? "new"}`, spec),
    metadata: { name: `${app}-${on ?? "new"}`, namespace, labels: { app } },
  };
}

/** Every node with the reason why not, or "fits". */
function verdicts(running: readonly Sketch[], wanted: Sketch): Record<string, string> {
  const state = new ClusterState({ namespaceLabels: (name) => ({ team: name }) });
  for (const one of NODES) state.setNode(one);
  for (const one of running) state.setPod(made(one));
  const snapshot = state.snapshot();
  const prepared = interPodAffinity.prepare(made(wanted), snapshot);
  return Object.fromEntries(
    snapshot.nodes.map((each) => {
      const verdict = interPodAffinity.filter?.(made(wanted), each, prepared);
      return [each.name, !verdict || verdict.verdict === "fits" ? "fits" : verdict.reasons.join()];
    }),
  );
}

const ROWS: readonly (readonly [
  what: string,
  running: Sketch[],
  wanted: Sketch,
  a1: string,
  a2: string,
  b1: string,
])[] = [
  [
    "near a pod, by zone",
    [{ app: "db", on: "a1" }],
    { app: "web", affinity: near(term("db", ZONE)) },
    "fits",
    "fits",
    AFFINITY_REASON,
  ],
  [
    "near a pod, by host",
    [{ app: "db", on: "a1" }],
    { app: "web", affinity: near(term("db", HOST)) },
    "fits",
    AFFINITY_REASON,
    AFFINITY_REASON,
  ],
  [
    "near a pod that is nowhere",
    [],
    { app: "web", affinity: near(term("db", ZONE)) },
    AFFINITY_REASON,
    AFFINITY_REASON,
    AFFINITY_REASON,
  ],
  ["the first of a group goes anywhere", [], { app: "web", affinity: near(term("web", ZONE)) }, "fits", "fits", "fits"],
  [
    "apart from its like",
    [{ app: "web", on: "a1" }],
    { app: "web", affinity: apart(term("web", ZONE)) },
    ANTI_AFFINITY_REASON,
    ANTI_AFFINITY_REASON,
    "fits",
  ],
  [
    "a pod that is there wants to be alone",
    [{ app: "hermit", on: "a1", affinity: apart(term("web", HOST)) }],
    { app: "web" },
    EXISTING_ANTI_AFFINITY_REASON,
    "fits",
    "fits",
  ],
  [
    "a pod of another namespace is not meant",
    [{ app: "db", on: "a1", namespace: "other" }],
    { app: "web", affinity: apart(term("db", HOST)) },
    "fits",
    "fits",
    "fits",
  ],
  [
    "unless the term names that namespace",
    [{ app: "db", on: "a1", namespace: "other" }],
    { app: "web", affinity: apart(term("db", HOST, { namespaces: ["other"] })) },
    ANTI_AFFINITY_REASON,
    "fits",
    "fits",
  ],
  [
    "or selects it by its labels",
    [{ app: "db", on: "a1", namespace: "other" }],
    { app: "web", affinity: apart(term("db", HOST, { namespaceSelector: { matchLabels: { team: "other" } } })) },
    ANTI_AFFINITY_REASON,
    "fits",
    "fits",
  ],
];

test.each(ROWS)("%s", (_what, running, wanted, a1, a2, b1) => {
  expect(verdicts(running, wanted)).toEqual({ a1, a2, b1 });
});

test("preferences pull and push, those of pods that are there as well", () => {
  const prefers = (field: "podAffinity" | "podAntiAffinity", app: string): Affinity => ({
    [field]: {
      preferredDuringSchedulingIgnoredDuringExecution: [{ weight: 100, podAffinityTerm: term(app, HOST) }],
    },
  });
  const goesTo = (running: readonly Sketch[], wanted: Sketch): string => {
    const state = new ClusterState();
    for (const one of NODES) state.setNode(one);
    for (const one of running) state.setPod(made(one));
    const decision = schedule(made(wanted), state.snapshot(), [interPodAffinity as never], 0.99);
    return decision.outcome === "scheduled" ? decision.node.name : decision.message;
  };
  expect(goesTo([{ app: "db", on: "a2" }], { app: "web", affinity: prefers("podAffinity", "db") })).toBe("a2");
  expect(goesTo([{ app: "db", on: "b1" }], { app: "web", affinity: prefers("podAntiAffinity", "db") })).toBe("a2");
  expect(goesTo([{ app: "db", on: "a1", affinity: prefers("podAffinity", "web") }], { app: "web" })).toBe("a1");
});
