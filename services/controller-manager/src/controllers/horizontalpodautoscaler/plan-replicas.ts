/**
 * How many replicas one metric asks for: upstream's replica calculator. Pure; all amounts are in thousandths.
 *
 * Pods that are not ready yet, or of which no sample came, are guessed against the direction: as idle when there is too much load, as
 * at their target when there is too little. So a guess never turns the direction around.
 */
import type { Pod } from "@pilothouse/api/types/core-v1";
import { parseQuantity } from "@pilothouse/quantity";
import { isPodReady, podCondition } from "../../core/pods.ts";

/** A pod's CPU while it starts says little: for so long only samples from after it became ready count. */
export const CPU_INITIALIZATION_MS = 5 * 60_000;
/** A pod that was not ready so soon after its start has never been ready. */
export const INITIAL_READINESS_MS = 30_000;

export interface Sample {
  readonly value: number;
  readonly atMs: number;
  /** The time that it is an average of. */
  readonly windowMs: number;
}

/** By the pod's name. */
export type Samples = ReadonlyMap<string, Sample>;

/** Ratios of usage to target from `1 - down` to `1 + up` change nothing. */
export interface Tolerance {
  readonly up: number;
  readonly down: number;
}

/** What is known beside the metric. */
export interface Counted {
  /** All that the scale's selector means. */
  readonly pods: readonly Pod[];
  readonly tolerance: Tolerance;
  readonly nowMs: number;
}

export interface Proposal {
  readonly replicas: number;
  /** Of one pod, or of the whole, as the metric's target says. */
  readonly usage: number;
  /** Percent of the requests. */
  readonly utilization?: number;
}

export type Calculated = Proposal | { readonly error: string };

const NO_PODS = { error: "no pods returned by selector while calculating replica count" };
const NO_METRICS = { error: "did not receive metrics for any ready pods" };

/** Against a share of what the pods request. @param container one of each pod's; "" for the whole pod */
export function utilizationReplicas(
  current: number,
  targetPercent: number,
  resource: string,
  container: string,
  samples: Samples,
  counted: Counted,
): Calculated {
  const { pods } = counted;
  if (pods.length === 0) return NO_PODS;
  const requests = new Map<string, number>();
  for (const pod of pods) {
    const request = requestOf(pod, resource, container);
    if (typeof request !== "number") return request;
    requests.set(pod.metadata.name ?? "", request);
  }
  const usageOf = (values: ReadonlyMap<string, number>): Usage | { readonly error: string } => {
    const known = [...values].filter(([name]) => requests.has(name));
    const requested = known.reduce((sum, [name]) => sum + (requests.get(name) ?? 0), 0);
    if (requested === 0) return { error: "no metrics returned matched known pods" };
    const used = known.reduce((sum, [, value]) => sum + value, 0);
    const utilization = Math.trunc((used * 100) / requested);
    return { ratio: utilization / targetPercent, usage: Math.trunc(used / known.length), utilization };
  };
  // A pod without a sample uses all that it requested, or nothing.
  return perPod(current, resource, samples, counted, usageOf, (name) => requests.get(name) ?? 0);
}

/** Against an amount for each pod. @param resource "" for a metric that is no resource */
export function averageReplicas(
  current: number,
  target: number,
  resource: string,
  samples: Samples,
  counted: Counted,
): Calculated {
  if (counted.pods.length === 0) return NO_PODS;
  const usageOf = (values: ReadonlyMap<string, number>): Usage => {
    const usage = Math.trunc([...values.values()].reduce((sum, value) => sum + value, 0) / values.size);
    return { ratio: usage / target, usage };
  };
  return perPod(current, resource, samples, counted, usageOf, () => target);
}

/** Against one value of something: the ready pods share it. */
export function valueReplicas(current: number, target: number, value: number, counted: Counted): Calculated {
  const ratio = value / target;
  if (current === 0) return { replicas: Math.ceil(ratio), usage: value };
  if (isWithin(ratio, counted.tolerance)) return { replicas: current, usage: value };
  const { pods } = counted;
  if (pods.length === 0) return { error: `unable to calculate ready pods: ${NO_PODS.error}` };
  const ready = pods.filter((pod) => pod.status?.phase === "Running" && isPodReady(pod)).length;
  return { replicas: Math.ceil(ratio * ready), usage: value };
}

/** Against what is each pod's share of one value. */
export function shareReplicas(statusReplicas: number, target: number, value: number, tolerance: Tolerance): Proposal {
  const ratio = value / (target * statusReplicas);
  const replicas = isWithin(ratio, tolerance) ? statusReplicas : Math.ceil(value / target);
  return { replicas, usage: statusReplicas === 0 ? value : Math.ceil(value / statusReplicas) };
}

interface Usage {
  readonly ratio: number;
  readonly usage: number;
  readonly utilization?: number;
}

function perPod(
  current: number,
  resource: string,
  samples: Samples,
  counted: Counted,
  usageOf: (values: ReadonlyMap<string, number>) => Usage | { readonly error: string },
  atTarget: (podName: string) => number,
): Calculated {
  const { ready, unready, ignored, missing } = groupsOf(counted, samples, resource);
  const values = new Map([...samples].map(([name, { value }]) => [name, value] as const));
  for (const name of [...unready, ...ignored]) values.delete(name);
  if (values.size === 0) return NO_METRICS;
  const first = usageOf(values);
  if ("error" in first) return first;
  const { ratio, ...told } = first;
  const keep = { replicas: current, ...told };
  const fillsUnready = unready.length > 0 && ratio > 1;
  if (!fillsUnready && missing.length === 0) {
    return isWithin(ratio, counted.tolerance) ? keep : { replicas: Math.ceil(ratio * ready), ...told };
  }
  if (ratio < 1) for (const name of missing) values.set(name, atTarget(name));
  else if (ratio > 1) for (const name of missing) values.set(name, 0);
  if (fillsUnready) for (const name of unready) values.set(name, 0);
  const second = usageOf(values);
  if ("error" in second) return second;
  const isTurned = (ratio < 1 && second.ratio > 1) || (ratio > 1 && second.ratio < 1);
  if (isTurned || isWithin(second.ratio, counted.tolerance)) return keep;
  const replicas = Math.ceil(second.ratio * values.size);
  const isAgainst = (second.ratio < 1 && replicas > current) || (second.ratio > 1 && replicas < current);
  return isAgainst ? keep : { replicas, ...told };
}

function isWithin(ratio: number, { up, down }: Tolerance): boolean {
  return ratio >= 1 - down && ratio <= 1 + up;
}

interface Groups {
  readonly ready: number;
  readonly unready: readonly string[];
  /** On their way out, or failed. */
  readonly ignored: readonly string[];
  readonly missing: readonly string[];
}

function groupsOf({ pods, nowMs }: Counted, samples: Samples, resource: string): Groups {
  const names = { unready: [] as string[], ignored: [] as string[], missing: [] as string[] };
  let ready = 0;
  for (const pod of pods) {
    const { name = "", deletionTimestamp } = pod.metadata;
    const sample = samples.get(name);
    if (deletionTimestamp !== undefined || pod.status?.phase === "Failed") names.ignored.push(name);
    else if (pod.status?.phase === "Pending") names.unready.push(name);
    else if (!sample) names.missing.push(name);
    else if (resource === "cpu" && isStartingUp(pod, sample, nowMs)) names.unready.push(name);
    else ready++;
  }
  return { ready, ...names };
}

function isStartingUp(pod: Pod, sample: Sample, nowMs: number): boolean {
  const condition = podCondition(pod, "Ready");
  const startedMs = Date.parse(pod.status?.startTime ?? "");
  if (!condition || Number.isNaN(startedMs)) return true;
  const changedMs = Date.parse(condition.lastTransitionTime ?? "") || 0;
  const isUnready = condition.status === "False";
  if (startedMs + CPU_INITIALIZATION_MS > nowMs) return isUnready || sample.atMs < changedMs + sample.windowMs;
  return isUnready && startedMs + INITIAL_READINESS_MS > changedMs;
}

/** Every container has to say what it requests, unless the pod does for all of them. */
function requestOf({ metadata, spec }: Pod, resource: string, container: string): number | { readonly error: string } {
  const whole = (spec as { resources?: { requests?: Record<string, string> } }).resources?.requests?.[resource];
  if (container === "" && whole !== undefined) return milli(whole);
  const sidecars = (spec.initContainers ?? []).filter(({ restartPolicy }) => restartPolicy === "Always");
  let sum = 0;
  for (const { name, resources } of [...spec.containers, ...sidecars]) {
    if (container !== "" && container !== name) continue;
    const request = resources?.requests?.[resource];
    if (request === undefined) {
      return { error: `missing request for ${resource} in container ${name} of Pod ${metadata.name ?? ""}` };
    }
    sum += milli(request);
  }
  return sum;
}

export function milli(quantity: string): number {
  return Number(parseQuantity(quantity).milliValue());
}
