/** Where autoscalers get their numbers: a port, and its adapter over the API's metrics groups, which somebody else has to serve. */
import type { ApiClient, CallOptions } from "@pilothouse/client";
import { query } from "@pilothouse/client/paths";
import { isStatus } from "@pilothouse/errors";
import { milli, type Sample, type Samples } from "./plan-replicas.ts";

/** All throw an Error whose message is upstream's. Amounts are in thousandths. */
export interface MetricsReader {
  /** What the pods' containers use; of one container where that is given. Pods without an answer are left out. */
  resource(what: PodsAsked & { readonly resource: string; readonly container: string }): Promise<Samples>;
  pods(what: PodsAsked & MetricAsked): Promise<Samples>;
  object(what: MetricAsked & { readonly namespace: string; readonly object: ObjectAsked }): Promise<number>;
  /** The sum of all series. */
  external(what: MetricAsked & { readonly namespace: string }): Promise<number>;
}

export interface PodsAsked {
  readonly namespace: string;
  /** Label selector, as text. */
  readonly selector: string;
}

export interface MetricAsked {
  readonly metric: string;
  readonly metricSelector: string;
}

export interface ObjectAsked {
  /** `pods`, `deployments.apps` */
  readonly resource: string;
  readonly name: string;
}

const RESOURCE_METRICS = "metrics.k8s.io";
const CUSTOM_METRICS = "custom.metrics.k8s.io";
const EXTERNAL_METRICS = "external.metrics.k8s.io";
const VERSION = "v1beta1";
/** What a custom metric without a window stands for. */
const DEFAULT_WINDOW_MS = 60_000;

export function apiMetrics(client: ApiClient, options: CallOptions): MetricsReader {
  const read = async <T>(group: string, path: string, resource: string): Promise<T> => {
    try {
      return JSON.parse(new TextDecoder().decode(await client.raw("GET", path, options))) as T;
    } catch (error) {
      const isMissing = isStatus(error, "NotFound");
      // What is served nowhere has a path that nobody knows; upstream's client says what it asked for.
      const told = isMissing
        ? `the server could not find the requested resource (get ${resource}.${group})`
        : textOf(error);
      throw new Error(`unable to fetch metrics from ${NAMES[group] ?? group} metrics API: ${told}`, { cause: error });
    }
  };
  const custom = async (path: string, resource: string, parameters: string): Promise<readonly CustomValue[]> => {
    const version = await customVersion(client, options);
    const { items } = await read<{ items: readonly CustomValue[] }>(
      CUSTOM_METRICS,
      `/apis/${CUSTOM_METRICS}/${version}/${path}${parameters}`,
      resource,
    );
    if (items.length === 0) throw new Error("no metrics returned from custom metrics API");
    return items;
  };
  return {
    async resource({ namespace, selector, resource, container }) {
      const path = `/apis/${RESOURCE_METRICS}/${VERSION}/namespaces/${namespace}/pods${query({ labelSelector: selector })}`;
      const { items } = await read<{ items: readonly PodUsage[] }>(RESOURCE_METRICS, path, "pods");
      if (items.length === 0) throw new Error("no metrics returned from resource metrics API");
      return new Map(items.flatMap((one) => usageOf(one, resource, container)));
    },
    async pods({ namespace, selector, metric, metricSelector }) {
      const parameters = query({ labelSelector: selector, metricLabelSelector: metricSelector });
      const items = await custom(`namespaces/${namespace}/pods/*/${metric}`, "pods", parameters);
      return new Map(items.map((item) => [item.describedObject?.name ?? "", sampleOf(item)] as const));
    },
    async object({ namespace, object: { resource, name }, metric, metricSelector }) {
      const parameters = query({ metricLabelSelector: metricSelector });
      const path =
        resource === "namespaces"
          ? `namespaces/${namespace}/metrics/${metric}`
          : `namespaces/${namespace}/${resource}/${name}/${metric}`;
      const [first] = await custom(path, resource, parameters);
      return milli(first?.value ?? "0");
    },
    async external({ namespace, metric, metricSelector }) {
      const path = `/apis/${EXTERNAL_METRICS}/${VERSION}/namespaces/${namespace}/${metric}${query({ labelSelector: metricSelector })}`;
      const { items } = await read<{ items: readonly { readonly value: string }[] }>(EXTERNAL_METRICS, path, metric);
      if (items.length === 0) throw new Error("no metrics returned from external metrics API");
      return items.reduce((sum, { value }) => sum + milli(value), 0);
    },
  };
}

const NAMES: Readonly<Record<string, string>> = {
  [RESOURCE_METRICS]: "resource",
  [CUSTOM_METRICS]: "custom",
  [EXTERNAL_METRICS]: "external",
};

interface PodUsage {
  readonly metadata: { readonly name: string };
  readonly timestamp: string;
  readonly window: string;
  readonly containers: readonly { readonly name: string; readonly usage: Readonly<Record<string, string>> }[];
}

interface CustomValue {
  readonly describedObject?: { readonly name?: string };
  readonly timestamp?: string;
  readonly windowSeconds?: number;
  readonly value: string;
}

/** A pod of which one container has no number has none: its sum would be too small. */
function usageOf(
  { metadata, timestamp, window, containers }: PodUsage,
  resource: string,
  container: string,
): readonly (readonly [string, Sample])[] {
  const asked = container === "" ? containers : containers.filter(({ name }) => name === container);
  const amounts = asked.map(({ usage }) => usage[resource]);
  if (asked.length === 0 || amounts.includes(undefined)) return [];
  const value = amounts.reduce((sum, amount) => sum + milli(amount ?? "0"), 0);
  return [[metadata.name, { value, atMs: Date.parse(timestamp), windowMs: durationMs(window) }]];
}

function sampleOf({ value, timestamp, windowSeconds }: CustomValue): Sample {
  const windowMs = windowSeconds === undefined ? DEFAULT_WINDOW_MS : windowSeconds * 1_000;
  return { value: milli(value), atMs: Date.parse(timestamp ?? "") || 0, windowMs };
}

/** The newest that is served; where none is, the question itself will be refused. */
async function customVersion(client: ApiClient, options: CallOptions): Promise<string> {
  try {
    const bytes = await client.raw("GET", `/apis/${CUSTOM_METRICS}`, options);
    const { preferredVersion } = JSON.parse(new TextDecoder().decode(bytes)) as {
      preferredVersion?: { version: string };
    };
    return preferredVersion?.version ?? VERSION;
  } catch (error) {
    if (options.signal?.aborted) throw error;
    return VERSION;
  }
}

/** `30s`, `1m0s`, as Go writes durations. */
function durationMs(text: string): number {
  let ms = 0;
  for (const [, number = "0", unit = ""] of text.matchAll(/([\d.]+)(ms|h|m|s)/g))
    ms += Number(number) * (UNITS_MS[unit] ?? 0);
  return ms;
}

const UNITS_MS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
