/** Makes room for pods that nothing else helps: decides who has to go, and sends them away. */
import type { Pod } from "@pilothouse/api/types/core-v1";
import type { PodDisruptionBudget } from "@pilothouse/api/types/policy-v1";
import type { ApiClient } from "@pilothouse/client";
import type { Clock } from "@pilothouse/clock";
import type { EventRecorder } from "@pilothouse/controller";
import { isStatus } from "@pilothouse/errors";
import { keyOf, type Informer } from "@pilothouse/informer";
import { span, type Span, type Telemetry } from "@pilothouse/telemetry";
import type { Decision } from "../core/cycle.ts";
import { budgetOf, preempt, priorityOf, type Preemption } from "../core/preemption.ts";
import type { ClusterEvent } from "../core/events.ts";
import type { ClusterState } from "../core/snapshot.ts";
import { plugins } from "../plugins/registry.ts";
import { evict, nominate } from "./evict.ts";

export type Unschedulable = Extract<Decision, { outcome: "unschedulable" }>;
export type Victims = Extract<Preemption, { outcome: "victims" }>;

export interface PreemptingPorts {
  readonly client: ApiClient;
  readonly clock: Clock;
  readonly events: EventRecorder;
  readonly telemetry: Telemetry;
  readonly schedulerName: string;
  readonly state: ClusterState;
  readonly budgets: Informer<PodDisruptionBudget>;
  /** Room that was spoken for is not any more. */
  readonly happened: (events: readonly ClusterEvent[]) => void;
}

export class Preempting {
  readonly #ports: PreemptingPorts;

  constructor(ports: PreemptingPorts) {
    this.#ports = ports;
  }

  /** Undefined where there are no nodes at all. */
  decide(pod: Pod, { rejections }: Unschedulable): Preemption | undefined {
    if (rejections.length === 0) return undefined;
    const { state, budgets } = this.#ports;
    return preempt(pod, state.snapshot(), plugins, rejections, budgets.list().map(budgetOf));
  }

  /** The node's room is the pod's from now on. Answers with those that waited for it with less right: they look elsewhere. */
  nominate(pod: Pod, nodeName: string): readonly Pod[] {
    const { state, happened } = this.#ports;
    const waiting = state.snapshot().nominated.get(nodeName) ?? [];
    const lesser = waiting.filter((other) => keyOf(other) !== keyOf(pod) && priorityOf(other) < priorityOf(pod));
    const withdrawn = lesser.flatMap((other) => state.withdraw(keyOf(other)));
    happened([...withdrawn, ...state.nominate(pod, nodeName)]);
    return lesser;
  }

  /** Writes down who waits for what, and evicts the victims. False when that did not come to its end: to be tried again. */
  async makeRoom(
    pod: Pod,
    { nodeName, victims }: Victims,
    outrivalled: readonly Pod[],
    current: Span,
  ): Promise<boolean> {
    const { client, events, clock, telemetry, schedulerName, state, happened } = this.#ports;
    const now = new Date(clock.now()).toISOString().replace(/\.\d+/, "");
    try {
      await nominate(client, pod, nodeName, current.context);
      for (const other of outrivalled) await nominate(client, other, undefined, current.context);
      await span(telemetry.tracer, "preempt", { parent: current.context }, (own) =>
        evict({ client, events, now, schedulerName }, pod, nodeName, victims, own.context),
      );
      return true;
    } catch (error) {
      happened(state.withdraw(keyOf(pod)));
      if (isStatus(error, "NotFound")) return false;
      current.fail(error);
      telemetry.log.warn("preemption failed", { pod: keyOf(pod), node: nodeName, error, trace: current.context });
      return false;
    }
  }
}
