/** A request for a container's log: its query, and which of the container's instances it means. Pure. */
import type { Pod } from "@pilothouse/api/types/core-v1";
import { instancesOf, type PodRuntime, type RuntimeContainer } from "./pod-runtime.ts";

export interface LogRequest {
  readonly follow: boolean;
  readonly previous: boolean;
  readonly timestamps: boolean;
  readonly sinceMs: number;
  readonly tailLines: number | undefined;
  readonly limitBytes: number | undefined;
  readonly stream: "stdout" | "stderr" | undefined;
}

const STREAMS = { All: undefined, Stdout: "stdout", Stderr: "stderr" } as const;

/** Why the request cannot be answered, in upstream's words; undefined when it can. */
export function logRequestProblem(query: URLSearchParams): string | undefined {
  const stream = query.get("stream") ?? "All";
  if (!Object.keys(STREAMS).includes(stream))
    return `stream: Unsupported value: ${JSON.stringify(stream)}: supported values: "All", "Stderr", "Stdout"`;
  if (stream !== "All" && query.get("tailLines") !== null)
    return ": Forbidden: `tailLines` and specific `stream` are mutually exclusive for now";
  return undefined;
}

export function parseLogRequest(query: URLSearchParams, nowMs: number): LogRequest {
  const flag = (name: string): boolean => ["true", "1"].includes(query.get(name) ?? "");
  const count = (name: string): number | undefined => {
    const text = query.get(name);
    return text !== null && /^\d+$/.test(text) ? Math.min(Number(text), Number.MAX_SAFE_INTEGER) : undefined;
  };
  const seconds = count("sinceSeconds");
  const since = Date.parse(query.get("sinceTime") ?? "");
  return {
    follow: flag("follow"),
    previous: flag("previous"),
    timestamps: flag("timestamps"),
    sinceMs: seconds === undefined ? since || 0 : nowMs - seconds * 1000,
    tailLines: count("tailLines"),
    limitBytes: count("limitBytes"),
    stream: STREAMS[(query.get("stream") ?? "All") as keyof typeof STREAMS],
  };
}

/** The instance whose log is meant, or why there is none, in upstream's words. */
export function logInstance(
  pod: Pod,
  runtime: PodRuntime,
  container: string,
  previous: boolean,
): RuntimeContainer | { readonly problem: string } {
  const instances = instancesOf(runtime, container);
  const { name } = pod.metadata;
  const { containerStatuses = [], initContainerStatuses = [], ephemeralContainerStatuses = [] } = pod.status ?? {};
  const statuses = [...containerStatuses, ...initContainerStatuses, ...ephemeralContainerStatuses];
  const status = statuses.find((it) => it.name === container);
  if (previous) {
    const ended = instances.filter((it) => it.state === "exited");
    // In a back-off the newest instance is the one that has just ended.
    const found = ended[0];
    return found ?? { problem: `previous terminated container "${container}" in pod "${name}" not found` };
  }
  const current = instances.find((it) => it.state === "running" || it.state === "exited");
  if (current) return current;
  const reason = status?.state?.waiting?.reason ?? "ContainerCreating";
  const pulling = reason === "ErrImagePull" || reason === "ImagePullBackOff";
  const why = pulling ? "trying and failing to pull image" : reason;
  return { problem: `container "${container}" in pod "${name}" is waiting to start: ${why}` };
}
