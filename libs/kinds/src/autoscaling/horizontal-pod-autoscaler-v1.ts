/**
 * autoscaling/v1: the same autoscalers with one metric, the share of CPU. What this version has no field for travels in
 * annotations, as upstream has it, so that who reads and writes in v1 loses nothing.
 */
import type * as v1 from "@pilothouse/api/types/autoscaling-v1";
import type * as v2 from "@pilothouse/api/types/autoscaling-v2";
import { decodeValue, DecodeError, schemaOf } from "@pilothouse/api";
import type { ApiObject, KindDefinition } from "../kind.ts";
import { horizontalPodAutoscaler } from "./horizontal-pod-autoscaler.ts";
import { metricFromV1, metricToV1, statusFromV1, statusToV1 } from "./metrics-v1.ts";

const PREFIX = "autoscaling.alpha.kubernetes.io";
const METRICS = `${PREFIX}/metrics`;
const BEHAVIOR = `${PREFIX}/behavior`;
const CURRENT_METRICS = `${PREFIX}/current-metrics`;
const CONDITIONS = `${PREFIX}/conditions`;
const TRAVELLING = [METRICS, BEHAVIOR, CURRENT_METRICS, CONDITIONS];

const { defaults: _defaults, validate: _validate, ...stored } = horizontalPodAutoscaler;

/** Its columns are v2's, made of the stored shape. */
export const horizontalPodAutoscalerV1: KindDefinition = {
  ...(stored as unknown as KindDefinition),
  version: "v1",
  view: {
    of: horizontalPodAutoscaler as unknown as KindDefinition,
    toStored: (object) => toV2(object) as unknown as ApiObject,
    fromStored: (object) => toV1(object) as unknown as ApiObject,
  },
};

function toV2({ spec, status, metadata, ...rest }: Partial<v1.HorizontalPodAutoscaler>): object {
  const annotations = metadata?.annotations ?? {};
  return {
    ...rest,
    apiVersion: "autoscaling/v2",
    metadata: withAnnotations(metadata, {}),
    ...(spec ? { spec: specToV2(spec, annotations) } : {}),
    ...(status ? { status: statusToV2(status, annotations) } : {}),
  };
}

function specToV2(spec: v1.HorizontalPodAutoscalerSpec, annotations: Record<string, string>): object {
  const { targetCPUUtilizationPercentage: percent, ...same } = spec;
  const { metrics: others = [] } = fitting("spec", { metrics: listIn(annotations, METRICS).map(metricFromV1) });
  const metrics = percent === undefined ? others : [...others, cpuMetric(percent)];
  const behavior = read(annotations, BEHAVIOR);
  return {
    ...same,
    ...(metrics.length > 0 ? { metrics } : {}),
    ...(isRecord(behavior) ? fitting("spec", { behavior }) : {}),
  };
}

function statusToV2(status: v1.HorizontalPodAutoscalerStatus, annotations: Record<string, string>): object {
  const { currentCPUUtilizationPercentage: percent, ...same } = status;
  const { currentMetrics: told = [] } = fitting("status", {
    currentMetrics: listIn(annotations, CURRENT_METRICS).map(statusFromV1),
  });
  const own = percent === undefined ? [] : [cpuStatus(percent)];
  const { conditions = [] } = fitting("status", { conditions: listIn(annotations, CONDITIONS) });
  return {
    ...same,
    // The annotation says all that the field says, and more.
    currentMetrics: told.length > 0 ? told : own,
    ...(conditions.length > 0 ? { conditions } : {}),
  };
}

function toV1({ spec, status, metadata, ...rest }: Partial<v2.HorizontalPodAutoscaler>): object {
  const others = (spec?.metrics ?? []).filter((metric) => !isCpuShare(metric)).map(metricToV1);
  const current = (status?.currentMetrics ?? []).map(statusToV1);
  const conditions = status?.conditions ?? [];
  return {
    ...rest,
    apiVersion: "autoscaling/v1",
    metadata: withAnnotations(metadata, {
      ...(conditions.length > 0 ? { [CONDITIONS]: conditions } : {}),
      ...(others.length > 0 ? { [METRICS]: others } : {}),
      ...(current.length > 0 ? { [CURRENT_METRICS]: current } : {}),
      ...(spec?.behavior ? { [BEHAVIOR]: spec.behavior } : {}),
    }),
    ...(spec ? { spec: specToV1(spec) } : {}),
    ...(status ? { status: statusOfV1(status) } : {}),
  };
}

function specToV1(spec: v2.HorizontalPodAutoscalerSpec): object {
  const { metrics = [], behavior: _, ...same } = spec;
  const percent = metrics.find(isCpuShare)?.resource?.target.averageUtilization;
  return { ...same, ...(percent === undefined ? {} : { targetCPUUtilizationPercentage: percent }) };
}

function statusOfV1(status: v2.HorizontalPodAutoscalerStatus): object {
  const { currentMetrics, conditions: _, ...same } = status;
  // A status that somebody writes may lack what the type promises.
  const cpu = (currentMetrics as readonly v2.MetricStatus[] | undefined)?.find(
    ({ resource }) => resource?.name === "cpu",
  )?.resource?.current.averageUtilization;
  return { ...same, ...(cpu === undefined ? {} : { currentCPUUtilizationPercentage: cpu }) };
}

function isCpuShare({ type, resource }: v2.MetricSpec): boolean {
  return type === "Resource" && resource?.name === "cpu" && resource.target.averageUtilization !== undefined;
}

function cpuMetric(averageUtilization: number): v2.MetricSpec {
  return { type: "Resource", resource: { name: "cpu", target: { type: "Utilization", averageUtilization } } };
}

function cpuStatus(averageUtilization: number): v2.MetricStatus {
  return { type: "Resource", resource: { name: "cpu", current: { averageUtilization } } };
}

/** The annotations without those that travel, and with these. */
function withAnnotations(
  metadata: ApiObject["metadata"] | undefined,
  travelling: Readonly<Record<string, unknown>>,
): ApiObject["metadata"] {
  const { annotations, ...rest } = metadata ?? {};
  const own = Object.entries(annotations ?? {}).filter(([name]) => !TRAVELLING.includes(name));
  const added = Object.entries(travelling).map(([name, value]) => [name, JSON.stringify(value)]);
  const all = Object.fromEntries([...own, ...added]) as Record<string, string>;
  return Object.keys(all).length > 0 ? { ...rest, annotations: all } : rest;
}

/** The part of an autoscaler as v2 has it; nothing of it if it does not fit: anybody may write an annotation. */
function fitting<P extends "spec" | "status">(
  part: P,
  value: object,
): Partial<NonNullable<v2.HorizontalPodAutoscaler[P]>> {
  const schema = schemaOf("autoscaling/v2", "HorizontalPodAutoscaler");
  if (!schema) throw new Error("no structure is known for autoscaling/v2 HorizontalPodAutoscaler");
  try {
    return decodeValue({ [part]: value }, schema).object[part] ?? {};
  } catch (error) {
    if (error instanceof DecodeError) return {};
    throw error;
  }
}

/** What an annotation holds; undefined for nothing, and for what is no JSON: upstream passes over that too. */
function read(annotations: Record<string, string>, name: string): unknown {
  const text = annotations[name];
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

function listIn(annotations: Record<string, string>, name: string): Record<string, never>[] {
  const value = read(annotations, name);
  return Array.isArray(value) ? (value as unknown[]).filter(isRecord) : [];
}

function isRecord(value: unknown): value is Record<string, never> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
