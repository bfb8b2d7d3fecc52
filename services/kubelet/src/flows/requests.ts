/** What the API server asks of a kubelet about its pods: logs, commands in containers, the pods themselves. */
import type { Pod } from "@pilothouse/api/types/core-v1";
import type { Clock } from "@pilothouse/clock";
import type { Runtime, StreamOptions, StreamRequest } from "@pilothouse/runtime";
import type { Metrics } from "@pilothouse/telemetry";
import { cadvisorMetrics } from "../core/cadvisor-metrics.ts";
import { ACCEPTED_PROTOCOLS, carriageOf, STREAM_VERBS, type Offer, type StreamVerb } from "../core/carriage.ts";
import { LogFormatter } from "../core/cri-log.ts";
import { logInstance, logRequestProblem, parseLogRequest } from "../core/log-request.ts";
import { containerNamed, instancesOf, podTitle, type PodRuntime } from "../core/pod-runtime.ts";
import { resourceMetrics } from "../core/resource-metrics.ts";
import { statsSummary, type StatsReading } from "../core/summary.ts";
import type { PodWorkers } from "./pod-workers.ts";
import type { LogFiles } from "./ports.ts";
import type { ProbeResults } from "./probe-results.ts";
import { pumpCommand, type Channels } from "./remote-command.ts";

export interface RequestPorts {
  readonly clock: Clock;
  readonly runtime: Runtime;
  readonly workers: PodWorkers;
  readonly logs: LogFiles;
  readonly metrics: Metrics;
  /** Undefined where nobody reads the machine. */
  readonly readStats: () => Promise<StatsReading> | undefined;
  readonly probeResults: ProbeResults;
  readonly cgroupRoot: string;
  readonly configuration: Readonly<Record<string, unknown>>;
}

export interface Answer {
  readonly status: number;
  readonly contentType: string;
  readonly body: string | AsyncIterable<Uint8Array>;
}

/** How a session goes on once the client is upgraded, or why not. */
export type StreamAnswer =
  /** Ours to run once the client's channels stand, in this WebSocket protocol. */
  | { readonly how: "speak"; readonly protocol: string; readonly run: (channels: Channels) => Promise<void> }
  /** To be joined to this address of the runtime's streaming server. */
  | { readonly how: "splice"; readonly url: string }
  | { readonly how: "tunnel"; readonly protocol: string; readonly url: string }
  | { readonly how: "refuse"; readonly answer: Answer; readonly acceptedProtocols?: readonly string[] };

interface Route {
  readonly verb: string;
  readonly namespace: string;
  readonly pod: string;
  readonly container: string;
  readonly query: URLSearchParams;
}

export class KubeletRequests {
  readonly #ports: RequestPorts;

  constructor(ports: RequestPorts) {
    this.#ports = ports;
  }

  /** `target` is a path with its query; `signal` aborts when the client has gone. */
  async answer(target: string, signal: AbortSignal): Promise<Answer> {
    const { workers } = this.#ports;
    const route = routeOf(target);
    switch (route.verb) {
      case "containerLogs":
        return this.#logs(route, signal);
      case "pods":
        return json({ kind: "PodList", apiVersion: "v1", metadata: {}, items: workers.pods() });
      case "runningpods":
        return json({ kind: "PodList", apiVersion: "v1", metadata: {}, items: workers.pods().filter(runsNow) });
      case "stats": {
        const reading = await this.#ports.readStats();
        return route.namespace === "summary" && reading ? json(statsSummary(reading)) : text(404, "404 page not found");
      }
      case "metrics":
        return this.#metrics(route.namespace);
      case "configz":
        return json({ kubeletconfig: this.#ports.configuration });
      case "healthz":
        return text(200, "ok");
      case "exec":
      case "attach":
      case "portForward":
        return text(400, "Upgrade request required");
      default:
        return text(404, "404 page not found");
    }
  }

  /** The process's own, and what it knows of probes, pods and containers, each at its place. */
  async #metrics(what: string): Promise<Answer> {
    const { metrics, probeResults, cgroupRoot } = this.#ports;
    const figures = (body: string): Answer => ({ ...text(200, body), contentType: PROMETHEUS });
    if (what === "") return text(200, await metrics.expose());
    if (what === "probes") return figures(probeResults.expose());
    const reading = what === "resource" || what === "cadvisor" ? await this.#ports.readStats() : undefined;
    if (!reading) return text(404, "404 page not found");
    return figures(what === "resource" ? resourceMetrics(reading) : cadvisorMetrics(reading, cgroupRoot));
  }

  /** Judges a request to upgrade; `offer` is what its headers say. Rejects when the runtime does. */
  async stream(target: string, offer: Offer): Promise<StreamAnswer> {
    const { workers, runtime } = this.#ports;
    const { verb: asked, namespace, pod, container, query } = routeOf(target);
    const verb = STREAM_VERBS.find((known) => known === asked);
    if (!verb) return refused(404, "404 page not found");
    const found = workers.find(namespace, pod);
    if (!found) return refused(404, "pod does not exist");
    const carriage = carriageOf(verb, offer);
    if (!carriage) {
      const answer = text(403, "no protocol in common");
      return { how: "refuse", answer, acceptedProtocols: ACCEPTED_PROTOCOLS[verb] };
    }
    const wanted = streamRequest(verb, found, container, query);
    if ("status" in wanted) return { how: "refuse", answer: wanted };
    if (carriage.how !== "speak") return { ...carriage, url: await runtime.streamUrl(wanted) };
    if (wanted.kind !== "exec") return refused(400, "Upgrade request required");
    const { containerId, options } = wanted;
    return { ...carriage, run: (channels) => pumpCommand(channels, () => runtime.exec(containerId, options)) };
  }

  #logs({ namespace, pod, container, query }: Route, signal: AbortSignal): Answer {
    const { clock, runtime, workers, logs } = this.#ports;
    const found = workers.find(namespace, pod);
    if (!found) return text(404, `pod "${pod}" not found`);
    const problem = logRequestProblem(query);
    if (problem !== undefined) return text(422, problem);
    const asked = parseLogRequest(query, clock.now());
    const instance = logInstance(found.pod, found.runtime, container, asked.previous);
    if ("problem" in instance) return text(400, instance.problem);
    const growing = async (): Promise<boolean> => (await runtime.containerStatus(instance.id))?.state === "running";
    const reading = logs.read({
      path: instance.logPath,
      tailLines: asked.tailLines,
      growing: asked.follow && instance.state === "running" ? growing : undefined,
      signal,
    });
    return { ...text(200, ""), body: formatted(reading, new LogFormatter(asked)) };
  }
}

async function* formatted(chunks: AsyncIterable<Uint8Array>, formatter: LogFormatter): AsyncIterable<Uint8Array> {
  for await (const chunk of chunks) {
    const bytes = formatter.push(chunk);
    if (bytes.length > 0) yield bytes;
    if (formatter.full) return;
  }
}

function routeOf(target: string): Route {
  const url = new URL(target, "https://kubelet");
  const [verb = "", namespace = "", pod = "", container = ""] = url.pathname
    .slice(1)
    .split("/")
    .map(decodeURIComponent);
  return { verb, namespace, pod, container, query: url.searchParams };
}

function streamRequest(
  verb: StreamVerb,
  { pod, runtime }: { readonly pod: Pod; readonly runtime: PodRuntime },
  container: string,
  query: URLSearchParams,
): StreamRequest | Answer {
  if (verb === "portForward") {
    const sandbox = runtime.sandboxes.find(({ state }) => state === "ready");
    if (!sandbox) return text(500, `pod not found (${JSON.stringify(podTitle(pod))})`);
    return { kind: verb, sandboxId: sandbox.id, ports: query.getAll("port").map(Number) };
  }
  const running = instancesOf(runtime, container).find((it) => it.state === "running");
  if (!running) return text(500, `container not found (${JSON.stringify(container)})`);
  if (verb === "exec") {
    const options = { ...streamOptions(query, isSet(query, "tty")), command: query.getAll("command") };
    return { kind: verb, containerId: running.id, options };
  }
  // Whether a process has a terminal is settled when it starts: the client's wish counts for a new one only.
  const spec = containerNamed(pod, container);
  return { kind: verb, containerId: running.id, options: streamOptions(query, spec?.tty === true) };
}

/** Kubelets know the streams by other names than clients; both are taken. */
function streamOptions(query: URLSearchParams, tty: boolean): StreamOptions {
  return {
    tty,
    stdin: isSet(query, "input", "stdin"),
    stdout: isSet(query, "output", "stdout"),
    stderr: isSet(query, "error", "stderr") && !tty,
  };
}

function isSet(query: URLSearchParams, ...names: readonly string[]): boolean {
  return names.some((name) => ["1", "true"].includes(query.get(name) ?? ""));
}

function refused(status: number, body: string): StreamAnswer {
  return { how: "refuse", answer: text(status, body) };
}

const PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8";

function runsNow({ status }: Pod): boolean {
  return (status?.containerStatuses ?? []).some(({ state }) => state?.running);
}

function json(value: object): Answer {
  return { status: 200, contentType: "application/json", body: JSON.stringify(value) };
}

function text(status: number, body: string): Answer {
  return { status, contentType: "text/plain", body };
}
