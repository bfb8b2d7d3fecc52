/** The metrics of requests, by upstream's names and labels. */
import type { Metrics } from "@pilothouse/telemetry";
import { isLongRunning, REQUEST_LABELS, type RequestLabels } from "../core/request-labels.ts";
import { VERSION } from "./system-paths.ts";

const LATENCY_SECONDS = [
  0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45, 60,
];
const SLI_SECONDS = LATENCY_SECONDS.filter((seconds) => seconds >= 0.05);

export interface RequestMetrics {
  /** @param seconds until the answer began */
  answered(labels: RequestLabels, code: number, seconds: number): void;
  /** One that is deprecated was asked for. */
  deprecated(labels: RequestLabels): void;
  /** How many are being answered, watches aside. */
  inFlight(kind: "mutating" | "readOnly", count: number): void;
}

export function requestMetrics(metrics: Metrics): RequestMetrics {
  const total = metrics.counter(
    "apiserver_request_total",
    "Counter of apiserver requests broken out for each verb, dry run value, group, version, resource, scope, component, and HTTP response code.",
    [...REQUEST_LABELS, "code"],
  );
  const durations = metrics.histogram(
    "apiserver_request_duration_seconds",
    "Response latency distribution in seconds for each verb, dry run value, group, version, resource, subresource, scope and component: until the answer begins.",
    LATENCY_SECONDS,
    REQUEST_LABELS,
  );
  const levels = metrics.histogram(
    "apiserver_request_sli_duration_seconds",
    "Response latency distribution (not counting webhook duration and priority & fairness queue wait times) in seconds for each verb, group, version, resource, subresource, scope and component.",
    SLI_SECONDS,
    REQUEST_LABELS,
  );
  const inFlight = metrics.gauge(
    "apiserver_current_inflight_requests",
    "Maximal number of currently used inflight request limit of this apiserver per request kind in last second.",
    ["request_kind"],
  );
  const deprecated = metrics.gauge(
    "apiserver_requested_deprecated_apis",
    "Gauge of deprecated APIs that have been requested, broken out by API group, version, resource, subresource, and removed_release.",
    ["group", "version", "resource", "subresource", "removed_release"],
  );
  tellBuild(metrics);
  return {
    answered(labels, code, seconds) {
      total.add({ ...labels, code: String(code) });
      if (isLongRunning(labels)) return;
      durations.observe(seconds, labels);
      levels.observe(seconds, labels);
    },
    deprecated: ({ group, version, resource, subresource }) =>
      deprecated.set(1, { group, version, resource, subresource, removed_release: "" }),
    inFlight: (kind, count) => inFlight.set(count, { request_kind: kind }),
  };
}

function tellBuild(metrics: Metrics): void {
  const labels = {
    major: VERSION.major,
    minor: VERSION.minor,
    git_version: VERSION.gitVersion,
    git_commit: VERSION.gitCommit,
    git_tree_state: VERSION.gitTreeState,
    build_date: VERSION.buildDate,
    go_version: VERSION.goVersion,
    compiler: VERSION.compiler,
    platform: VERSION.platform,
  };
  const help =
    "A metric with a constant '1' value labeled by major, minor, git version, git commit, git tree state, build date, Go version, and compiler from which Kubernetes was built, and platform on which it is running.";
  metrics.gauge("kubernetes_build_info", help, Object.keys(labels)).set(1, labels);
}
