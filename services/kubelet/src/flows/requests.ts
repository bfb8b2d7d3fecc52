/** What the API server asks of a kubelet about its pods: logs, commands in containers, the pods themselves. */
import type { Clock } from "@pilothouse/clock";
import type { ExecOptions, Runtime } from "@pilothouse/runtime";
import type { Metrics } from "@pilothouse/telemetry";
import { LogFormatter } from "../core/cri-log.ts";
import { logInstance, parseLogRequest } from "../core/log-request.ts";
import { instancesOf } from "../core/pod-runtime.ts";
import type { PodWorkers } from "./pod-workers.ts";
import type { LogFiles } from "./ports.ts";
import { pumpCommand, type Channels } from "./remote-command.ts";

export interface RequestPorts {
  readonly clock: Clock;
  readonly runtime: Runtime;
  readonly workers: PodWorkers;
  readonly logs: LogFiles;
  readonly metrics: Metrics;
}

export interface Answer {
  readonly status: number;
  readonly contentType: string;
  readonly body: string | AsyncIterable<Uint8Array>;
}

/** A command that can be run once the client's channels stand, or why not. */
export type CommandAnswer = { readonly run: (channels: Channels) => Promise<void> } | Answer;

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
    const { workers, metrics } = this.#ports;
    const route = routeOf(target);
    switch (route.verb) {
      case "containerLogs":
        return this.#logs(route, signal);
      case "pods": {
        const list = { kind: "PodList", apiVersion: "v1", metadata: {}, items: workers.pods() };
        return { status: 200, contentType: "application/json", body: JSON.stringify(list) };
      }
      case "metrics":
        return text(200, await metrics.expose());
      case "healthz":
        return text(200, "ok");
      case "exec":
        return text(400, "exec needs an upgrade to WebSocket");
      default:
        return text(404, "404 page not found");
    }
  }

  command(target: string): CommandAnswer {
    const { workers, runtime } = this.#ports;
    const { verb, namespace, pod, container, query } = routeOf(target);
    if (verb !== "exec") return text(404, "404 page not found");
    const found = workers.find(namespace, pod);
    const running = found && instancesOf(found.runtime, container).find((it) => it.state === "running");
    if (!running) return text(404, `container not found ("${container}")`);
    return { run: (channels) => pumpCommand(channels, () => runtime.exec(running.id, execOptions(query))) };
  }

  #logs({ namespace, pod, container, query }: Route, signal: AbortSignal): Answer {
    const { clock, runtime, workers, logs } = this.#ports;
    const found = workers.find(namespace, pod);
    if (!found) return text(404, `pod "${pod}" not found`);
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

/** Kubelets know the streams by other names than clients; both are taken. */
function execOptions(query: URLSearchParams): ExecOptions {
  const flag = (...names: string[]): boolean => names.some((name) => ["1", "true"].includes(query.get(name) ?? ""));
  const tty = flag("tty");
  return {
    command: query.getAll("command"),
    tty,
    stdin: flag("input", "stdin"),
    stdout: flag("output", "stdout"),
    stderr: flag("error", "stderr") && !tty,
  };
}

function text(status: number, body: string): Answer {
  return { status, contentType: "text/plain", body };
}
