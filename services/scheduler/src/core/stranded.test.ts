import type { Node, PersistentVolume, PersistentVolumeClaim, Pod, PodSpec } from "@pilothouse/api/types/core-v1";
import type { StorageClass } from "@pilothouse/api/types/storage-v1";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { node, pod } from "./cluster.fixture.ts";
import { History } from "./history.fixture.ts";
import { MAX_BACKOFF_MS } from "./queue.ts";
import {
  apart,
  claiming,
  db,
  dedicated,
  HOST,
  near,
  placed,
  port,
  spread,
  together,
  told,
  web,
  ZONE,
} from "./wishes.fixture.ts";

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
