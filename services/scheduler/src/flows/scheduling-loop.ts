/**
 * The scheduler's life while it leads: take the pod whose turn it is, decide, and have the decision carried out.
 *
 * A decision is synchronous (core/cycle.ts). The pod is assumed on its node at once, so that the next decision counts it; the
 * binding follows in the background, and where it fails the assumption is taken back. What is heard meanwhile comes in by
 * following.ts.
 */
import type { Pod } from "@pilothouse/api/types/core-v1";
import type { ApiClient } from "@pilothouse/client";
import type { Clock, Random, Timer } from "@pilothouse/clock";
import type { EventRecorder } from "@pilothouse/controller";
import { keyOf } from "@pilothouse/informer";
import type { Scope } from "@pilothouse/lifecycle";
import type { Span, Telemetry } from "@pilothouse/telemetry";
import { schedule, type Decision } from "../core/cycle.ts";
import { SchedulingQueue } from "../core/queue.ts";
import { ClusterState } from "../core/snapshot.ts";
import { plugins } from "../plugins/registry.ts";
import type { VolumeChoices } from "../plugins/volume-binding/volume-binding.ts";
import { bindToNode, tellUnschedulable, type BindingPorts } from "./binding.ts";
import { Following, type Cause, type Informed } from "./following.ts";
import { Preempting, type Unschedulable } from "./preempting.ts";
import { Storage } from "./storage.ts";

export interface SchedulingPorts {
  readonly client: ApiClient;
  readonly clock: Clock;
  readonly random: Random;
  readonly telemetry: Telemetry;
  readonly scope: Scope;
  readonly events: EventRecorder;
}

export interface SchedulingOptions {
  /** Pods with this `spec.schedulerName` are ours. */
  readonly schedulerName: string;
  /** Bindings under way at once. */
  readonly maxBindings: number;
}

export class SchedulingLoop {
  readonly #ports: SchedulingPorts & BindingPorts;
  readonly #options: SchedulingOptions;
  readonly #state: ClusterState;
  readonly #queue = new SchedulingQueue();
  readonly #following: Following;
  readonly #preempting: Preempting;
  #bindings = 0;
  #timer: Timer | undefined;
  #wake: (() => void) | undefined;

  /** The informers must have reached the leader's election (C10). */
  constructor(ports: SchedulingPorts, options: SchedulingOptions, informed: Informed) {
    const { schedulerName } = options;
    const { namespaces, budgets } = informed;
    const storage = new Storage(informed);
    this.#ports = { ...ports, storage };
    this.#options = options;
    const state = new ClusterState({
      namespaceLabels: (name) => namespaces.get("", name)?.metadata.labels,
      storage: storage.view,
    });
    this.#state = state;
    const wake = (): void => this.#wake?.();
    this.#following = new Following({ ...ports, schedulerName, informed, storage, state, queue: this.#queue, wake });
    const happened: Following["happened"] = (events) => this.#following.happened(events);
    this.#preempting = new Preempting({ ...ports, schedulerName, state, budgets, happened });
  }

  /** Runs until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const stop = (): void => this.#wake?.();
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
    const pod = this.#following.pending(key);
    if (!pod) return;
    const current = this.#startSpan(pod, this.#following.causeOf(key));
    const decision = this.#decide(pod);
    if (decision.outcome === "unschedulable") {
      this.#cannotSchedule(key, pod, decision, current);
      return;
    }
    const { node, evaluated, feasible } = decision;
    current.set({ "scheduler.node": node.name, "scheduler.evaluated": evaluated, "scheduler.feasible": feasible });
    const choices = this.#ports.storage.choose(pod, node);
    const events = [...this.#state.assume(pod, node.name), ...this.#state.withdraw(key)];
    this.#inBackground(key, current, () => this.#bind(key, pod, node.name, choices, current));
    this.#following.happened(events);
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
    const { storage, clock } = this.#ports;
    const isBound = await bindToNode(this.#ports, pod, nodeName, choices, current);
    storage.settled(choices);
    if (isBound) {
      this.#following.forget(key);
      return;
    }
    this.#queue.failed(key, clock.monotonicMs());
    // Others may have the place, and the volumes, that it does not take.
    this.#following.happened([
      ...this.#state.forget(pod),
      ...choices.bind.map(({ volume }) => ({ what: "volume changed", before: undefined, volume }) as const),
    ]);
  }

  /** Others may have to go for it; else it waits for an event that could help. */
  #cannotSchedule(key: string, pod: Pod, decision: Unschedulable, current: Span): void {
    const preemption = this.#preempting.decide(pod, decision);
    if (preemption?.outcome === "victims") {
      const { nodeName, victims } = preemption;
      current.set({ "scheduler.unschedulable": decision.message, "scheduler.preempting": victims.map(keyOf).join() });
      const outrivalled = this.#preempting.nominate(pod, nodeName);
      this.#inBackground(key, current, async () => {
        await tellUnschedulable(this.#ports, pod, decision.message, current);
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
    this.#inBackground(key, current, () => tellUnschedulable(this.#ports, pod, message, current));
  }

  #inBackground(key: string, current: Span, work: () => Promise<void>): void {
    this.#bindings++;
    this.#ports.scope.run(`schedule ${key}`, async () => {
      await work().finally(() => {
        this.#bindings--;
        current.end();
        this.#wake?.();
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
}

const DURATION_BUCKETS = [0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5];
