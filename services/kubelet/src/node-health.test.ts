/** Stories of a node that runs short of something. */
import type { Event, Node } from "@pilothouse/api/types/core-v1";
import { afterEach, expect, test } from "vitest";
import { parseThresholds } from "./core/thresholds.ts";
import type { MachineUsage } from "./core/usage.ts";
import { startRig, testConfig, type Rig } from "./rig.fixture.ts";

let rig: Rig;
afterEach(() => rig.close());

const MIB = 2 ** 20;
const fs = { capacityBytes: 100_000 * MIB, availableBytes: 50_000 * MIB, inodes: 1_000, inodesFree: 500 };
const well: MachineUsage = {
  atMs: 0,
  cpuUsageNs: 0,
  bootedAtMs: 0,
  memoryCapacityBytes: 8_000 * MIB,
  memoryAvailableBytes: 4_000 * MIB,
  processes: 100,
  maxProcesses: 32_768,
  nodeFs: fs,
  imageFs: fs,
};
const web = { name: "web", image: "web" };
const greedy = { name: "greedy", image: "greedy" };
const condition = (type: string): unknown =>
  (rig.api.peek("nodes", "node-1") as Node | undefined)?.status?.conditions?.find((it) => it.type === type)?.status;

test("while memory runs short the greediest pod ends, and the node says so until it is over", async () => {
  rig = await startRig({ web: { memoryBytes: MIB }, greedy: { memoryBytes: 500 * MIB, stopMs: 1_000 } }, well);
  await rig.create("modest", { containers: [web] });
  await rig.create("greedy", { containers: [greedy] });
  rig.usage = { ...well, memoryAvailableBytes: 50 * MIB };
  await rig.clock.advance(11_000);
  rig.usage = well;
  await rig.clock.advance(30_000);
  expect(rig.status("modest")?.phase).toBe("Running");
  const status = rig.status("greedy");
  expect(status).toMatchObject({ phase: "Failed", reason: "Evicted" });
  expect(status?.message).toContain(
    "The node was low on resource: memory. Threshold quantity: 100Mi, available: 50Mi.",
  );
  expect(status?.conditions).toContainEqual(
    expect.objectContaining({ type: "DisruptionTarget", status: "True", reason: "TerminationByKubelet" }),
  );
  expect(rig.runtime.journal).toContain("stop sandbox greedy");
  expect(condition("MemoryPressure")).toBe("True");
  await rig.clock.advance(301_000);
  expect(condition("MemoryPressure")).toBe("False");
});

test("a pod that fills its own volume beyond the limit ends, and a log that grows is put aside", async () => {
  rig = await startRig({ web: {} }, well);
  const volumes = [{ name: "v", emptyDir: { sizeLimit: "10" } }];
  const { metadata } = await rig.create("full", { containers: [web], volumes });
  const { metadata: other } = await rig.create("loud", { containers: [web] });
  rig.files.write(`/pods/${metadata.uid}/volumes/v/size`, "x".repeat(11));
  const log = `/logs/default_loud_${other.uid}/web/0.log`;
  rig.files.write(log, "x".repeat(10 * MIB + 1));
  await rig.clock.advance(25_000);
  expect(rig.status("full")).toMatchObject({
    phase: "Failed",
    reason: "Evicted",
    message: 'Usage of EmptyDir volume "v" exceeds the limit "10". ',
  });
  expect([...rig.files.files.keys()].filter((path) => path.startsWith(log))).toEqual([
    expect.stringMatching(/0\.log\.\d{8}-\d{6}$/),
  ]);
});

test("below a soft threshold a pod ends in order, once it has lasted", async () => {
  const eviction = {
    thresholds: parseThresholds([], ["memory.available<1Gi"], ["memory.available=1m"]),
    maxPodGraceSeconds: 20,
    transitionMs: 300_000,
  };
  rig = await startRig({ greedy: { memoryBytes: 500 * MIB, stopMs: 1_000 } }, well, { eviction });
  await rig.create("greedy", { containers: [greedy], terminationGracePeriodSeconds: 30 });
  rig.usage = { ...well, memoryAvailableBytes: 500 * MIB };
  await rig.clock.advance(55_000);
  expect([rig.status("greedy")?.phase, condition("MemoryPressure")]).toEqual(["Running", "False"]);
  await rig.clock.advance(30_000);
  expect(rig.status("greedy")).toMatchObject({ phase: "Failed", reason: "Evicted" });
  expect(rig.runtime.journal).toContain("stop(20s) greedy/greedy#0");
});

test("a node tells of its start, of what changes in what it says of itself, and of a machine that has booted", async () => {
  const told = (): string[] =>
    (rig.api.list("events") as unknown as Event[]).map(({ reason, count }) => `${reason} ${count}`);
  const more = { machine: testConfig.machine };
  rig = await startRig({}, well, more);
  const atStart = ["Starting", "NodeHasSufficientMemory", "NodeHasNoDiskPressure", "NodeHasSufficientPID"];
  expect(told().toSorted()).toEqual([...atStart, "NodeAllocatableEnforced"].map((it) => `${it} 1`).toSorted());
  rig.runtime.fail(new Error("down"));
  await rig.clock.advance(15_000);
  rig.runtime.fail(undefined);
  await rig.clock.advance(5_000);
  expect(told().slice(5)).toEqual(["NodeNotReady 1", "NodeReady 1"]);
  more.machine = { ...testConfig.machine, bootId: "another" };
  await rig.restart();
  expect(told().slice(8)).toEqual(["Rebooted 1", ...[...atStart.slice(1), "Starting"].map((it) => `${it} 1`)]);
});
