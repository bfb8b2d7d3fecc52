/**
 * The horizontal pod autoscaler controller: gives targets as many replicas as their metrics ask for, within bounds.
 *
 * Promises: looks every 15 s; never leaves the bounds; where a metric cannot be had nothing is scaled down, and the condition
 * ScalingActive says why. Does not promise: to remember recommendations past its leadership; a new leader waits for a whole window.
 */
import type { HorizontalPodAutoscaler, MetricSpec } from "@pilothouse/api/types/autoscaling-v2";
import type { Scale } from "@pilothouse/api/types/autoscaling-v1";
import type { CallOptions, ResourceType } from "@pilothouse/client";
import { done, followChanges, OwnWrites, requeueAfter } from "@pilothouse/controller";
import type { EventRecorder, Outcome, ReconcileContext } from "@pilothouse/controller";
import { isStatus } from "@pilothouse/errors";
import { keyOf, splitKey } from "@pilothouse/informer";
import { sameValue } from "@pilothouse/kinds/field-errors";
import {
  formatLabelSelector,
  labelSelectorOf,
  labelSelectorToString,
  matchesLabels,
  parseLabelSelector,
  type LabelSelector,
} from "@pilothouse/selectors";
import { WorkQueue } from "@pilothouse/workqueue";
import type { ControllerPorts } from "../../controller-ports.ts";
import { FIELD_MANAGER, type Cause } from "../../executor.ts";
import { BY_NAMESPACE } from "../../informers.ts";
import { readScale, resourceOf, writeScale } from "../../scales.ts";
import { startWorkers } from "../../start-workers.ts";
import { apiMetrics, type MetricsReader } from "./metrics.ts";
import { NO_HISTORY, type History } from "./plan-behavior.ts";
import { afterRescale, plan, planWithoutScale, wantsMetrics, type AutoscalerPlan } from "./plan.ts";
import type { Reading } from "./plan-metrics.ts";

const NAME = "horizontalpodautoscaler";
const WORKERS = 5;
/** Upstream's --horizontal-pod-autoscaler-sync-period. No net: time and load are what changes. */
const SYNC_PERIOD_MS = 15_000;
const KIND = { apiVersion: "autoscaling/v2", kind: "HorizontalPodAutoscaler" } as const;

export function startHorizontalPodAutoscalerController(ports: ControllerPorts): void {
  const { clock, telemetry, scope, informers } = ports;
  const queue = new WorkQueue({ name: NAME, clock, tracer: telemetry.tracer });
  const controller = new AutoscalerController(ports);
  followChanges(scope, informers.horizontalPodAutoscalers, (change) => {
    const { object, trace } = change;
    // Its own status is no news.
    if (change.type === "updated" && sameValue(change.previous.spec, object.spec)) return;
    queue.add(keyOf(object), trace);
  });
  startWorkers(ports, { name: NAME, queue, workers: WORKERS, controller });
}

class AutoscalerController {
  readonly #ports: ControllerPorts;
  readonly #events: EventRecorder;
  readonly #histories = new Map<string, History>();
  /** What each autoscaler's target selects: pods of two are nobody's. */
  readonly #selectors = new Map<string, LabelSelector>();
  readonly ownWrites = new OwnWrites();

  constructor(ports: ControllerPorts) {
    this.#ports = ports;
    this.#events = ports.events("horizontal-pod-autoscaler");
  }

  async reconcile(key: string, context: ReconcileContext): Promise<Outcome> {
    const { namespace, name } = splitKey(key);
    const autoscaler = this.#ports.informers.horizontalPodAutoscalers.get(namespace, name);
    if (!autoscaler) {
      this.ownWrites.forget(key);
      this.#histories.delete(key);
      this.#selectors.delete(key);
      return done;
    }
    await this.#look(key, autoscaler, context);
    return requeueAfter(SYNC_PERIOD_MS, "load changes by itself");
  }

  async #look(key: string, autoscaler: HorizontalPodAutoscaler, context: ReconcileContext): Promise<void> {
    const { clock, informers } = this.#ports;
    const cause: Cause = { key, trace: context.trace, signal: context.signal, ownWrites: this.ownWrites };
    const call: CallOptions = { trace: context.trace, signal: context.signal };
    const { namespace = "" } = autoscaler.metadata;
    const target = await this.#target(autoscaler, call);
    if ("error" in target) {
      this.#tell(autoscaler, [{ type: "Warning", reason: "FailedGetScale", message: target.error }], context);
      await this.#write(autoscaler, planWithoutScale(autoscaler, target.error, clock.now()), cause);
      return;
    }
    const { type, scale } = target;
    const selector = parseLabelSelector(scale.status?.selector ?? "");
    this.#selectors.set(key, selector);
    const pods = informers.pods
      .byIndex(BY_NAMESPACE, namespace)
      .filter((pod) => scale.status?.selector && matchesLabels(selector, pod.metadata.labels));
    const readings = wantsMetrics(autoscaler, scale) ? await this.#read(autoscaler, scale, call) : [];
    const claimants = [...this.#selectors].flatMap(([other, its]) => {
      const isNear = splitKey(other).namespace === namespace;
      return isNear && pods.some((pod) => matchesLabels(its, pod.metadata.labels)) ? [other] : [];
    });
    const history = this.#histories.get(key) ?? NO_HISTORY;
    const planned = plan({ autoscaler, scale, pods, readings, claimants, history }, clock.now());
    this.#histories.set(key, planned.history);
    this.#tell(autoscaler, planned.events, context);
    if (!planned.rescale) return this.#write(autoscaler, planned.status, cause);
    const failure = await this.#rescale(type, scale, planned.rescale.replicas, call);
    const after = afterRescale(autoscaler, scale, planned, failure, clock.now());
    this.#histories.set(key, after.history);
    this.#tell(autoscaler, after.events, context);
    await this.#write(autoscaler, after.status, cause);
  }

  async #target(
    { metadata, spec }: HorizontalPodAutoscaler,
    call: CallOptions,
  ): Promise<{ readonly type: ResourceType; readonly scale: Scale } | { readonly error: string }> {
    const { client } = this.#ports;
    const { apiVersion = "", kind, name } = spec.scaleTargetRef;
    try {
      const type = await resourceOf(client, { apiVersion: apiVersion || "v1", kind }, call);
      return { type, scale: await readScale(client, type, metadata.namespace ?? "", name, call) };
    } catch (error) {
      return { error: told(error, call) };
    }
  }

  async #rescale(type: ResourceType, scale: Scale, replicas: number, call: CallOptions): Promise<string | undefined> {
    try {
      await writeScale(this.#ports.client, type, scale, replicas, { ...call, fieldManager: FIELD_MANAGER });
      return undefined;
    } catch (error) {
      return told(error, call);
    }
  }

  #read({ metadata, spec }: HorizontalPodAutoscaler, scale: Scale, call: CallOptions): Promise<readonly Reading[]> {
    const reader = this.#ports.config.metrics ?? apiMetrics(this.#ports.client, call);
    const asked = { namespace: metadata.namespace ?? "", selector: scale.status?.selector ?? "" };
    return Promise.all((spec.metrics ?? []).map((metric) => this.#readOne(metric, reader, asked, call)));
  }

  async #readOne(
    metric: MetricSpec,
    reader: MetricsReader,
    asked: { readonly namespace: string; readonly selector: string },
    call: CallOptions,
  ): Promise<Reading> {
    const { resource, containerResource, pods, object, external } = metric;
    const { namespace } = asked;
    const named = (one: { metric: { name: string; selector?: object } }) => ({
      metric: one.metric.name,
      metricSelector: one.metric.selector ? labelSelectorToString(labelSelectorOf(one.metric.selector)) : "",
    });
    try {
      if (resource) return { pods: await reader.resource({ ...asked, resource: resource.name, container: "" }) };
      if (containerResource) {
        const { name, container } = containerResource;
        return { pods: await reader.resource({ ...asked, resource: name, container }) };
      }
      if (pods) return { pods: await reader.pods({ ...asked, ...named(pods) }) };
      if (object) {
        const { apiVersion = "v1", kind, name } = object.describedObject;
        const type = await resourceOf(this.#ports.client, { apiVersion, kind }, call);
        const described = { resource: type.group === "" ? type.resource : `${type.resource}.${type.group}`, name };
        return { value: await reader.object({ namespace, ...named(object), object: described }) };
      }
      if (external) return { value: await reader.external({ namespace, ...named(external) }) };
      return { error: "the metric names no source" };
    } catch (error) {
      return { error: `${askedFor(metric, namespace)}: ${told(error, call)}${onObject(metric, namespace)}` };
    }
  }

  #tell(object: HorizontalPodAutoscaler, events: AutoscalerPlan["events"], { trace }: ReconcileContext): void {
    for (const { type, reason, message } of events)
      this.#events.record({ ...KIND, object }, type, reason, message, trace);
  }

  async #write(autoscaler: HorizontalPodAutoscaler, status: AutoscalerPlan["status"], cause: Cause): Promise<void> {
    if (sameValue(status, autoscaler.status)) return;
    const { informers, executor } = this.#ports;
    await executor.updateStatus(informers.horizontalPodAutoscalers, { ...autoscaler, status }, cause);
  }
}

/** How upstream begins to say that there is no answer. */
function askedFor({ resource, containerResource, pods, object, external }: MetricSpec, namespace: string): string {
  const source = resource ?? containerResource;
  if (source) return `unable to get metrics for resource ${source.name}`;
  if (external)
    return `unable to get external metric ${namespace}/${external.metric.name}/${selectorText(external.metric)}`;
  return `unable to get metric ${(pods ?? object)?.metric.name ?? ""}`;
}

function onObject({ object }: MetricSpec, namespace: string): string {
  return object ? ` on ${object.describedObject.kind} ${namespace}/${object.describedObject.name}` : "";
}

function selectorText({ selector }: { readonly selector?: object }): string {
  return selector ? formatLabelSelector(selector) : "nil";
}

/** What becomes of a question. The end of the leadership is no answer. */
function told(error: unknown, { signal }: CallOptions): string {
  if (signal?.aborted || isStatus(error, "LeadershipLost")) throw error;
  return error instanceof Error ? error.message : String(error);
}
