import type { PersistentVolume, PersistentVolumeClaim, Pod } from "@pilothouse/api/types/core-v1";
import type { StorageClass } from "@pilothouse/api/types/storage-v1";
import { BIND_COMPLETED } from "@pilothouse/kinds/core/volume-binding";
import { expect, test } from "vitest";
import { node, pod } from "../../core/cluster.fixture.ts";
import { schedule } from "../../core/cycle.ts";
import { ClusterState, type StorageView } from "../../core/snapshot.ts";
import { plugins } from "../registry.ts";
import { IN_USE_REASON, volumeRestrictions } from "../volume-restrictions/volume-restrictions.ts";
import { choicesFor, NO_VOLUME_REASON, NODE_CONFLICT_REASON, UNBOUND_REASON, volumeBinding } from "./volume-binding.ts";

const LOCAL: StorageClass = {
  metadata: { name: "local" },
  provisioner: "kubernetes.io/no-provisioner",
  volumeBindingMode: "WaitForFirstConsumer",
};
const MADE: StorageClass = { ...LOCAL, metadata: { name: "made" }, provisioner: "example.com/maker" };
const AT_ONCE: StorageClass = { metadata: { name: "at-once" }, provisioner: "example.com/maker" };

function user(name: string, ...claims: string[]): Pod {
  const volumes = claims.map((claimName) => ({ name: claimName, persistentVolumeClaim: { claimName } }));
  const made = pod(name, { volumes });
  return { ...made, metadata: { ...made.metadata, name } };
}

function claim(name: string, storageClassName: string, volumeName?: string): PersistentVolumeClaim {
  const bound = volumeName === undefined ? {} : { [BIND_COMPLETED]: "yes" };
  return {
    metadata: { name, namespace: "default", uid: `uid of ${name}`, annotations: bound },
    spec: {
      storageClassName,
      accessModes: ["ReadWriteOnce"],
      resources: { requests: { storage: "1Gi" } },
      ...(volumeName === undefined ? {} : { volumeName }),
    },
  };
}

/** A disk of one node, as large as it says. */
function disk(name: string, on: string, storage = "1Gi"): PersistentVolume {
  const matchExpressions = [{ key: "kubernetes.io/hostname", operator: "In", values: [on] }];
  return {
    metadata: { name },
    spec: {
      capacity: { storage },
      accessModes: ["ReadWriteOnce"],
      storageClassName: "local",
      local: { path: "/disk" },
      nodeAffinity: { required: { nodeSelectorTerms: [{ matchExpressions }] } },
    },
    status: { phase: "Available" },
  };
}

function view(claims: readonly PersistentVolumeClaim[], volumes: readonly PersistentVolume[] = []): StorageView {
  return {
    claim: (_namespace, name) => claims.find(({ metadata }) => metadata.name === name),
    volumes: () => volumes,
    storageClass: (name) => [LOCAL, MADE, AT_ONCE].find(({ metadata }) => metadata.name === name),
  };
}

/** Of nodes a and b: why not, or "fits". */
function verdicts(wanted: Pod, storage: StorageView): readonly string[] {
  const state = new ClusterState({ storage });
  for (const name of ["a", "b"]) state.setNode(node(name));
  const snapshot = state.snapshot();
  const prepared = volumeBinding.prepare(wanted, snapshot);
  return snapshot.nodes.map((each) => {
    const verdict = volumeBinding.filter?.(wanted, each, prepared);
    return !verdict || verdict.verdict === "fits" ? "fits" : verdict.reasons.join();
  });
}

test("a pod goes where its volume is", () => {
  const storage = view([claim("data", "local", "disk-b")], [disk("disk-a", "a"), disk("disk-b", "b")]);
  expect(verdicts(user("web", "data"), storage)).toEqual([NODE_CONFLICT_REASON, "fits"]);
});

test("a claim that waits for its pod's node keeps it to nodes that have a volume for it", () => {
  const storage = view([claim("data", "local")], [disk("small", "a", "1Mi"), disk("large", "b")]);
  expect(verdicts(user("web", "data"), storage)).toEqual([NO_VOLUME_REASON, "fits"]);
});

test("two claims need two volumes, and the choice names both", () => {
  const claims = [claim("one", "local"), claim("two", "local")];
  const volumes = [disk("a1", "a"), disk("b1", "b"), disk("b2", "b")];
  const wanted = user("web", "one", "two");
  const storage = view(claims, volumes);
  expect(verdicts(wanted, storage)).toEqual([NO_VOLUME_REASON, "fits"]);
  const state = new ClusterState({ storage });
  state.setNode(node("b"));
  const [target] = state.snapshot().nodes;
  if (!target) throw new Error("no node");
  const { bind, provision } = choicesFor(wanted, target, storage);
  expect(bind.map(({ claim: one, volume }) => `${one.metadata.name}: ${volume.metadata.name}`)).toEqual([
    "one: b1",
    "two: b2",
  ]);
  expect(provision).toEqual([]);
});

test("where volumes are made, any node will do, and the claim is to say which it is", () => {
  const storage = view([claim("data", "made")]);
  const wanted = user("web", "data");
  expect(verdicts(wanted, storage)).toEqual(["fits", "fits"]);
  const state = new ClusterState({ storage });
  state.setNode(node("a"));
  const [target] = state.snapshot().nodes;
  if (!target) throw new Error("no node");
  expect(choicesFor(wanted, target, storage).provision.map(({ metadata }) => metadata.name)).toEqual(["data"]);
});

test("what no node can help is said of all", () => {
  const lost = { ...claim("lost", "local", "gone"), status: { phase: "Lost" } };
  const leaving = claim("leaving", "local");
  leaving.metadata.deletionTimestamp = "2026-01-01T00:00:00Z";
  const storage = view([claim("early", "at-once"), lost, leaving]);
  const rows = [
    ["nowhere", 'persistentvolumeclaim "nowhere" not found'],
    ["early", UNBOUND_REASON],
    ["leaving", 'persistentvolumeclaim "leaving" is being deleted'],
    ["lost", 'persistentvolumeclaim "lost" bound to non-existent persistentvolume "gone"'],
  ] as const;
  for (const [name, reason] of rows) {
    expect(verdicts(user("web", name), storage)).toEqual([reason, reason]);
    const state = new ClusterState({ storage });
    for (const one of [node("a"), node("b", { unschedulable: true })]) state.setNode(one);
    const decision = schedule(user("web", name), state.snapshot(), plugins, 0);
    expect(decision).toMatchObject({ message: `0/2 nodes are available: ${reason}.` });
  }
});

test("a claim for one pod alone has one at a time", () => {
  const alone = claim("data", "local");
  alone.spec.accessModes = ["ReadWriteOncePod"];
  const state = new ClusterState({ storage: view([alone]) });
  for (const name of ["a", "b"]) state.setNode(node(name));
  const judged = (wanted: Pod): string => {
    const snapshot = state.snapshot();
    const [first] = snapshot.nodes;
    if (!first) throw new Error("no node");
    const verdict = volumeRestrictions.filter?.(wanted, first, volumeRestrictions.prepare(wanted, snapshot));
    return !verdict || verdict.verdict === "fits" ? "fits" : verdict.reasons.join();
  };
  expect(judged(user("first", "data"))).toBe("fits");
  const running = user("first", "data");
  state.setPod({ ...running, spec: { ...running.spec, nodeName: "b" } });
  expect(judged(user("second", "data"))).toBe(IN_USE_REASON);
  expect(judged(user("second", "other"))).toBe("fits");
});
