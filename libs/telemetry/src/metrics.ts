/** Metrics by prom-client, in a registry of their own, with the figures of the process itself. */
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from "prom-client";
import type { Metrics } from "./index.ts";

/** The same name asked for twice gives the same metric. */
export function promMetrics(service: string): Metrics {
  const registry = new Registry();
  registry.setDefaultLabels({ service });
  collectDefaultMetrics({ register: registry });
  const registers = [registry];
  return {
    counter(name, help, labels = []) {
      const counter =
        (registry.getSingleMetric(name) as Counter | undefined) ??
        new Counter({ name, help, labelNames: [...labels], registers });
      return { add: (values = {}, by = 1) => counter.inc(values, by) };
    },
    gauge(name, help, labels = []) {
      const gauge =
        (registry.getSingleMetric(name) as Gauge | undefined) ??
        new Gauge({ name, help, labelNames: [...labels], registers });
      return { set: (value, values = {}) => gauge.set(values, value) };
    },
    histogram(name, help, bucketsSeconds, labels = []) {
      const histogram =
        (registry.getSingleMetric(name) as Histogram | undefined) ??
        new Histogram({ name, help, labelNames: [...labels], buckets: [...bucketsSeconds], registers });
      return { observe: (seconds, values = {}) => histogram.observe(values, seconds) };
    },
    expose: () => registry.metrics(),
  };
}
