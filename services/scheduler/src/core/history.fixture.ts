/** A small cluster with a scheduling queue, to which anything may happen, for tests of what wakes whom. */
import type { PersistentVolume, PersistentVolumeClaim, Pod } from "@pilothouse/api/types/core-v1";
import type { StorageClass } from "@pilothouse/api/types/storage-v1";
import { plugins } from "../plugins/registry.ts";
import { schedule, type Decision } from "./cycle.ts";
import type { ClusterEvent } from "./events.ts";
import { SchedulingQueue } from "./queue.ts";
import { ClusterState, podKey } from "./snapshot.ts";

export class History {
  readonly claims = new Map<string, PersistentVolumeClaim>();
  readonly volumes = new Map<string, PersistentVolume>();
  readonly storageClasses = new Map<string, StorageClass>();
  readonly namespaceLabels = new Map<string, Readonly<Record<string, string>>>();
  readonly state = new ClusterState({
    namespaceLabels: (name) => this.namespaceLabels.get(name),
    storage: {
      claim: (_namespace, name) => this.claims.get(name),
      volumes: () => [...this.volumes.values()],
      storageClass: (name) => this.storageClasses.get(name),
    },
  });
  readonly queue = new SchedulingQueue();
  readonly pending = new Map<string, Pod>();
  nowMs = 0;

  tell(events: readonly ClusterEvent[]): void {
    for (const event of events) this.queue.onEvent(event, this.nowMs);
  }

  want(pod: Pod): void {
    this.pending.set(podKey(pod), pod);
    this.queue.add(podKey(pod), 0, this.nowMs);
  }

  decide(pod: Pod): Decision {
    return schedule(pod, this.state.snapshot(), plugins, 0);
  }

  /** Keys of pods that some node would take now. */
  thoseThatFit(): readonly string[] {
    return [...this.pending.values()].filter((pod) => this.decide(pod).outcome === "scheduled").map(podKey);
  }

  /** All whose turn it is, by key, with what is decided of them: they are in flight until `settle`. */
  popAll(): ReadonlyMap<string, Decision> {
    const decisions = new Map<string, Decision>();
    for (let key = this.queue.pop(this.nowMs); key !== undefined; key = this.queue.pop(this.nowMs))
      decisions.set(key, this.decide(this.pending.get(key) as Pod));
    return decisions;
  }

  /** Those that were refused wait for help; of the others the binding fails, so that they are there to be helped later. */
  settle(decisions: ReadonlyMap<string, Decision>): void {
    for (const [key, decision] of decisions) {
      if (decision.outcome === "unschedulable") this.queue.rejected(key, decision.undoneBy, this.nowMs);
      else this.queue.failed(key, this.nowMs);
    }
  }
}
