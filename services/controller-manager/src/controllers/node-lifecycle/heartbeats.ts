/**
 * When each node was last heard of, by our own monotonic clock: a renewed lease or a newly posted status is a sign of life, what
 * time it says it is does not matter.
 */
import type { Lease } from "@pilothouse/api/types/coordination-v1";
import type { Node } from "@pilothouse/api/types/core-v1";

interface Heard {
  renewTime: string | undefined;
  posted: string | undefined;
  atMs: number;
}

export class Heartbeats {
  readonly #heard = new Map<string, Heard>();

  sawLease(nodeName: string, lease: Lease, nowMonotonicMs: number): void {
    const heard = this.#of(nodeName, nowMonotonicMs);
    const { renewTime } = lease.spec ?? {};
    if (heard.renewTime === renewTime) return;
    heard.renewTime = renewTime;
    heard.atMs = nowMonotonicMs;
  }

  sawNode({ metadata, status }: Node, nowMonotonicMs: number): void {
    const heard = this.#of(metadata.name ?? "", nowMonotonicMs);
    const ready = status?.conditions?.find(({ type }) => type === "Ready");
    const posted = `${metadata.uid} ${ready?.status} ${ready?.lastHeartbeatTime ?? ""}`;
    // Only we say Unknown; whatever follows comes from the kubelet.
    if (heard.posted !== posted && ready?.status !== "Unknown") heard.atMs = nowMonotonicMs;
    heard.posted = posted;
  }

  silentMs(nodeName: string, nowMonotonicMs: number): number {
    return nowMonotonicMs - this.#of(nodeName, nowMonotonicMs).atMs;
  }

  forget(nodeName: string): void {
    this.#heard.delete(nodeName);
  }

  #of(nodeName: string, nowMonotonicMs: number): Heard {
    let heard = this.#heard.get(nodeName);
    if (!heard) this.#heard.set(nodeName, (heard = { renewTime: undefined, posted: undefined, atMs: nowMonotonicMs }));
    return heard;
  }
}
