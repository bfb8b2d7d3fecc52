import { expect, test } from "vitest";
import type { Image } from "@pilothouse/runtime";
import { allocatableOf, nodeImages, nodeRuntime, parseReserved, shareOfPods, type MachineFacts } from "./node.ts";

const MACHINE: MachineFacts = {
  cpus: 2,
  memoryBytes: 2 ** 30,
  diskBytes: 10 * 2 ** 30,
  maxPods: 110,
  architecture: "amd64",
  machineId: "m",
  bootId: "b",
  kernelVersion: "6",
  osImage: "Debian",
  hostname: "node-1",
};

test("what is kept for the system and for Kubernetes is neither promised to pods nor theirs to use", () => {
  const reserved = parseReserved(["cpu=100m", "memory=256Mi"], ["cpu=150m", "ephemeral-storage=1Gi"]);
  const machine = { ...MACHINE, reserved };
  expect(allocatableOf(machine)).toMatchObject({ cpu: "1750m", memory: "668Mi", "ephemeral-storage": "8Gi" });
  expect(shareOfPods(machine)).toEqual({ milliCpu: 1_750, memoryBytes: 768 * 2 ** 20 });
  expect(allocatableOf(MACHINE)).toMatchObject({ cpu: "2", memory: "924Mi" });
  expect(() => parseReserved(["pods=3"])).toThrow('"pods=3" is not cpu=, memory= or ephemeral-storage= and an amount');
});

test("the largest images are told under their names, and what the runtime says that it can", () => {
  const image = (name: string, sizeBytes: number, more: Partial<Image> = {}): Image => ({
    id: name,
    repoTags: [`${name}:1`],
    repoDigests: [`${name}@sha256:0`],
    sizeBytes,
    username: "",
    ...more,
  });
  const nameless = image("none", 9, { repoTags: ["<none>:<none>"], repoDigests: [] });
  const many = Array.from({ length: 60 }, (_, index) => image(`i${index}`, index));
  const told = nodeImages([nameless, ...many, image("big", 100, { repoTags: ["a", "b", "c", "d", "e", "f"] })]);
  expect(told).toHaveLength(50);
  expect(told.slice(0, 2)).toEqual([
    { names: ["big@sha256:0", "a", "b", "c", "d"], sizeBytes: 100 },
    { names: ["i59@sha256:0", "i59:1"], sizeBytes: 59 },
  ]);
  expect(nodeRuntime({ conditions: [] })).toEqual({});
  const handlers = [{ name: "", recursiveReadOnlyMounts: true, userNamespaces: false }];
  expect(nodeRuntime({ conditions: [], handlers, supplementalGroupsPolicy: false })).toEqual({
    features: { supplementalGroupsPolicy: false },
    runtimeHandlers: [{ name: "", features: { recursiveReadOnlyMounts: true, userNamespaces: false } }],
  });
});
