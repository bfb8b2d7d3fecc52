import type { Node, PersistentVolume, PersistentVolumeClaim, Pod } from "@pilothouse/api/types/core-v1";
import type { StorageClass } from "@pilothouse/api/types/storage-v1";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { cleanerName, makerName, type LocalVolumes } from "./plan-helpers.ts";
import { planLocalVolume, type Step } from "./plan.ts";

const SETTINGS: LocalVolumes = { directory: "/disks", image: "busybox" };
const NAME = "pvc-1234";
const STANDARD: StorageClass = {
  metadata: { name: "standard" },
  provisioner: "pilothouse.io/local-volume",
  reclaimPolicy: "Delete",
  volumeBindingMode: "WaitForFirstConsumer",
};

/** One claim, its volume, the node's disk, and the others who have a hand in it: the scheduler, the binder, the kubelet. */
class World {
  nowMs = 0;
  claim: PersistentVolumeClaim | undefined;
  volume: PersistentVolume | undefined;
  storageClass: StorageClass | undefined = STANDARD;
  readonly nodes = new Map<string, Node>();
  readonly pods = new Map<string, Pod>();
  /** `node:path`. */
  readonly directories = new Set<string>();
  readonly told: string[] = [];
  /** Pods of these names fail while it stands so. */
  failing = "";

  constructor(spec: Partial<PersistentVolumeClaim["spec"]> = {}, node = "a") {
    for (const name of ["a", "b"]) {
      this.nodes.set(name, { metadata: { name, labels: { "kubernetes.io/hostname": name } }, spec: {} });
    }
    const annotations = {
      "volume.kubernetes.io/storage-provisioner": "pilothouse.io/local-volume",
      ...(node === "" ? {} : { "volume.kubernetes.io/selected-node": node }),
    };
    this.claim = {
      metadata: { name: "data", namespace: "shop", uid: "1234", annotations },
      spec: {
        accessModes: ["ReadWriteOnce"],
        resources: { requests: { storage: "1Gi" } },
        storageClassName: "standard",
        ...spec,
      },
    };
  }

  step(): Step {
    const nodeName = this.claim?.metadata.annotations?.["volume.kubernetes.io/selected-node"];
    const onNode = this.volume ? hostnameOf(this.volume) : (nodeName ?? this.pods.get(makerName(NAME))?.spec.nodeName);
    const step = planLocalVolume(
      {
        name: NAME,
        claim: this.claim,
        storageClass: this.claim && this.storageClass,
        volume: this.volume,
        node: this.nodes.get(onNode ?? ""),
        maker: this.pods.get(makerName(NAME)),
        cleaner: this.pods.get(cleanerName(NAME)),
      },
      SETTINGS,
      this.nowMs,
    );
    if ("told" in step && step.told) this.told.push(`${step.told.reason}: ${step.told.message}`);
    this.#apply(step);
    return step;
  }

  #apply(step: Step): void {
    if (step.do === "create pod") this.#createPod(step.pod);
    if (step.do === "delete pod") this.pods.delete(step.pod.metadata.name ?? "");
    if (step.do === "wait") this.nowMs = step.untilMs;
    if (step.do === "create volume" || step.do === "update volume") this.volume = step.volume;
    if (step.do === "delete volume") this.deleteVolume();
    if (step.do === "update claim") this.claim = step.claim;
    if (this.volume?.metadata.deletionTimestamp && this.volume.metadata.finalizers?.length === 0) {
      this.volume = undefined;
    }
  }

  #createPod(pod: Pod): void {
    expect(this.pods.has(pod.metadata.name ?? "")).toBe(false);
    const metadata = { ...pod.metadata, creationTimestamp: new Date(this.nowMs).toISOString() };
    this.pods.set(pod.metadata.name ?? "", { ...pod, metadata });
  }

  deleteVolume(): void {
    if (!this.volume) return;
    const metadata = { ...this.volume.metadata, deletionTimestamp: "2026-01-01T00:00:00Z" };
    this.volume = { ...this.volume, metadata };
  }

  /** What the kubelet does about pods that were not run yet. */
  runPods(): void {
    for (const [name, pod] of this.pods) {
      if (pod.status?.phase !== undefined) continue;
      const fails = this.failing !== "" && name.startsWith(this.failing);
      this.pods.set(name, { ...pod, status: { phase: fails ? "Failed" : "Succeeded" } });
      if (fails) continue;
      const directory = `${pod.spec.nodeName ?? ""}:/disks/${NAME}`;
      if (name.startsWith("make-")) this.directories.add(directory);
      else this.directories.delete(directory);
    }
  }

  /** What the binder does. */
  bind(): void {
    if (!this.volume) return;
    const phase = this.claim ? "Bound" : "Released";
    this.volume = { ...this.volume, status: { phase } };
    if (this.claim) this.claim = { ...this.claim, spec: { ...this.claim.spec, volumeName: NAME } };
  }

  /** All take their turns until nobody has anything to do. */
  settle(): void {
    for (let turn = 0; turn < 50; turn++) {
      const before = JSON.stringify([this.claim, this.volume, [...this.pods]]);
      this.step();
      this.runPods();
      this.bind();
      if (JSON.stringify([this.claim, this.volume, [...this.pods]]) === before) return;
    }
    throw new Error("it does not come to rest");
  }
}

function hostnameOf({ spec }: PersistentVolume): string {
  return spec?.nodeAffinity?.required?.nodeSelectorTerms?.[0]?.matchExpressions?.[0]?.values?.[0] ?? "";
}

test("a claim gets a directory on the chosen node, and both go with it", () => {
  const world = new World();
  world.settle();
  expect(world.volume?.spec).toMatchObject({
    capacity: { storage: "1Gi" },
    local: { path: `/disks/${NAME}` },
    claimRef: { namespace: "shop", name: "data", uid: "1234" },
    persistentVolumeReclaimPolicy: "Delete",
    storageClassName: "standard",
  });
  expect([...world.directories]).toEqual([`a:/disks/${NAME}`]);
  expect([...world.pods.keys()]).toEqual([]);
  expect(world.told).toEqual([
    'Provisioning: External provisioner is provisioning volume for claim "shop/data"',
    `ProvisioningSucceeded: Successfully provisioned volume ${NAME}`,
  ]);

  world.claim = undefined;
  world.settle();
  expect([world.volume, [...world.directories], [...world.pods.keys()]]).toEqual([undefined, [], []]);
});

const REFUSED: readonly (readonly [what: string, world: () => World, message: string])[] = [
  [
    "by many nodes",
    () => new World({ accessModes: ["ReadWriteMany"] }),
    "a directory of one node cannot be had as ReadWriteMany: only ReadWriteOnce and ReadWriteOncePod are supported",
  ],
  [
    "as a block device",
    () => new World({ volumeMode: "Block" }),
    "a directory is no block device: only volumeMode Filesystem is supported",
  ],
  ["by labels", () => new World({ selector: { matchLabels: { a: "b" } } }), "claim Selector is not supported"],
  [
    "before a pod needs it",
    () => new World({}, ""),
    "no node was specified: the class must have volumeBindingMode WaitForFirstConsumer",
  ],
];

test.each(REFUSED)("a volume that is wanted %s is not made, and the claim says why", (_what, make, message) => {
  const world = make();
  world.settle();
  expect([world.volume, [...world.pods.keys()]]).toEqual([undefined, []]);
  expect(world.told.at(-1)).toBe(
    `ProvisioningFailed: failed to provision volume with StorageClass "standard": ${message}`,
  );
});

test("a claim whose node is gone is given back to the scheduler", () => {
  const world = new World();
  world.nodes.delete("a");
  world.step();
  expect(world.claim?.metadata.annotations).toEqual({
    "volume.kubernetes.io/storage-provisioner": "pilothouse.io/local-volume",
  });
});

test("a claim that is moved to another node meanwhile has its directory there", () => {
  const world = new World();
  world.step();
  const annotations = { ...world.claim?.metadata.annotations, "volume.kubernetes.io/selected-node": "b" };
  world.claim = { ...world.claim, metadata: { ...world.claim?.metadata, annotations } } as PersistentVolumeClaim;
  world.settle();
  expect([world.volume && hostnameOf(world.volume), [...world.directories]]).toEqual(["b", [`b:/disks/${NAME}`]]);
});

test("a helper that fails is tried again, and each failure is told", () => {
  const world = new World();
  world.failing = "make-";
  for (let i = 0; i < 3; i++) {
    world.step();
    world.runPods();
  }
  expect(world.step()).toMatchObject({ do: "create pod" });
  expect(world.nowMs).toBe(15_000);
  expect(world.told).toContain(
    `ProvisioningFailed: failed to provision volume with StorageClass "standard": pod make-${NAME} could not make its directory`,
  );
  world.failing = "";
  world.settle();
  expect(world.volume?.status?.phase).toBe("Bound");
});

test("what is retained outlives its volume", () => {
  const world = new World();
  world.storageClass = { ...STANDARD, reclaimPolicy: "Retain" };
  world.settle();
  world.claim = undefined;
  world.settle();
  expect(world.volume?.status?.phase).toBe("Released");
  world.deleteVolume();
  world.settle();
  expect([world.volume, [...world.directories], [...world.pods.keys()]]).toEqual([undefined, [`a:/disks/${NAME}`], []]);
});

test("a volume that a person deletes stays while its claim has it", () => {
  const world = new World();
  world.settle();
  world.deleteVolume();
  world.settle();
  expect([world.volume?.status?.phase, [...world.directories]]).toEqual(["Bound", [`a:/disks/${NAME}`]]);
  world.claim = undefined;
  world.settle();
  expect([world.volume, [...world.directories]]).toEqual([undefined, []]);
});

test("whenever the claim or the node goes, and whatever fails: no claim loses its data, and nothing is left", () => {
  const acts = ["plan", "kubelet", "binder", "fail", "mend", "wait"] as const;
  const history = fc.array(fc.constantFrom(...acts), { maxLength: 30 });
  fc.assert(
    fc.property(history, history, fc.boolean(), (before, after, nodeGoes) => {
      const world = new World();
      const play = (act: (typeof acts)[number]): void => {
        if (act === "plan") world.step();
        if (act === "kubelet") world.runPods();
        if (act === "binder") world.bind();
        if (act === "fail") world.failing = "make-";
        if (act === "mend") world.failing = "";
        if (act === "wait") world.nowMs += 5_000;
        if (world.claim && world.volume) expect([...world.directories]).toHaveLength(1);
      };
      before.forEach(play);
      world.claim = undefined;
      after.slice(0, 3).forEach(play);
      if (nodeGoes) {
        world.nodes.delete("a");
        world.pods.clear();
        world.directories.clear();
      }
      after.slice(3).forEach(play);
      world.failing = "";
      world.settle();
      expect([world.volume, [...world.directories], [...world.pods.keys()]]).toEqual([undefined, [], []]);
    }),
  );
});
