/** Which events a node's change of status is worth, as upstream's setters of node status record them. Pure. */
import type { NodeStatus } from "@pilothouse/api/types/core-v1";

export interface NodeEvent {
  readonly type: "Normal" | "Warning";
  readonly reason: string;
  readonly message: string;
}

/**
 * By the condition's type, in the order in which they are told: what it is called when it becomes True or False, and whether
 * it counts when nobody told of it before. A node that was never ready has not become so.
 */
const TRANSITIONS: readonly (readonly [type: string, True: string, False: string, whenNew: boolean])[] = [
  ["MemoryPressure", "NodeHasInsufficientMemory", "NodeHasSufficientMemory", true],
  ["DiskPressure", "NodeHasDiskPressure", "NodeHasNoDiskPressure", true],
  ["PIDPressure", "NodeHasInsufficientPID", "NodeHasSufficientPID", true],
  ["Ready", "NodeReady", "NodeNotReady", false],
];

/** @param before what the Node object said; undefined for a node that nobody has heard of */
export function nodeEvents(nodeName: string, before: NodeStatus | undefined, told: NodeStatus): readonly NodeEvent[] {
  const statusOf = (status: NodeStatus | undefined, type: string): string | undefined =>
    status?.conditions?.find((condition) => condition.type === type)?.status;
  const changes = TRANSITIONS.flatMap(([type, whenTrue, whenFalse, whenNew]) => {
    const [old, now] = [statusOf(before, type), statusOf(told, type)];
    if (now === undefined || old === now || (old === undefined && !whenNew)) return [];
    const reason = now === "True" ? whenTrue : whenFalse;
    return [{ type: "Normal" as const, reason, message: `Node ${nodeName} status is now: ${reason}` }];
  });
  return [...reboot(nodeName, before, told), ...changes];
}

/** A kubelet that starts tells of the machine's pressures anew, whatever the Node object says of them. */
export function eventsOfStart(
  nodeName: string,
  before: NodeStatus | undefined,
  told: NodeStatus,
): readonly NodeEvent[] {
  const ready = before?.conditions?.filter(({ type }) => type === "Ready");
  return nodeEvents(nodeName, before && { ...before, ...(ready ? { conditions: ready } : {}) }, told);
}

function reboot(nodeName: string, before: NodeStatus | undefined, told: NodeStatus): readonly NodeEvent[] {
  const [old, now] = [before?.nodeInfo?.bootID, told.nodeInfo?.bootID];
  if (!old || !now || old === now) return [];
  const message = `Node ${nodeName} has been rebooted, boot id: ${now}`;
  return [{ type: "Warning", reason: "Rebooted", message }];
}
