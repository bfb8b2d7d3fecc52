/**
 * One worker per pod: look at what runs, plan, tell the status, act, until there is nothing to do.
 *
 * Woken by changes of the pod, events of the runtime and verdicts of probes; a slow look at everything is the safety net.
 * Restarting the kubelet touches no container: all that must be known is in the runtime and in the pod.
 */
import type { Pod } from "@pilothouse/api/types/core-v1";
import { resources } from "@pilothouse/client";
import { abortReason } from "@pilothouse/clock";
import { isStatus } from "@pilothouse/errors";
import type { Scope } from "@pilothouse/lifecycle";
import { RuntimeError, type RuntimeEvent } from "@pilothouse/runtime";
import { span, type TraceContext } from "@pilothouse/telemetry";
import { WorkQueue, type WorkItem } from "@pilothouse/workqueue";
import { INITIAL_MS, MAX_MS, type Backoff } from "../core/backoff.ts";
import { ConfigUnavailable } from "../core/environment.ts";
import { graceOf, isOver, planPod, type Action, type Hold, type Plan, type PodSituation } from "../core/pod-machine.ts";
import {
  LABEL_NODE,
  LABEL_POD_NAME,
  LABEL_POD_NAMESPACE,
  nothingRuns,
  podTitle,
  uidOf,
  type PodRuntime,
} from "../core/pod-runtime.ts";
import { podStatus } from "../core/status.ts";
import { isRefreshed } from "../core/volumes.ts";
import type { KubeletPorts } from "./kubelet-ports.ts";
import type { NodeSettings } from "./node-settings.ts";
import { PodActions, StartFailed, type PodContext } from "./pod-actions.ts";
import { PodObserver } from "./pod-observer.ts";
import { InputReader } from "./pod-inputs.ts";
import { Prober } from "./prober.ts";
import { StatusPublisher } from "./status.ts";

const RELIST_MS = 60_000;
const REFRESH_VOLUMES_MS = 60_000;
const SANDBOX_RETRY_MS = 2_000;
const CONFIG_RETRY_MS = 2_000;
/** How soon a failed pull reads as "backing off". */
const BACKOFF_SHOWN_MS = 1_000;

/** All that is known of one pod between two looks. Lost at a restart without harm. */
interface PodRecord {
  pod: Pod;
  /** The object is gone from the API. */
  vanished: boolean;
  /** The trace of what was last wanted of the pod. */
  cause: TraceContext | undefined;
  runtime: PodRuntime;
  readonly scope: Scope;
  readonly prober: Prober;
  readonly inputs: InputReader;
  readonly backoffs: Map<string, Backoff>;
  readonly holds: Map<string, Hold & { readonly delayMs: number; readonly shown: Hold }>;
  readonly stopping: Map<string, number>;
  readonly messages: Map<string, string>;
  /** Aborts the starts under way when the pod is to end. */
  starts: AbortController;
  volumesRefreshAtMs: number;
  /** Containers that waited in a back-off when last looked at. */
  backingOff: ReadonlySet<string>;
  deleted: boolean;
}

export class PodWorkers {
  readonly #ports: KubeletPorts;
  readonly #settings: NodeSettings;
  readonly #scope: Scope;
  readonly #actions: PodActions;
  readonly #status: StatusPublisher;
  readonly #queue: WorkQueue;
  readonly #records = new Map<string, PodRecord>();
  readonly #observer: PodObserver;

  constructor(ports: KubeletPorts, settings: NodeSettings, scope: Scope) {
    this.#ports = ports;
    this.#settings = settings;
    this.#scope = scope;
    this.#actions = new PodActions(ports, settings);
    this.#observer = new PodObserver(ports);
    this.#status = new StatusPublisher({ ...ports, scope });
    const { clock, tracer } = ports;
    this.#queue = new WorkQueue({ name: "pods", clock, tracer, baseDelayMs: 250, maxDelayMs: 30_000 });
  }

  changed(pod: Pod, cause: TraceContext | undefined): void {
    const uid = uidOf(pod);
    const record = this.#records.get(uid);
    if (!record) {
      this.#records.set(uid, this.#newRecord(pod, cause));
      this.#queue.add(uid, cause);
      return;
    }
    const ending = pod.metadata.deletionTimestamp !== undefined;
    const before = record.pod.metadata;
    // Our own status writes come back as changes too; they are nobody's wish.
    const wish = before.generation !== pod.metadata.generation || (ending && before.deletionTimestamp === undefined);
    if (wish) record.cause = cause ?? record.cause;
    if (ending) record.starts.abort(new Error("the pod is being deleted"));
    record.pod = pod;
    this.#queue.add(uid, wish ? cause : undefined);
  }

  removed(pod: Pod, cause: TraceContext | undefined): void {
    const record = this.#records.get(uidOf(pod));
    if (!record) return;
    record.vanished = true;
    record.cause = cause ?? record.cause;
    record.starts.abort(new Error("the pod is gone"));
    this.#queue.add(uidOf(pod), cause);
  }

  runtimeEvent(event: RuntimeEvent): void {
    if (event.kind === "resync") {
      for (const uid of this.#records.keys()) this.#queue.add(uid);
      return;
    }
    const uid = this.#observer.ownerOf(event.containerId);
    if (uid !== undefined) this.#queue.add(uid);
  }

  pods(): readonly Pod[] {
    return [...this.#records.values()].map((it) => it.pod);
  }

  /** What runs of a pod, by its name. */
  find(namespace: string, name: string): { readonly pod: Pod; readonly runtime: PodRuntime } | undefined {
    const found = [...this.#records.values()].filter(
      ({ pod }) => pod.metadata.namespace === namespace && pod.metadata.name === name,
    );
    return found.find((it) => !it.vanished) ?? found[0];
  }

  /** Begins to work; the pods that the API has must have been told. */
  async start(): Promise<void> {
    await this.#adoptOrphans();
    this.#scope.defer(() => this.#queue.shutDown());
    this.#scope.defer(this.#ports.runtime.subscribe((event) => this.runtimeEvent(event)));
    this.#scope.run("pods", async () => {
      for (let item = await this.#queue.take(); item; item = await this.#queue.take()) this.#dispatch(item);
    });
  }

  /** What runs here of pods that the API does not know any more becomes pods that vanished. */
  async #adoptOrphans(): Promise<void> {
    const filter = { labels: { [LABEL_NODE]: this.#settings.places.nodeName } };
    const sandboxes = await this.#ports.runtime.listPodSandboxes(filter);
    const orphans = new Map(sandboxes.map((it) => [it.uid, it.labels]));
    for (const uid of await this.#ports.files.listPods()) if (!orphans.has(uid)) orphans.set(uid, {});
    for (const [uid, labels] of orphans) {
      if (this.#records.has(uid)) continue;
      const name = labels[LABEL_POD_NAME] ?? "";
      const namespace = labels[LABEL_POD_NAMESPACE] ?? "";
      const pod: Pod = { metadata: { name, namespace, uid }, spec: { containers: [] } };
      const record = this.#newRecord(pod, undefined);
      record.vanished = true;
      this.#records.set(uid, record);
      this.#queue.add(uid);
    }
  }

  #newRecord(pod: Pod, cause: TraceContext | undefined): PodRecord {
    const uid = uidOf(pod);
    const scope = this.#scope.child(`pod ${uid}`);
    return {
      pod,
      cause,
      scope,
      vanished: false,
      runtime: nothingRuns,
      prober: new Prober(this.#ports, scope, () => this.#queue.add(uid)),
      inputs: new InputReader(this.#ports),
      backoffs: new Map(),
      holds: new Map(),
      stopping: new Map(),
      messages: new Map(),
      starts: new AbortController(),
      volumesRefreshAtMs: this.#ports.clock.monotonicMs() + REFRESH_VOLUMES_MS,
      backingOff: new Set(),
      deleted: false,
    };
  }

  #dispatch(item: WorkItem): void {
    const { key } = item;
    this.#scope.run(`pod ${key}`, async () => {
      try {
        await this.#sync(key, item.parent);
        this.#queue.forget(key);
        if (this.#records.has(key)) this.#queue.addAfter(key, RELIST_MS);
      } catch (error) {
        const pod = this.#records.get(key)?.pod;
        this.#ports.log.warn("a pod could not be brought to where it should be", { pod: pod && podTitle(pod), error });
        this.#queue.retry(key, item.parent ? [item.parent] : []);
      } finally {
        this.#queue.done(key);
      }
    });
  }

  async #sync(uid: string, parent: TraceContext | undefined): Promise<void> {
    const record = this.#records.get(uid);
    if (!record) return;
    const { name = "", namespace = "" } = record.pod.metadata;
    const attributes = { "k8s.pod.name": name, "k8s.namespace.name": namespace };
    const options = { parent: parent ?? record.cause, attributes };
    const work = async (trace: TraceContext | undefined): Promise<void> => {
      while (await this.#round(record, trace)) {
        // Something was done: look again.
      }
    };
    // A wake-up that nobody caused (a timer, our own status coming back) is not worth a span unless it does something.
    if (!parent) await work(record.cause);
    else await span(this.#ports.tracer, "kubelet.sync", options, ({ context }) => work(context));
  }

  /** One look and what follows from it; true when it must be looked at again. */
  async #round(record: PodRecord, trace: TraceContext | undefined): Promise<boolean> {
    const { clock } = this.#ports;
    record.runtime = await this.#observer.look(uidOf(record.pod), record.runtime, record.messages);
    const { pod, runtime } = record;
    const situation = this.#situation(record);
    const plan = planPod(situation);
    const running = situation.terminating ? [] : runtime.containers.filter((it) => it.state === "running");
    record.prober.watch(pod, running, podIpsOf(record)[0] ?? this.#settings.nodeIp);
    if (!record.vanished) this.#tellStatus(record, plan, situation, trace);
    if (plan.finished && situation.terminating) return this.#finish(record, trace);
    await this.#refreshVolumes(record, trace);
    let acted = false;
    for (const action of plan.actions) acted = (await this.#act(record, action, trace)) || acted;
    if (plan.wakeAtMs !== undefined) this.#queue.addAfter(uidOf(pod), Math.max(0, plan.wakeAtMs - clock.now()) + 1);
    return acted;
  }

  #situation(record: PodRecord): PodSituation {
    const { pod, runtime, vanished } = record;
    const ending = vanished || pod.metadata.deletionTimestamp !== undefined;
    const nowMs = this.#ports.clock.now();
    const holds = new Map(
      [...record.holds].map(([name, hold]) => {
        const backingOff = nowMs >= hold.untilMs - hold.delayMs + BACKOFF_SHOWN_MS;
        return [name, backingOff ? hold.shown : hold];
      }),
    );
    return {
      pod,
      runtime,
      holds,
      nowMs,
      probes: record.prober.verdicts(),
      backoffs: record.backoffs,
      stopping: record.stopping,
      terminating: ending ? { graceSeconds: graceOf(pod) } : undefined,
    };
  }

  #tellStatus(record: PodRecord, plan: Plan, situation: PodSituation, trace: TraceContext | undefined): void {
    const { pod, runtime, messages } = record;
    const over = isOver(pod, runtime) || situation.terminating !== undefined;
    const terminal = plan.finished && over;
    const { probes, nowMs } = situation;
    const { waiting } = plan;
    this.#tellBackOffs(record, waiting);
    const hostIp = this.#settings.nodeIp;
    const status = podStatus({ pod, runtime, probes, waiting, messages, terminal, hostIp, nowMs });
    this.#status.publish(pod, status, trace);
  }

  /** An event when a container begins to wait because it keeps failing. */
  #tellBackOffs(record: PodRecord, waiting: Plan["waiting"]): void {
    const now = [...waiting].filter(([, { reason }]) => reason === "CrashLoopBackOff").map(([name]) => name);
    for (const name of now) {
      if (record.backingOff.has(name)) continue;
      const message = `Back-off restarting failed container ${name} in pod ${podTitle(record.pod)}`;
      this.#ports.events.pod(record.pod, "Warning", "BackOff", message, name);
    }
    record.backingOff = new Set(now);
  }

  /** True when the action was carried out and the pod must be looked at again. */
  async #act(record: PodRecord, action: Action, trace: TraceContext | undefined): Promise<boolean> {
    const { runtime } = this.#ports;
    const context = this.#context(record, trace);
    switch (action.kind) {
      case "createSandbox":
        return this.#createSandbox(record, context, action.attempt);
      case "startContainer":
        return this.#startContainer(record, context, action);
      case "stopContainer":
        this.#stopContainer(record, context, action);
        return false;
      case "stopSandbox":
        await runtime.stopPodSandbox(action.sandboxId);
        return true;
      case "removeSandbox":
        await runtime.removePodSandbox(action.sandboxId);
        this.#observer.gone(action.sandboxId);
        return true;
      case "removeContainer":
        await runtime.removeContainer(action.containerId);
        this.#observer.gone(action.containerId);
        return true;
    }
  }

  async #createSandbox(record: PodRecord, context: PodContext, attempt: number): Promise<boolean> {
    const { pod } = record;
    try {
      await this.#actions.createSandbox(context, attempt);
      record.holds.delete("");
      return true;
    } catch (error) {
      this.#throwIfDown(error);
      const message = `Failed to create pod sandbox: ${error instanceof Error ? error.message : String(error)}`;
      if (!(error instanceof ConfigUnavailable)) {
        this.#ports.events.pod(pod, "Warning", "FailedCreatePodSandBox", message);
      }
      const hold = { reason: "ContainerCreating", message: "", untilMs: this.#ports.clock.now() + SANDBOX_RETRY_MS };
      record.holds.set("", { ...hold, delayMs: SANDBOX_RETRY_MS, shown: hold });
      return true;
    }
  }

  async #startContainer(
    record: PodRecord,
    context: PodContext,
    action: Extract<Action, { kind: "startContainer" }>,
  ): Promise<boolean> {
    const { signal } = record.starts;
    const { name } = action.container;
    if (signal.aborted) return false;
    try {
      await orAborted(this.#actions.startContainer(context, action), signal);
      record.holds.delete(name);
      if (action.backoff) record.backoffs.set(name, action.backoff);
      return true;
    } catch (error) {
      if (signal.aborted) return true;
      this.#throwIfDown(error instanceof StartFailed ? error.cause : error);
      this.#hold(record, action, error);
      return true;
    }
  }

  #hold(record: PodRecord, { container }: Extract<Action, { kind: "startContainer" }>, error: unknown): void {
    const { name } = container;
    const reason = error instanceof StartFailed ? error.reason : "CreateContainerError";
    const message = error instanceof Error ? error.message : String(error);
    const forImage = reason === "ErrImagePull";
    const before = record.holds.get(name);
    const delayMs = forImage
      ? Math.min(MAX_MS, before?.reason === reason ? before.delayMs * 2 : INITIAL_MS)
      : CONFIG_RETRY_MS;
    const untilMs = this.#ports.clock.now() + delayMs;
    const hold = { reason, message, untilMs };
    const text = `Back-off pulling image "${container.image}"`;
    const shown = forImage
      ? { reason: "ImagePullBackOff", message: `${text}: ErrImagePull: ${message}`, untilMs }
      : hold;
    record.holds.set(name, { ...hold, delayMs, shown });
    if (forImage) this.#queue.addAfter(uidOf(record.pod), BACKOFF_SHOWN_MS + 1);
    else this.#ports.events.pod(record.pod, "Warning", "Failed", `Error: ${message}`, name);
  }

  /** The end of a container takes its time; the worker goes on meanwhile and hears of it by the runtime's event. */
  #stopContainer(record: PodRecord, context: PodContext, action: Extract<Action, { kind: "stopContainer" }>): void {
    const { containerId, name, graceSeconds, why } = action;
    const { events, log } = this.#ports;
    if (!record.stopping.has(containerId)) events.pod(record.pod, "Normal", "Killing", why, name);
    record.stopping.set(containerId, graceSeconds);
    this.#scope.run(`stop ${containerId}`, async () => {
      try {
        await this.#actions.stopContainer(context, action);
      } catch (error) {
        log.warn("a container could not be stopped; it will be tried again", { container: containerId, error });
      }
      if (record.stopping.get(containerId) === graceSeconds) record.stopping.delete(containerId);
      this.#queue.add(uidOf(record.pod));
    });
  }

  /** Nothing of the pod runs any more: tell the last status, remove what it had, and let the object go. */
  async #finish(record: PodRecord, trace: TraceContext | undefined): Promise<boolean> {
    const { pod, runtime } = record;
    const uid = uidOf(pod);
    const { name = "", namespace = "" } = pod.metadata;
    if (record.deleted && !record.vanished) return false;
    if (!record.vanished) await this.#status.flushed(uid);
    for (const { id } of runtime.sandboxes) await this.#ports.runtime.removePodSandbox(id);
    await this.#actions.removePod(pod);
    this.#observer.forget(uid);
    if (!record.vanished) {
      record.deleted = true;
      try {
        await this.#ports.client.delete(resources.pods, namespace, name, { gracePeriodSeconds: 0, uid, trace });
      } catch (error) {
        if (!isStatus(error, "NotFound") && !isStatus(error, "Conflict")) {
          record.deleted = false;
          throw error;
        }
      }
      return false;
    }
    this.#records.delete(uid);
    this.#status.forget(uid);
    void record.scope.close();
    return false;
  }

  /** ConfigMaps, Secrets and tokens change while the pod runs. */
  async #refreshVolumes(record: PodRecord, trace: TraceContext | undefined): Promise<void> {
    const { pod } = record;
    const nowMs = this.#ports.clock.monotonicMs();
    const alive = record.runtime.containers.some((it) => it.state === "running");
    if (!alive || nowMs < record.volumesRefreshAtMs || !(pod.spec.volumes ?? []).some(isRefreshed)) return;
    record.volumesRefreshAtMs = nowMs + REFRESH_VOLUMES_MS;
    try {
      const inputs = await record.inputs.read(pod, trace);
      await this.#actions.ensureVolumes(this.#context(record, trace), inputs);
    } catch (error) {
      // The pod runs on with what it has.
      this.#ports.log.warn("volumes could not be brought up to date", { pod: podTitle(pod), error });
    }
  }

  #context(record: PodRecord, trace: TraceContext | undefined): PodContext {
    const { pod, inputs } = record;
    const podIps = pod.spec.hostNetwork ? [this.#settings.nodeIp] : podIpsOf(record);
    return { pod, inputs, trace, podIps, made: (id) => this.#observer.made(id, uidOf(pod)) };
  }

  /** A runtime that is down is nobody's failed start: the whole pod is tried again. */
  #throwIfDown(error: unknown): void {
    if (error instanceof RuntimeError && error.code === "Unavailable") throw error;
  }
}

function podIpsOf({ runtime }: PodRecord): readonly string[] {
  const [sandbox] = runtime.sandboxes;
  return sandbox?.state === "ready" ? sandbox.ips : [];
}

function orAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(abortReason(signal));
    signal.addEventListener("abort", onAbort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}
