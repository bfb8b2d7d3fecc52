/**
 * Tells the API server what became of pods: the latest status wins, at most one request per pod is under way, and what failed is
 * tried again until it is told or the pod is gone.
 */
import type { Pod, PodCondition, PodStatus } from "@pilothouse/api/types/core-v1";
import { resources, type ApiClient } from "@pilothouse/client";
import { isStatus } from "@pilothouse/errors";
import type { Scope } from "@pilothouse/lifecycle";
import { span, type Logger, type TraceContext, type Tracer } from "@pilothouse/telemetry";
import { WorkQueue } from "@pilothouse/workqueue";
import type { Clock } from "@pilothouse/clock";
import { uidOf } from "../core/pod-runtime.ts";

export interface StatusPorts {
  readonly client: ApiClient;
  readonly clock: Clock;
  readonly tracer: Tracer;
  readonly log: Logger;
  readonly scope: Scope;
  /** The pod that the API shows in this one's place, for a static pod its mirror; undefined while there is none. */
  readonly shownAs: (pod: Pod) => Pod | undefined;
}

interface Entry {
  /** As the API shows it. */
  readonly pod: Pod;
  readonly status: PodStatus;
  readonly text: string;
}

interface Told {
  /** The uid of what was told of. */
  readonly of: string;
  readonly text: string;
}

export class StatusPublisher {
  readonly #ports: StatusPorts;
  readonly #queue: WorkQueue;
  readonly #wanted = new Map<string, Entry>();
  /** What the API server was last told, by uid. */
  readonly #told = new Map<string, Told>();
  readonly #waiters = new Map<string, (() => void)[]>();

  constructor(ports: StatusPorts) {
    this.#ports = ports;
    this.#queue = new WorkQueue({
      name: "pod-status",
      clock: ports.clock,
      tracer: ports.tracer,
      baseDelayMs: 100,
      maxDelayMs: 10_000,
    });
    ports.scope.defer(() => this.#queue.shutDown());
    ports.scope.run("pod-status", () => this.#work());
  }

  publish(pod: Pod, status: PodStatus, cause: TraceContext | undefined): void {
    const uid = uidOf(pod);
    const text = JSON.stringify(status);
    // Nobody can be told yet: when somebody can, the pod is looked at anew.
    const shown = this.#ports.shownAs(pod);
    if (!shown) return;
    const told = this.#told.get(uid);
    const known = told?.of === uidOf(shown) ? told.text : JSON.stringify(shown.status);
    const wanted = this.#wanted.get(uid);
    if (wanted?.text === text && uidOf(wanted.pod) === uidOf(shown)) return;
    if (!wanted && known === text) return;
    this.#wanted.set(uid, { pod: shown, status, text });
    this.#queue.add(uid, cause);
  }

  /** Resolves when all that was published of this pod has been told, or the pod is gone. */
  flushed(uid: string): Promise<void> {
    if (!this.#wanted.has(uid)) return Promise.resolve();
    return new Promise((resolve) => {
      this.#waiters.set(uid, [...(this.#waiters.get(uid) ?? []), resolve]);
    });
  }

  forget(uid: string): void {
    this.#told.delete(uid);
    this.#settle(uid);
  }

  async #work(): Promise<void> {
    for (let item = await this.#queue.take(); item; item = await this.#queue.take()) {
      const { key, parent } = item;
      this.#ports.scope.run(`status ${key}`, async () => {
        try {
          await this.#tell(key, parent);
          this.#queue.forget(key);
        } catch (error) {
          this.#ports.log.warn("a pod's status could not be told; it will be tried again", { uid: key, error });
          this.#queue.retry(key, parent ? [parent] : []);
        } finally {
          this.#queue.done(key);
        }
      });
    }
  }

  async #tell(uid: string, parent: TraceContext | undefined): Promise<void> {
    const entry = this.#wanted.get(uid);
    if (!entry) return;
    const { name = "", namespace = "" } = entry.pod.metadata;
    const attributes = { "k8s.pod.name": name, "k8s.namespace.name": namespace, phase: entry.status.phase ?? "" };
    try {
      await span(this.#ports.tracer, "kubelet.status", { parent, attributes }, async ({ context }) => {
        const patch = { type: "application/strategic-merge-patch+json" as const, body: statusPatch(entry) };
        const options = { subresource: "status", trace: context };
        await this.#ports.client.patch(resources.pods, namespace, name, patch, options);
      });
    } catch (error) {
      // Gone, or another pod of this name by now: nobody is left to be told.
      if (!isStatus(error, "NotFound") && !isStatus(error, "Conflict")) throw error;
    }
    this.#told.set(uid, { of: uidOf(entry.pod), text: entry.text });
    if (this.#wanted.get(uid) === entry) this.#settle(uid);
    else this.#queue.add(uid, parent);
  }

  #settle(uid: string): void {
    this.#wanted.delete(uid);
    for (const resolve of this.#waiters.get(uid) ?? []) resolve();
    this.#waiters.delete(uid);
  }
}

/** Fields that the old status had and the new has not are cleared; lists that merge lose their old elements. */
function statusPatch({ pod, status }: Entry): object {
  const old = pod.status ?? {};
  const gone = CLEARED.filter((key) => old[key] !== undefined && status[key] === undefined);
  const oldIps = (old.podIPs ?? []).filter(({ ip }) => !status.podIPs?.some((it) => it.ip === ip));
  const podIPs = [...(status.podIPs ?? []), ...oldIps.map(({ ip }) => ({ $patch: "delete", ip }))];
  return {
    metadata: { uid: pod.metadata.uid },
    status: {
      ...Object.fromEntries(gone.map((key) => [key, null])),
      ...status,
      // Conditions are merged by type, and would keep the reason of the state before.
      conditions: [
        ...(status.conditions ?? []).map((condition) => ({ reason: null, message: null, ...condition })),
        ...PASSING.filter((type) => has(old.conditions, type) && !has(status.conditions, type)).map((type) => {
          return { $patch: "delete", type };
        }),
      ],
      ...(podIPs.length > 0 ? { podIPs } : {}),
    },
  };
}

/** Conditions that a pod has only while they hold. */
const PASSING = ["PodResizePending", "PodResizeInProgress"] as const;

function has(conditions: readonly PodCondition[] | undefined, type: string): boolean {
  return conditions?.some((it) => it.type === type) ?? false;
}

const CLEARED = ["reason", "message", "podIP", "initContainerStatuses", "ephemeralContainerStatuses"] as const;
