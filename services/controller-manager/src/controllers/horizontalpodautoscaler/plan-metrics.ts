/** What each metric of an autoscaler asks for, and how that is told. Upstream's words; pure. */
import type { MetricSpec, MetricStatus } from "@pilothouse/api/types/autoscaling-v2";
import { Quantity } from "@pilothouse/quantity";
import {
  averageReplicas,
  milli,
  shareReplicas,
  utilizationReplicas,
  valueReplicas,
  type Calculated,
  type Counted,
  type Proposal,
  type Samples,
} from "./plan-replicas.ts";

/** What was read for one metric, in thousandths: of pods, or of one thing (an external metric's series are summed up). */
export type Reading = { readonly pods: Samples } | { readonly value: number } | { readonly error: string };

export interface Replicas {
  /** As the scale's spec says. */
  readonly spec: number;
  /** As its status says. */
  readonly status: number;
}

export type MetricPlan =
  | { readonly replicas: number; readonly name: string; readonly status: MetricStatus }
  | {
      /** Of the condition and the event. */
      readonly reason: string;
      readonly error: string;
      /** As it stands among the errors of all metrics. */
      readonly told: string;
    };

export function planMetric(metric: MetricSpec, reading: Reading, replicas: Replicas, counted: Counted): MetricPlan {
  const { type, resource, containerResource, pods, object, external } = metric;
  if (type === "Resource" && resource)
    return planResource(resource.name, "", resource.target, reading, replicas, counted);
  if (type === "ContainerResource" && containerResource) {
    const { name, container, target } = containerResource;
    return planResource(name, container, target, reading, replicas, counted);
  }
  if (type === "Pods" && pods) return planPods(pods, reading, replicas, counted);
  if (type === "Object" && object) return planObject(object, reading, replicas, counted);
  if (type === "External" && external) return planExternal(external, reading, replicas, counted);
  const error = `unknown metric source type ${JSON.stringify(type)}`;
  return { reason: "InvalidMetricSourceType", error, told: error };
}

function planResource(
  name: string,
  container: string,
  { averageValue, averageUtilization }: NonNullable<MetricSpec["resource"]>["target"],
  reading: Reading,
  { spec }: Replicas,
  counted: Counted,
): MetricPlan {
  const [reason, source] = container
    ? (["FailedGetContainerResourceMetric", "container"] as const)
    : (["FailedGetResourceMetric", "resource"] as const);
  const failed = (why: string): MetricPlan => {
    const error = `failed to get ${name} ${container ? "usage" : "utilization"}: ${why}`;
    return { reason, error, told: `failed to get ${name} ${source} metric value: ${error}` };
  };
  if (!("pods" in reading)) return failed(errorOf(reading));
  const { pods } = reading;
  const status = (proposal: Proposal): MetricStatus => {
    const { utilization } = proposal;
    const current = {
      ...(utilization === undefined ? {} : { averageUtilization: utilization }),
      averageValue: milliText(proposal.usage),
    };
    return container
      ? { type: "ContainerResource", containerResource: { name, container, current } }
      : { type: "Resource", resource: { name, current } };
  };
  if (averageValue !== undefined) {
    const found = averageReplicas(spec, milli(averageValue), name, pods, counted);
    if ("error" in found) return failed(found.error);
    return {
      replicas: found.replicas,
      name: `${name} ${container ? "container resource" : "resource"}`,
      status: status(found),
    };
  }
  if (averageUtilization === undefined) {
    const error = `invalid ${container ? "container " : ""}resource metric source: neither ${container ? "an average" : "a"} utilization target nor ${container ? "an average value" : "a value"} target was set`;
    return { reason, error, told: error };
  }
  const found = utilizationReplicas(spec, averageUtilization, name, container, pods, counted);
  if ("error" in found) return failed(found.error);
  const what = container ? "container resource utilization" : "resource utilization";
  return { replicas: found.replicas, name: `${name} ${what} (percentage of request)`, status: status(found) };
}

function planPods(
  { metric, target }: NonNullable<MetricSpec["pods"]>,
  reading: Reading,
  { spec }: Replicas,
  counted: Counted,
): MetricPlan {
  const failed = (why: string): MetricPlan => ({
    reason: "FailedGetPodsMetric",
    error: why,
    told: `failed to get pods metric value: ${why}`,
  });
  if (!("pods" in reading)) return failed(errorOf(reading));
  const found = averageReplicas(spec, milli(target.averageValue ?? "0"), "", reading.pods, counted);
  if ("error" in found) return failed(found.error);
  return {
    replicas: found.replicas,
    name: `pods metric ${metric.name}`,
    status: { type: "Pods", pods: { metric, current: { averageValue: milliText(found.usage) } } },
  };
}

function planObject(
  { metric, target, describedObject }: NonNullable<MetricSpec["object"]>,
  reading: Reading,
  replicas: Replicas,
  counted: Counted,
): MetricPlan {
  const failed = (error: string): MetricPlan => ({
    reason: "FailedGetObjectMetric",
    error,
    told: `failed to get object metric value: ${error}`,
  });
  const found = ofOneThing(target, reading, replicas, counted);
  if ("error" in found) {
    const isShare = target.type === "AverageValue" && !("value" in reading);
    return failed(isShare ? `failed to get ${metric.name} object metric: ${found.error}` : found.error);
  }
  return {
    replicas: found.replicas,
    name: found.isShare
      ? `external metric ${metric.name}(${selectorText(metric)})`
      : `${describedObject.kind} metric ${metric.name}`,
    status: { type: "Object", object: { describedObject, metric, current: currentOf(found) } },
  };
}

function planExternal(
  { metric, target }: NonNullable<MetricSpec["external"]>,
  reading: Reading,
  replicas: Replicas,
  counted: Counted,
): MetricPlan {
  const found = ofOneThing(target, reading, replicas, counted);
  if ("error" in found) {
    const isShare = target.averageValue !== undefined;
    const error = isShare
      ? `failed to get ${metric.name} external metric: ${found.error}`
      : `failed to get external metric ${metric.name}: ${found.error}`;
    return {
      reason: "FailedGetExternalMetric",
      error,
      told: `failed to get ${metric.name} external metric value: ${error}`,
    };
  }
  return {
    replicas: found.replicas,
    name: `external metric ${metric.name}(${selectorText(metric)})`,
    status: { type: "External", external: { metric, current: currentOf(found) } },
  };
}

type Whole = Proposal & { readonly isShare: boolean };

function ofOneThing(
  { value, averageValue }: { readonly value?: string; readonly averageValue?: string },
  reading: Reading,
  replicas: Replicas,
  counted: Counted,
): Whole | { readonly error: string } {
  if (!("value" in reading)) return { error: errorOf(reading) };
  if (averageValue !== undefined) {
    return { ...shareReplicas(replicas.status, milli(averageValue), reading.value, counted.tolerance), isShare: true };
  }
  if (value === undefined) return { error: "neither a value target nor an average value target was set" };
  const found: Calculated = valueReplicas(replicas.spec, milli(value), reading.value, counted);
  return "error" in found ? found : { ...found, isShare: false };
}

function currentOf({ isShare, usage }: Whole): { readonly averageValue: string } | { readonly value: string } {
  return isShare ? { averageValue: milliText(usage) } : { value: milliText(usage) };
}

function errorOf(reading: Reading): string {
  return "error" in reading ? reading.error : "the answer is of another kind of metric";
}

function milliText(value: number): string {
  return new Quantity(BigInt(value) * 1_000_000n, "DecimalSI").toString();
}

/** As Go prints a selector within a text. */
function selectorText({
  selector,
}: {
  readonly selector?: { readonly matchLabels?: Readonly<Record<string, string>> };
}): string {
  if (!selector) return "nil";
  const labels = Object.entries(selector.matchLabels ?? {}).map(([key, value]) => `${key}: ${value},`);
  return `&LabelSelector{MatchLabels:map[string]string{${labels.join("")}},MatchExpressions:[]LabelSelectorRequirement{},}`;
}
