import type { NodeStatus } from "@pilothouse/api/types/core-v1";
import { expect, test } from "vitest";
import { nodeConditions } from "./node.ts";
import { eventsOfStart, nodeEvents } from "./node-events.ts";

const NOW = "2026-01-01T00:00:00Z";
const up = ["RuntimeReady", "NetworkReady"].map((type) => ({ type, ok: true, reason: "", message: "" }));

function status(runtime: typeof up, pressures: Parameters<typeof nodeConditions>[3] = []): NodeStatus {
  return { conditions: nodeConditions(runtime, [], NOW, pressures) };
}
const reasons = (events: ReturnType<typeof nodeEvents>): string[] => events.map(({ reason }) => reason);

const fine = ["NodeHasSufficientMemory", "NodeHasNoDiskPressure", "NodeHasSufficientPID"];
const all = ["MemoryPressure", "DiskPressure", "PIDPressure"] as const;

test("of a new node its pressures are told, and not that it is ready: it was never anything else", () => {
  expect(reasons(nodeEvents("n", undefined, status(up)))).toEqual(fine);
  expect(reasons(nodeEvents("n", undefined, status([])))).toEqual(fine);
});

test("each change is told once, in upstream's words", () => {
  expect(nodeEvents("n", status([]), status(up))).toEqual([
    { type: "Normal", reason: "NodeReady", message: "Node n status is now: NodeReady" },
  ]);
  expect(reasons(nodeEvents("n", status(up), status([])))).toEqual(["NodeNotReady"]);
  expect(reasons(nodeEvents("n", status(up), status(up, all)))).toEqual([
    "NodeHasInsufficientMemory",
    "NodeHasDiskPressure",
    "NodeHasInsufficientPID",
  ]);
  expect(reasons(nodeEvents("n", status(up, all), status(up)))).toEqual(fine);
  expect(nodeEvents("n", status(up, all), status(up, all))).toEqual([]);
});

test("a node that was given up is back", () => {
  const conditions = status(up).conditions?.map((condition) => ({ ...condition, status: "Unknown" }));
  const lost: NodeStatus = conditions ? { conditions } : {};
  expect(reasons(nodeEvents("n", lost, status(up)))).toEqual([...fine, "NodeReady"]);
});

test("a machine that has booted since is told of; a kubelet that starts tells of pressures anew", () => {
  const booted = (bootID: string): NodeStatus => ({
    ...status(up),
    nodeInfo: { bootID } as NodeStatus["nodeInfo"] & {},
  });
  expect(nodeEvents("n", booted("1"), booted("2"))).toEqual([
    { type: "Warning", reason: "Rebooted", message: "Node n has been rebooted, boot id: 2" },
  ]);
  expect(nodeEvents("n", booted("1"), booted("1"))).toEqual([]);
  expect(reasons(eventsOfStart("n", booted(""), booted("1")))).toEqual(fine);
  expect(reasons(eventsOfStart("n", booted("1"), booted("2")))).toEqual(["Rebooted", ...fine]);
});
