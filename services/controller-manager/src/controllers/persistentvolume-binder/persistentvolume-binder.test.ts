import type { PersistentVolume, PersistentVolumeClaim } from "@pilothouse/api/types/core-v1";
import type { StorageClass } from "@pilothouse/api/types/storage-v1";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { planClaim, planVolume, type Step } from "./plan.ts";

/** The API as these controllers see it: they write, and look again. */
class World {
  readonly claims = new Map<string, PersistentVolumeClaim>();
  readonly volumes = new Map<string, PersistentVolume>();
  readonly classes = new Map<string, StorageClass>();
  readonly told: string[] = [];

  claim(name: string, spec: PersistentVolumeClaim["spec"] = {}): this {
    const asked = { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } }, ...spec };
    const metadata = { name, namespace: "default", uid: `uid of ${name}` };
    this.claims.set(name, { metadata, spec: asked, status: { phase: "Pending" } });
    return this;
  }

  volume(name: string, storage = "1Gi", spec: PersistentVolume["spec"] = {}): this {
    const offered = { accessModes: ["ReadWriteOnce"], persistentVolumeReclaimPolicy: "Retain", ...spec };
    const whole = { capacity: { storage }, hostPath: { path: "/" }, ...offered };
    this.volumes.set(name, { metadata: { name }, spec: whole, status: { phase: "Pending" } });
    return this;
  }

  /** Steps, the first that has something to do first, until there is none; how many it took. */
  settle(order: (keys: readonly string[]) => readonly string[] = (keys) => keys): number {
    for (let steps = 0; steps < 200; steps++) {
      const keys = order([...this.volumes.keys(), ...this.claims.keys()]);
      if (!keys.some((key) => this.#step(key))) return steps;
    }
    throw new Error("it does not come to rest");
  }

  #step(key: string): boolean {
    const [claim, volume] = [this.claims.get(key), this.volumes.get(key)];
    const step = claim ? this.#claimStep(claim) : planVolume(volume as PersistentVolume, this.#claimOf(volume));
    if ("told" in step && step.told) this.told.push(`${step.told.reason}: ${step.told.message}`);
    return this.#apply(step);
  }

  #claimStep(claim: PersistentVolumeClaim): Step {
    const named = this.volumes.get(claim.spec?.volumeName ?? "");
    const storageClass = this.classes.get(claim.spec?.storageClassName ?? "");
    return planClaim(claim, named, [...this.volumes.values()], storageClass);
  }

  #claimOf(volume: PersistentVolume | undefined): PersistentVolumeClaim | undefined {
    return this.claims.get(volume?.spec?.claimRef?.name ?? "");
  }

  #apply(step: Step): boolean {
    if (step.do === "nothing") return false;
    if ("claim" in step) this.claims.set(step.claim.metadata.name ?? "", step.claim);
    else this.volumes.set(step.volume.metadata.name ?? "", step.volume);
    return true;
  }

  state(): Readonly<Record<string, string>> {
    const line = (name = "", phase = "", partner = ""): readonly [string, string] => [
      name,
      `${phase} ${partner}`.trim(),
    ];
    const rows = [
      ...[...this.claims.values()].map(({ metadata, spec, status }) =>
        line(metadata.name, status?.phase, spec.volumeName),
      ),
      ...[...this.volumes.values()].map(({ metadata, spec, status }) =>
        line(metadata.name, status?.phase, spec.claimRef?.uid === undefined ? "" : spec.claimRef.name),
      ),
    ];
    return Object.fromEntries(rows);
  }
}

test("a claim gets the smallest volume that will do, and both say so", () => {
  const world = new World().volume("large", "10Gi").volume("small", "2Gi").volume("tiny", "100Mi").claim("data");
  world.settle();
  expect(world.state()).toEqual({ data: "Bound small", large: "Available", small: "Bound data", tiny: "Available" });
  expect(world.claims.get("data")?.status).toEqual({
    phase: "Bound",
    accessModes: ["ReadWriteOnce"],
    capacity: { storage: "2Gi" },
  });
});

interface Row {
  readonly what: string;
  readonly make: (world: World) => World;
  readonly end: Readonly<Record<string, string>>;
  readonly told?: string;
}

const ROWS: readonly Row[] = [
  {
    what: "of another class",
    make: (world) => world.volume("v", "1Gi", { storageClassName: "fast" }).claim("data"),
    end: { data: "Pending", v: "Available" },
    told: "FailedBinding: no persistent volumes available for this claim and no storage class is set",
  },
  {
    what: "that cannot be reached so",
    make: (world) => world.volume("v").claim("data", { accessModes: ["ReadWriteMany"] }),
    end: { data: "Pending", v: "Available" },
  },
  {
    what: "with other labels",
    make: (world) => world.volume("v").claim("data", { selector: { matchLabels: { disk: "ssd" } } }),
    end: { data: "Pending", v: "Available" },
  },
  {
    what: "that a person keeps for it",
    make: (world) =>
      world
        .volume("a")
        .volume("b", "1Gi", { claimRef: { namespace: "default", name: "data" } })
        .claim("data"),
    end: { a: "Available", b: "Bound data", data: "Bound b" },
  },
  {
    what: "that the claim names",
    make: (world) => world.volume("a").volume("b", "5Gi").claim("data", { volumeName: "b" }),
    end: { a: "Available", b: "Bound data", data: "Bound b" },
  },
  {
    what: "that the claim names, and that is too small",
    make: (world) => world.volume("b", "1Mi").claim("data", { volumeName: "b" }),
    end: { b: "Available", data: "Pending b" },
    told: 'VolumeMismatch: Cannot bind to requested volume "b": requested PV is too small',
  },
  {
    what: "that another claim has",
    make: (world) => world.volume("v").claim("first").claim("second"),
    end: { first: "Bound v", second: "Pending", v: "Bound first" },
  },
];

test.each(ROWS)("a volume $what", ({ make, end, told }) => {
  const world = make(new World());
  world.settle();
  expect(world.state()).toEqual(end);
  if (told !== undefined) expect(world.told).toContain(told);
});

test("a claim of a class that waits for a pod waits, until the scheduler has chosen for it", () => {
  const world = new World()
    .volume("v", "1Gi", { storageClassName: "local" })
    .claim("data", { storageClassName: "local" });
  const provisioner = "kubernetes.io/no-provisioner";
  world.classes.set("local", { metadata: { name: "local" }, provisioner, volumeBindingMode: "WaitForFirstConsumer" });
  world.settle();
  expect(world.state()).toEqual({ data: "Pending", v: "Available" });
  expect(world.told).toContain("WaitForFirstConsumer: waiting for first consumer to be created before binding");
  const volume = world.volumes.get("v") as PersistentVolume;
  const claimRef = { namespace: "default", name: "data", uid: "uid of data" };
  world.volumes.set("v", { ...volume, spec: { ...volume.spec, claimRef } });
  world.settle();
  expect(world.state()).toEqual({ data: "Bound v", v: "Bound data" });
});

test("a volume outlives its claim as Released, and a claim that loses its volume is Lost", () => {
  const world = new World().volume("v").claim("data");
  world.settle();
  world.claims.delete("data");
  world.settle();
  expect(world.state()).toEqual({ v: "Released data" });
  world.claim("data");
  world.claims.set("data", {
    ...(world.claims.get("data") as PersistentVolumeClaim),
    metadata: { name: "data", namespace: "default", uid: "another" },
  });
  world.settle();
  expect(world.state()).toEqual({ data: "Pending", v: "Released data" });

  const other = new World().volume("v").claim("data");
  other.settle();
  other.volumes.delete("v");
  other.settle();
  expect(other.state()).toEqual({ data: "Lost v" });
  expect(other.told).toContain("ClaimLost: Bound claim has lost its PersistentVolume. Data on the volume is lost!");
});

test("a volume that is being deleted is let go by its claim all the same", () => {
  const world = new World().volume("v").claim("data");
  world.settle();
  const volume = world.volumes.get("v") as PersistentVolume;
  world.volumes.set("v", { ...volume, metadata: { ...volume.metadata, deletionTimestamp: "2026-01-01T00:00:00Z" } });
  world.claims.delete("data");
  world.settle();
  expect(world.state()).toEqual({ v: "Released data" });
});

test("what is to be deleted with its claim, and nobody can delete, says so", () => {
  const world = new World().volume("v", "1Gi", { persistentVolumeReclaimPolicy: "Delete" }).claim("data");
  world.settle();
  world.claims.delete("data");
  world.settle();
  expect(world.state()).toEqual({ v: "Failed data" });
});

test("a claim names the provisioner of its class, who then makes the volume, and deletes it after the claim", () => {
  const world = new World().claim("data", { storageClassName: "fast" });
  world.classes.set("fast", { metadata: { name: "fast" }, provisioner: "disks.example.com" });
  world.settle();
  expect(world.claims.get("data")?.metadata.annotations).toEqual({
    "volume.beta.kubernetes.io/storage-provisioner": "disks.example.com",
    "volume.kubernetes.io/storage-provisioner": "disks.example.com",
  });
  expect(world.told.at(-1)).toMatch(/^ExternalProvisioning: Waiting for a volume to be created either by the external/);

  world.volume("made", "1Gi", { storageClassName: "fast", persistentVolumeReclaimPolicy: "Delete" });
  const made = world.volumes.get("made") as PersistentVolume;
  const annotations = { "pv.kubernetes.io/provisioned-by": "disks.example.com" };
  world.volumes.set("made", { ...made, metadata: { ...made.metadata, annotations } });
  world.settle();
  expect(world.state()).toEqual({ data: "Bound made", made: "Bound data" });
  world.claims.delete("data");
  world.settle();
  expect(world.state()).toEqual({ made: "Released data" });
});

test("a claim that waits for its pod names no provisioner before a node is chosen", () => {
  const world = new World().claim("data", { storageClassName: "local" });
  const provisioner = "disks.example.com";
  world.classes.set("local", { metadata: { name: "local" }, provisioner, volumeBindingMode: "WaitForFirstConsumer" });
  world.settle();
  expect(world.claims.get("data")?.metadata.annotations).toBeUndefined();
  const claim = world.claims.get("data") as PersistentVolumeClaim;
  const annotations = { "volume.kubernetes.io/selected-node": "a" };
  world.claims.set("data", { ...claim, metadata: { ...claim.metadata, annotations } });
  world.settle();
  expect(world.claims.get("data")?.metadata.annotations).toMatchObject({
    "volume.kubernetes.io/storage-provisioner": provisioner,
  });
});

test("whatever comes in whatever order: it comes to rest, no volume has two claims, and nobody waits for what is free", () => {
  const size = fc.integer({ min: 1, max: 5 });
  const case_ = fc.record({
    claims: fc.array(size, { maxLength: 6 }),
    volumes: fc.array(size, { maxLength: 6 }),
    seed: fc.integer(),
  });
  fc.assert(
    fc.property(case_, ({ claims, volumes, seed }) => {
      const world = new World();
      claims.forEach((gi, i) => world.claim(`claim-${i}`, { resources: { requests: { storage: `${gi}Gi` } } }));
      volumes.forEach((gi, i) => world.volume(`volume-${i}`, `${gi}Gi`));
      let state = seed;
      const chance = (): number => (state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff);
      world.settle((keys) => [...keys].sort(() => (chance() % 2 === 0 ? 1 : -1)));
      const held = [...world.claims.values()].flatMap(({ spec }) => (spec?.volumeName ? [spec.volumeName] : []));
      expect(new Set(held).size).toBe(held.length);
      const free = [...world.volumes.values()].filter(({ status }) => status?.phase === "Available");
      const gi = (text: string | undefined): number => Number((text ?? "0").replace("Gi", ""));
      const largestFree = Math.max(0, ...free.map(({ spec }) => gi(spec?.capacity?.["storage"])));
      for (const { spec, status } of world.claims.values()) {
        if (status?.phase === "Pending")
          expect(gi(spec?.resources?.requests?.["storage"])).toBeGreaterThan(largestFree);
      }
    }),
  );
});
