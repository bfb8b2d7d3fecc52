/**
 * The scheduler's life while it leads: hear of pods and nodes, decide one pod at a time, bind in the background.
 *
 * A decision is synchronous (core/cycle.ts). The pod is assumed on its node at once, so that the next decision counts it; the
 * binding follows, and where it fails the assumption is taken back.
 */
import type { Namespace, Node, Pod } from "@pilothouse/api/types/core-v1";
import type { PodDisruptionBudget } from "@pilothouse/api/types/policy-v1";
import type { ApiClient } from "@pilothouse/client";
import type { Clock, Random, Timer } from "@pilothouse/clock";
import type { EventRecorder } from "@pilothouse/controller";
import { isStatus } from "@pilothouse/errors";
import { keyOf, splitKey, type Informer, type InformerChange } from "@pilothouse/informer";
import type { Scope } from "@pilothouse/lifecycle";
import { span, type Span, type Telemetry, type TraceContext } from "@pilothouse/telemetry";
import { schedule, type Decision } from "../core/cycle.ts";
import type { ClusterEvent } from "../core/framework.ts";
import { SchedulingQueue } from "../core/queue.ts";
import { ClusterState, isOver } from "../core/snapshot.ts";
import { plugins } from "../plugins/registry.ts";
import type { VolumeChoices } from "../plugins/volume-binding/volume-binding.ts";
import { bind, reportUnschedulable } from "./bind.ts";
import { bindVolumes } from "./bind-volumes.ts";
import { Storage, type StorageInformers } from "./storage.ts";
import { Preempting, type Unschedulable } from "./preempting.ts";

export interface SchedulingPorts {
  readonly client: ApiClient;
  readonly clock: Clock;
  readonly random: Random;
  readonly telemetry: Telemetry;
  readonly scope: Scope;
  readonly events: EventRecorder;
}

export interface Informed extends StorageInformers {
  readonly pods: Informer<Pod>;
  readonly nodes: Informer<Node>;
  readonly budgets: Informer<PodDisruptionBudget>;
  readonly namespaces: Informer<Namespace>;
}

export interface SchedulingOptions {
  /** Pods with this `spec.schedulerName` are ours. */
  readonly schedulerName: string;
  /** Bindings under way at once. */
  readonly maxBindings: number;
}

/** What woke the scheduler for a pod, and since when it waits. */
interface Cause {
  readonly trace: TraceContext | undefined;
  readonly sinceMs: number;
}

export class SchedulingLoop {
  readonly #ports: SchedulingPorts;
  readonly #options: SchedulingOptions;
  readonly #pods: Informer<Pod>;
  readonly #preempting: Preempting;
  readonly #storage: Storage;
  readonly #state: ClusterState;
  readonly #queue = new SchedulingQueue();
  readonly #causes = new Map<string, Cause>();
  #bindings = 0;
  #timer: Timer | undefined;
  #wake: (() => void) | undefined;

  /** The informers must have reached the leader's election (C10). */
  constructor(ports: SchedulingPorts, options: SchedulingOptions, informed: Informed) {
    const { pods, nodes, namespaces } = informed;
    this.#ports = ports;
    this.#options = options;
    this.#pods = pods;
    this.#storage = new Storage(informed);
    this.#state = new ClusterState({
      namespaceLabels: (name) => namespaces.get("", name)?.metadata.labels,
      storage: this.#storage.view,
    });
    const { schedulerName } = options;
    this.#preempting = new Preempting({ ...ports, schedulerName, state: this.#state, budgets: informed.budgets });
    for (const node of nodes.list()) this.#state.setNode(node);
    for (const pod of pods.list()) this.#onPod({ type: "added", object: pod, trace: undefined });
    ports.scope.defer(nodes.onChange((change) => this.#onNode(change)));
    ports.scope.defer(pods.onChange((change) => this.#onPod(change)));
    this.#storage.follow(ports.scope, () => this.#happened("StorageChanged"));
  }

  /** Runs until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const stop = (): void => this.#wakeUp();
    signal.addEventListener("abort", stop, { once: true });
    while (!signal.aborted) {
      const key =
        this.#bindings < this.#options.maxBindings ? this.#queue.pop(this.#ports.clock.monotonicMs()) : undefined;
      if (key === undefined) await this.#sleepUntilDue();
      else this.#scheduleOne(key);
    }
    this.#timer?.cancel();
    signal.removeEventListener("abort", stop);
  }

  /** The life of one pod: look at it again, decide, assume, bind in the background. */
  #scheduleOne(key: string): void {
    const { namespace, name } = splitKey(key);
    const pod = this.#pods.get(namespace, name);
    if (!pod || !this.#isPending(pod)) {
      this.#queue.remove(key);
      this.#causes.delete(key);
      return;
    }
    const cause = this.#causes.get(key);
    const current = this.#startSpan(pod, cause);
    const decision = this.#decide(pod);
    if (decision.outcome === "scheduled") {
      current.set({
        "scheduler.node": decision.nodeName,
        "scheduler.evaluated": decision.evaluated,
        "scheduler.feasible": decision.feasible,
      });
      this.#state.assume(pod, decision.nodeName);
      this.#state.withdraw(key);
      const node = this.#state.snapshot().nodes.find(({ name }) => name === decision.nodeName);
      const choices = this.#storage.choose(pod, node);
      this.#inBackground(key, current, () => this.#bind(key, pod, decision.nodeName, choices, current));
      return;
    }
    this.#cannotSchedule(key, pod, decision, current);
  }

  /** Others may have to go for it; else it waits until something changes. */
  #cannotSchedule(key: string, pod: Pod, decision: Unschedulable, current: Span): void {
    const preemption = this.#preempting.decide(pod, decision);
    if (preemption?.outcome === "victims") {
      const { nodeName, victims } = preemption;
      current.set({ "scheduler.unschedulable": decision.message, "scheduler.preempting": victims.map(keyOf).join() });
      const outrivalled = this.#preempting.nominate(pod, nodeName);
      this.#inBackground(key, current, async () => {
        await this.#report(pod, decision.message, current);
        const isDone = await this.#preempting.makeRoom(pod, preemption, outrivalled, current);
        const nowMs = this.#ports.clock.monotonicMs();
        // In flight until now, so that no victim's end is missed.
        if (isDone) this.#queue.rejected(key, decision.undoneBy, nowMs);
        else this.#queue.failed(key, nowMs);
      });
      return;
    }
    const message = preemption ? `${decision.message} preemption: ${preemption.message}` : decision.message;
    current.set({ "scheduler.unschedulable": message });
    this.#queue.rejected(key, decision.undoneBy, this.#ports.clock.monotonicMs());
    this.#inBackground(key, current, () => this.#report(pod, message, current));
  }

  #decide(pod: Pod): Decision {
    const startedMs = this.#ports.clock.monotonicMs();
    // A stream of the pod's own: what else is scheduled does not change how its ties are broken.
    const tieBreak = this.#ports.random.fork(`${pod.metadata.uid}`).next();
    const decision = schedule(pod, this.#state.snapshot(), plugins, tieBreak);
    const { metrics } = this.#ports.telemetry;
    metrics
      .histogram("scheduler_scheduling_algorithm_duration_seconds", "How long one decision took.", DURATION_BUCKETS)
      .observe((this.#ports.clock.monotonicMs() - startedMs) / 1000);
    metrics
      .counter("scheduler_schedule_attempts_total", "Attempts to schedule pods, by result.", ["result"])
      .add({ result: decision.outcome });
    return decision;
  }

  async #bind(key: string, pod: Pod, nodeName: string, choices: VolumeChoices, current: Span): Promise<void> {
    const { client, events, telemetry, clock, scope } = this.#ports;
    try {
      if (choices.bind.length + choices.provision.length > 0) {
        await span(telemetry.tracer, "bind volumes", { parent: current.context }, (own) =>
          bindVolumes(
            { client, clock, claims: this.#storage.claims, signal: scope.signal },
            nodeName,
            choices,
            own.context,
          ),
        );
      }
      await span(telemetry.tracer, "bind", { parent: current.context }, (own) =>
        bind(client, pod, nodeName, own.context),
      );
      this.#queue.remove(key);
      this.#causes.delete(key);
      events.record(
        { apiVersion: "v1", kind: "Pod", object: pod },
        "Normal",
        "Scheduled",
        `Successfully assigned ${key} to ${nodeName}`,
        current.context,
      );
    } catch (error) {
      // Another uid, bound by somebody else, or gone: what the API says now decides, at the next look.
      this.#state.forget(pod);
      this.#queue.failed(key, clock.monotonicMs());
      current.fail(error);
      telemetry.log.warn("binding failed", { pod: key, node: nodeName, error, trace: current.context });
    } finally {
      this.#storage.settled(choices);
    }
  }

  async #report(pod: Pod, message: string, current: Span): Promise<void> {
    const { client, events, telemetry } = this.#ports;
    const target = { apiVersion: "v1", kind: "Pod", object: pod };
    events.record(target, "Warning", "FailedScheduling", message, current.context);
    try {
      await reportUnschedulable(client, pod, message, current.context);
    } catch (error) {
      if (!isStatus(error, "NotFound"))
        telemetry.log.warn("condition not written", { pod: keyOf(pod), error, trace: current.context });
    }
  }

  #inBackground(key: string, current: Span, work: () => Promise<void>): void {
    this.#bindings++;
    this.#ports.scope.run(`schedule ${key}`, async () => {
      await work().finally(() => {
        this.#bindings--;
        current.end();
        this.#wakeUp();
      });
    });
  }

  #startSpan(pod: Pod, cause: Cause | undefined): Span {
    const { tracer } = this.#ports.telemetry;
    const nowMs = this.#ports.clock.now();
    const attributes = {
      "k8s.resource": "pods",
      "k8s.namespace": pod.metadata.namespace ?? "",
      "k8s.name": pod.metadata.name ?? "",
    };
    const wait = tracer.start("wait in the scheduling queue", {
      parent: cause?.trace,
      attributes,
      startTimeMs: cause?.sinceMs ?? nowMs,
    });
    wait.end(nowMs);
    return tracer.start("schedule", { parent: cause?.trace, attributes });
  }

  #onNode(change: InformerChange<Node>): void {
    if (change.type === "deleted") this.#state.removeNode(change.object.metadata.name as string);
    else {
      this.#state.setNode(change.object);
      this.#happened(change.type === "added" ? "NodeAdded" : "NodeChanged");
    }
  }

  #onPod(change: InformerChange<Pod>): void {
    const pod = change.object;
    const key = keyOf(pod);
    const isGone = change.type === "deleted";
    if (isGone) this.#state.removePod(key);
    else if (pod.spec.nodeName) this.#state.setPod(pod);
    if (!isGone && this.#isPending(pod)) {
      this.#hearNomination(key, pod);
      this.#await(key, pod, change.trace);
      return;
    }
    this.#state.withdraw(key);
    this.#queue.remove(key);
    this.#causes.delete(key);
    if (isGone || isOver(pod)) this.#happened("PodDeleted");
    else if (pod.spec.nodeName) this.#happened(change.type === "added" ? "PodAdded" : "PodChanged");
  }

  /** What an earlier leader promised it; what we promised ourselves is newer than what is told. */
  #hearNomination(key: string, pod: Pod): void {
    const told = pod.status?.nominatedNodeName;
    const known = this.#state.nominatedNode(key);
    if (known !== undefined) this.#state.nominate(pod, known);
    else if (told && !this.#causes.has(key)) this.#state.nominate(pod, told);
  }

  /** A pod wants a node: remember who asked for it. Writes of our own (its condition) are no reason to try again. */
  #await(key: string, pod: Pod, trace: TraceContext | undefined): void {
    if (this.#causes.has(key)) return;
    this.#causes.set(key, { trace, sinceMs: this.#ports.clock.now() });
    this.#queue.add(key, pod.spec.priority ?? 0, this.#ports.clock.monotonicMs());
    this.#wakeUp();
  }

  #isPending(pod: Pod): boolean {
    const { nodeName, schedulerName = "default-scheduler", schedulingGates = [] } = pod.spec;
    const isOurs = schedulerName === this.#options.schedulerName && schedulingGates.length === 0;
    return isOurs && !nodeName && !pod.metadata.deletionTimestamp && !isOver(pod);
  }

  #happened(event: ClusterEvent): void {
    this.#queue.onEvent(event, this.#ports.clock.monotonicMs());
    this.#wakeUp();
  }

  async #sleepUntilDue(): Promise<void> {
    const dueMs = this.#queue.nextDueMs();
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
      if (dueMs === undefined) return;
      this.#timer = this.#ports.clock.setTimer(Math.max(0, dueMs - this.#ports.clock.monotonicMs()), resolve);
    });
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#wake = undefined;
  }

  #wakeUp(): void {
    this.#wake?.();
  }
}

const DURATION_BUCKETS = [0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5];
