import { expect, test } from "vitest";
import { allocatableOf, parseReserved, shareOfPods, type MachineFacts } from "./node.ts";

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
