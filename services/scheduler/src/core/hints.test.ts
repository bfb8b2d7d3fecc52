import type { Node, PersistentVolume, PersistentVolumeClaim, Pod, PodSpec } from "@pilothouse/api/types/core-v1";
import type { StorageClass } from "@pilothouse/api/types/storage-v1";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { node, pod } from "./cluster.fixture.ts";
import type { ClusterEvent } from "./events.ts";
import { History } from "./history.fixture.ts";
import { MAX_BACKOFF_MS } from "./queue.ts";

const ZONE = "topology.kubernetes.io/zone";
const HOST = "kubernetes.io/hostname";
const web = { matchLabels: { app: "web" } };
const db = { matchLabels: { app: "db" } };

const labelled = (one: Pod, labels: Record<string, string>): Pod => ({ ...one, metadata: { ...one.metadata, labels } });
const placed = (one: Pod, nodeName: string): Pod => ({ ...one, spec: { ...one.spec, nodeName } });
const told = (one: Pod): Pod => ({
  ...one,
  metadata: { ...one.metadata, deletionTimestamp: "2026-01-01T00:00:00Z" },
});
const port = (hostPort: number): Partial<PodSpec> => ({
  containers: [{ name: "c", image: "web", ports: [{ containerPort: 80, hostPort }] }],
});
const dedicated = { key: "dedicated", value: "db", effect: "NoSchedule" };
const spread = (topologyKey: string): Partial<PodSpec> => ({
  topologySpreadConstraints: [{ maxSkew: 1, topologyKey, whenUnsatisfiable: "DoNotSchedule", labelSelector: web }],
});
const near = (topologyKey: string): Partial<PodSpec> => ({
  affinity: {
    podAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [{ topologyKey, labelSelector: db }] },
  },
});
const apart = (topologyKey: string): Partial<PodSpec> => ({
  affinity: {
    podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [{ topologyKey, labelSelector: web }] },
  },
});
const together: Partial<PodSpec> = {
  affinity: {
    podAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [{ topologyKey: ZONE, labelSelector: web }] },
  },
};
const claiming: Partial<PodSpec> = {
  volumes: [{ name: "data", persistentVolumeClaim: { claimName: "data" } }],
};

describe("a pod that was refused", () => {
  const small = node("a", { cpu: "1" });
  const rows: readonly {
    readonly because: string;
    readonly wants: Pod;
    readonly nodes: readonly Node[];
    readonly running?: readonly Pod[];
    readonly event: string;
    readonly happens: (history: History) => readonly ClusterEvent[];
    readonly wakes: boolean;
  }[] = [
    {
      because: "there is too little CPU",
      wants: pod("big", {}, { cpu: "2" }),
      nodes: [small],
      event: "a node as small comes",
      happens: ({ state }) => state.setNode(node("b", { cpu: "1" })),
      wakes: false,
    },
    {
      because: "there is too little CPU",
      wants: pod("big", {}, { cpu: "2" }),
      nodes: [small],
      event: "a larger node comes",
      happens: ({ state }) => state.setNode(node("b")),
      wakes: true,
    },
    {
      because: "there is too little CPU",
      wants: pod("big", {}, { cpu: "2" }),
      nodes: [small],
      event: "the node gets a label",
      happens: ({ state }) => state.setNode(node("a", { cpu: "1", labels: { disk: "ssd" } })),
      wakes: false,
    },
    {
      because: "there is too little CPU",
      wants: pod("big", {}, { cpu: "2" }),
      nodes: [small],
      event: "another pod is placed",
      happens: ({ state }) => state.setPod(placed(pod("other"), "a")),
      wakes: false,
    },
    {
      because: "others use the CPU",
      wants: pod("big", {}, { cpu: "1" }),
      nodes: [small],
      running: [placed(pod("other", {}, { cpu: "1" }), "a")],
      event: "one of them is resized to nothing",
      happens: ({ state }) => state.setPod(placed(pod("other", {}, { cpu: "0" }), "a")),
      wakes: true,
    },
    {
      because: "others use the CPU",
      wants: pod("big", {}, { cpu: "1" }),
      nodes: [small],
      running: [placed(pod("other", {}, { cpu: "1" }), "a")],
      event: "one of them gets a label",
      happens: ({ state }) => state.setPod(placed(labelled(pod("other", {}, { cpu: "1" }), { app: "new" }), "a")),
      wakes: false,
    },
    {
      because: "others use the CPU",
      wants: pod("big", {}, { cpu: "1" }),
      nodes: [small],
      running: [placed(pod("other", {}, { cpu: "1" }), "a")],
      event: "one of them ends",
      happens: ({ state }) => state.removePod("default/other"),
      wakes: true,
    },
    {
      because: "a taint keeps it away",
      wants: pod("web"),
      nodes: [node("a", { taints: [dedicated] })],
      event: "a pod ends",
      happens: ({ state }) => [...state.setPod(placed(pod("other"), "a")), ...state.removePod("default/other")],
      wakes: false,
    },
    {
      because: "a taint keeps it away",
      wants: pod("web"),
      nodes: [node("a", { taints: [dedicated] })],
      event: "the taint is taken away",
      happens: ({ state }) => state.setNode(node("a")),
      wakes: true,
    },
    {
      because: "the node is cordoned",
      wants: pod("web"),
      nodes: [node("a", { unschedulable: true })],
      event: "it says how it is, and stays cordoned",
      happens: ({ state }) => state.setNode(node("a", { unschedulable: true, cpu: "8" })),
      wakes: false,
    },
    {
      because: "the node is cordoned",
      wants: pod("web"),
      nodes: [node("a", { unschedulable: true })],
      event: "it is uncordoned",
      happens: ({ state }) => state.setNode(node("a")),
      wakes: true,
    },
    {
      because: "no node has the label",
      wants: pod("web", { nodeSelector: { disk: "ssd" } }),
      nodes: [node("a")],
      event: "another label is set",
      happens: ({ state }) => state.setNode(node("a", { labels: { disk: "hdd" } })),
      wakes: false,
    },
    {
      because: "no node has the label",
      wants: pod("web", { nodeSelector: { disk: "ssd" } }),
      nodes: [node("a")],
      event: "the label is set",
      happens: ({ state }) => state.setNode(node("a", { labels: { disk: "ssd" } })),
      wakes: true,
    },
    {
      because: "its host port is taken",
      wants: pod("web", port(8080)),
      nodes: [node("a")],
      running: [placed(pod("other", port(8080)), "a"), placed(pod("third", port(9090)), "a")],
      event: "a pod with another port ends",
      happens: ({ state }) => state.removePod("default/third"),
      wakes: false,
    },
    {
      because: "its host port is taken",
      wants: pod("web", port(8080)),
      nodes: [node("a")],
      running: [placed(pod("other", port(8080)), "a")],
      event: "the pod that has it ends",
      happens: ({ state }) => state.removePod("default/other"),
      wakes: true,
    },
    {
      because: "its set would not be spread",
      wants: pod("web", spread(ZONE)),
      nodes: [
        node("a", { labels: { [ZONE]: "east" } }),
        node("b", { labels: { [ZONE]: "west" }, taints: [dedicated] }),
      ],
      running: [placed(pod("one"), "a"), placed(labelled(pod("two"), { app: "db" }), "a")],
      event: "a pod of another set ends",
      happens: ({ state }) => state.removePod("default/two"),
      wakes: false,
    },
    {
      because: "its set would not be spread",
      wants: pod("web", spread(ZONE)),
      nodes: [
        node("a", { labels: { [ZONE]: "east" } }),
        node("b", { labels: { [ZONE]: "west" }, taints: [dedicated] }),
      ],
      running: [placed(pod("one"), "a")],
      event: "a pod of its set is told to go",
      happens: ({ state }) => state.setPod(told(placed(pod("one"), "a"))),
      wakes: true,
    },
    {
      because: "nobody is there whom it must be near",
      wants: pod("web", near(HOST)),
      nodes: [node("a")],
      event: "a stranger is placed",
      happens: ({ state }) => state.setPod(placed(pod("stranger"), "a")),
      wakes: false,
    },
    {
      because: "nobody is there whom it must be near",
      wants: pod("web", near(HOST)),
      nodes: [node("a")],
      event: "its like is placed",
      happens: ({ state }) => state.setPod(placed(labelled(pod("db"), { app: "db" }), "a")),
      wakes: true,
    },
    {
      because: "one whom it must be apart from is still ending",
      wants: pod("web", apart(HOST)),
      nodes: [node("a")],
      running: [told(placed(pod("old"), "a")), placed(labelled(pod("db"), { app: "db" }), "a")],
      event: "a stranger ends",
      happens: ({ state }) => state.removePod("default/db"),
      wakes: false,
    },
    {
      because: "one whom it must be apart from is still ending",
      wants: pod("web", apart(HOST)),
      nodes: [node("a")],
      running: [told(placed(pod("old"), "a"))],
      event: "it has ended",
      happens: ({ state }) => state.removePod("default/old"),
      wakes: true,
    },
  ];

  it.each(rows)("because $because: when $event, it is tried again: $wakes", (row) => {
    const { wants, nodes, running = [], happens, wakes } = row;
    const history = new History();
    for (const one of nodes) history.state.setNode(one);
    for (const one of running) history.state.setPod(one);
    const decision = history.decide(wants);
    if (decision.outcome !== "unschedulable") throw new Error("it was not refused");
    expect(happens(history).some(decision.undoneBy)).toBe(wakes);
    expect(history.decide(wants).outcome).toBe(wakes ? "scheduled" : "unschedulable");
  });

  it("because its claim has no volume: only storage of its own wakes it", () => {
    const history = new History();
    history.state.setNode(node("a"));
    const decision = history.decide(pod("web", claiming));
    if (decision.outcome !== "unschedulable") throw new Error("it was not refused");
    const claim = (name: string): ClusterEvent => ({
      what: "claim changed",
      claim: { metadata: { name, namespace: "default" }, spec: {} },
    });
    const volume = (name: string): PersistentVolume => ({
      metadata: { name: "v" },
      spec: { claimRef: { namespace: "default", name } },
    });
    const told = (name: string, before?: string): ClusterEvent => ({
      what: "volume changed",
      before: before === undefined ? undefined : volume(before),
      volume: volume(name),
    });
    const events = [claim("data"), claim("other"), told("data"), told("other")];
    expect(events.map(decision.undoneBy)).toEqual([true, false, true, false]);
    // One that was given to its claim, in a place that it cannot go to, is given to another: now a better one may come.
    expect(decision.undoneBy(told("other", "data"))).toBe(true);
  });
});

const NODES = ["a", "b", "c"];
const seldom = fc.nat(4).map((n) => n === 0);
const nodeVariant = fc.record({
  name: fc.constantFrom(...NODES),
  cpu: fc.constantFrom("1", "2", "4"),
  zone: fc.constantFrom("east", "west", undefined),
  disk: fc.constantFrom("ssd", "hdd"),
  tainted: seldom,
  unschedulable: seldom,
});
type NodeVariant = typeof nodeVariant extends fc.Arbitrary<infer T> ? T : never;

function nodeOf({ name, cpu, zone, disk, tainted, unschedulable }: NodeVariant): Node {
  const labels: Record<string, string> = { disk, ...(zone === undefined ? {} : { [ZONE]: zone }) };
  return node(name, { cpu, labels, unschedulable, ...(tainted ? { taints: [dedicated] } : {}) });
}

/** Of every kind of wish that a plugin may refuse. */
const WISHES: readonly Partial<PodSpec>[] = [
  {},
  { nodeSelector: { disk: "ssd" } },
  { tolerations: [{ key: "dedicated", operator: "Exists" }] },
  { tolerations: [{ operator: "Exists" }] },
  port(8080),
  spread(ZONE),
  spread(HOST),
  {
    topologySpreadConstraints: [
      {
        maxSkew: 1,
        topologyKey: ZONE,
        whenUnsatisfiable: "DoNotSchedule",
        labelSelector: web,
        nodeTaintsPolicy: "Honor",
      },
      { maxSkew: 1, topologyKey: "disk", whenUnsatisfiable: "DoNotSchedule", labelSelector: db, minDomains: 2 },
    ],
  },
  near(ZONE),
  apart(HOST),
  apart(ZONE),
  together,
  {
    affinity: {
      podAffinity: {
        requiredDuringSchedulingIgnoredDuringExecution: [
          { topologyKey: ZONE, labelSelector: db, namespaceSelector: { matchLabels: { team: "x" } } },
        ],
      },
    },
  },
  claiming,
];

interface PodVariant {
  readonly name: string;
  readonly app: "web" | "db";
  readonly cpu: "0" | "1" | "2";
  readonly wish: number;
}

const podVariant = (wishes: readonly number[]): fc.Arbitrary<PodVariant> =>
  fc.record({
    name: fc.constantFrom("p", "q", "r", "s"),
    app: fc.constantFrom("web", "db"),
    cpu: fc.constantFrom("0", "0", "0", "1", "2"),
    wish: fc.constantFrom(...wishes),
  });

function podOf({ name, app, cpu, wish }: PodVariant, prefix = ""): Pod {
  const { containers: [container] = [], ...spec } = WISHES[wish] as Partial<PodSpec>;
  const made = pod(prefix + name, spec, { cpu });
  const [own] = made.spec.containers;
  const withUid = { ...made.metadata, uid: `${name} ${app} ${cpu} ${wish}`, labels: { app } };
  return {
    ...made,
    metadata: withUid,
    spec: { ...made.spec, containers: [{ ...container, ...own } as typeof own & {}] },
  };
}

const LATER: StorageClass = {
  metadata: { name: "local" },
  provisioner: "kubernetes.io/no-provisioner",
  volumeBindingMode: "WaitForFirstConsumer",
};
const CLASSES: readonly (StorageClass | undefined)[] = [
  undefined,
  LATER,
  { ...LATER, provisioner: "example.com/maker" },
  { metadata: { name: "local" }, provisioner: "example.com/maker" },
];
const CLAIMS: readonly (PersistentVolumeClaim | undefined)[] = [undefined, claimOf(false), claimOf(true)];

function claimOf(bound: boolean): PersistentVolumeClaim {
  return {
    metadata: {
      name: "data",
      namespace: "default",
      uid: "data",
      annotations: bound ? { "pv.kubernetes.io/bind-completed": "yes" } : {},
    },
    spec: {
      storageClassName: "local",
      accessModes: ["ReadWriteOncePod"],
      resources: { requests: { storage: "1Gi" } },
      ...(bound ? { volumeName: "disk" } : {}),
    },
  };
}

function volumeOf(zone: string, claimName: string | undefined, labelled = zone): PersistentVolume {
  const matchExpressions = [{ key: ZONE, operator: "In", values: [zone] }];
  return {
    metadata: { name: "disk", labels: { [ZONE]: labelled } },
    spec: {
      capacity: { storage: "1Gi" },
      accessModes: ["ReadWriteOncePod"],
      storageClassName: "local",
      nodeAffinity: { required: { nodeSelectorTerms: [{ matchExpressions }] } },
      ...(claimName === undefined ? {} : { claimRef: { namespace: "default", name: claimName, uid: claimName } }),
    },
    status: { phase: claimName === undefined ? "Available" : "Bound" },
  };
}

const VOLUMES: readonly (PersistentVolume | undefined)[] = [
  undefined,
  ...["east", "west"].flatMap((zone) => [undefined, "data", "other"].map((claimName) => volumeOf(zone, claimName))),
  volumeOf("east", "data", "west"),
  volumeOf("east", "data", "west__east"),
];

type Step = (history: History) => void;

/** Whatever may happen to a cluster; what makes no sense at the moment does nothing. */
const stepWith = (somePod: fc.Arbitrary<PodVariant>): fc.Arbitrary<Step> =>
  fc.oneof(
    nodeVariant.map(
      (variant): Step =>
        (it) =>
          it.tell(it.state.setNode(nodeOf(variant))),
    ),
    fc.constantFrom(...NODES).map(
      (name): Step =>
        (it) =>
          it.tell(it.state.removeNode(name)),
    ),
    fc.tuple(somePod, fc.constantFrom(...NODES)).map(([variant, nodeName]): Step => (it) => {
      it.tell(it.state.setPod(placed(podOf(variant, "on-"), nodeName)));
    }),
    fc.tuple(somePod, fc.constantFrom(...NODES)).map(
      ([variant, nodeName]): Step =>
        (it) =>
          it.tell(it.state.setPod(told(placed(podOf(variant, "on-"), nodeName)))),
    ),
    somePod.map(
      ({ name }): Step =>
        (it) =>
          it.tell(it.state.removePod(`default/on-${name}`)),
    ),
    somePod.map(
      (variant): Step =>
        (it) =>
          it.want(podOf(variant)),
    ),
    // Decided, and the binding fails later, or never.
    fc.tuple(somePod, fc.constantFrom(...NODES)).map(
      ([variant, nodeName]): Step =>
        (it) =>
          it.tell(it.state.assume(podOf(variant, "on-"), nodeName)),
    ),
    somePod.map(
      (variant): Step =>
        (it) =>
          it.tell(it.state.forget(podOf(variant, "on-"))),
    ),
    fc.tuple(somePod, fc.constantFrom(...NODES)).map(([{ name }, nodeName]): Step => (it) => {
      const waiting = it.pending.get(`default/${name}`);
      if (waiting) it.tell(it.state.nominate(waiting, nodeName));
    }),
    somePod.map(
      ({ name }): Step =>
        (it) =>
          it.tell(it.state.withdraw(`default/${name}`)),
    ),
    fc.constantFrom("x", "y").map((team): Step => (it) => {
      it.namespaceLabels.set("default", { team });
      it.tell([
        { what: "namespace changed", namespace: { metadata: { name: "default", labels: { team } }, spec: {} } },
      ]);
    }),
    fc.constantFrom(...CLAIMS).map((claim): Step => (it) => {
      const last = claim ?? it.claims.get("data");
      if (claim) it.claims.set("data", claim);
      else it.claims.delete("data");
      if (last) it.tell([{ what: "claim changed", claim: last }]);
    }),
    fc.constantFrom(...VOLUMES).map((volume): Step => (it) => {
      const before = it.volumes.get("disk");
      const last = volume ?? before;
      if (volume) it.volumes.set("disk", volume);
      else it.volumes.delete("disk");
      if (last) it.tell([{ what: "volume changed", before: volume && before, volume: last }]);
    }),
    fc.constantFrom(...CLASSES).map((storageClass): Step => (it) => {
      const last = storageClass ?? it.storageClasses.get("local");
      if (storageClass) it.storageClasses.set("local", storageClass);
      else it.storageClasses.delete("local");
      if (last) it.tell([{ what: "storage class changed", storageClass: last }]);
    }),
  );

/** In each only few kinds of wish, so that they meet: with all of them at once, all is refused for many reasons. */
const history = fc
  .uniqueArray(fc.nat(WISHES.length - 1), { minLength: 1, maxLength: 3 })
  .chain((wishes) => fc.array(stepWith(podVariant(wishes)), { minLength: 20, maxLength: 60, size: "max" }));

describe("no pod is stranded", () => {
  it("whatever happens, in flight or later: once a node fits, the pod is tried, after its back-off at the latest", () => {
    fc.assert(
      fc.property(history, (steps) => {
        const cluster = new History();
        for (const happens of steps) {
          const fitting = cluster.thoseThatFit();
          const tried = cluster.popAll();
          expect([...tried.keys()]).toEqual(expect.arrayContaining([...fitting]));
          happens(cluster);
          cluster.settle(tried);
          cluster.nowMs += MAX_BACKOFF_MS;
        }
      }),
      { numRuns: 300 },
    );
  });
});
