/** Requests about a pod that its kubelet answers (logs, exec, attach, portforward): where they go. Pure. */
import type { Node, Pod } from "@pilothouse/api/types/core-v1";
import { badRequest } from "@pilothouse/errors";

/** Where a kubelet listens. */
export interface KubeletAddress {
  readonly node: string;
  readonly host: string;
  readonly port: number;
  /** Set for what is no kubelet (a pod, another port of a node): it is not shown who we are, and its certificate is not judged. */
  readonly over?: "http" | "https";
}

export interface KubeletRequest {
  readonly address: KubeletAddress;
  /** With query. */
  readonly path: string;
}

const DEFAULT_KUBELET_PORT = 10_250;
const DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container";

export type StreamSubresource = "exec" | "attach" | "portforward";

export function kubeletAddress(node: Node): KubeletAddress {
  const { addresses = [], daemonEndpoints } = node.status ?? {};
  const of = (type: string): string | undefined => addresses.find((address) => address.type === type)?.address;
  const host = of("InternalIP") ?? of("Hostname") ?? node.metadata.name ?? "";
  return { node: node.metadata.name ?? "", host, port: daemonEndpoints?.kubeletEndpoint?.Port || DEFAULT_KUBELET_PORT };
}

/** `/containerLogs/<ns>/<pod>/<container>?…` with the query's own options. */
export function logPath(pod: Pod, query: URLSearchParams): string {
  const container = containerFor(pod, query.get("container"), "log");
  return pathOf("containerLogs", pod, container, without(query, "container"));
}

/** `/exec/<ns>/<pod>/<container>?command=…`: order and repeats of parameters kept (wire trap 34). */
export function streamPath(subresource: StreamSubresource, pod: Pod, query: URLSearchParams): string {
  if (subresource === "portforward") {
    const ports = new URLSearchParams(query.getAll("ports").map((port): [string, string] => ["port", port]));
    return pathOf("portForward", pod, undefined, ports);
  }
  const container = containerFor(pod, query.get("container"), subresource);
  // What clients call stdin, kubelets call input.
  const names: Readonly<Record<string, string>> = { stdin: "input", stdout: "output", stderr: "error", tty: "tty" };
  const params = new URLSearchParams();
  for (const [name, value] of query) {
    if (name === "container") continue;
    const kubeletName = names[name];
    if (kubeletName === undefined) params.append(name, value);
    else if (value === "true" || value === "1") params.append(kubeletName, "1");
  }
  return pathOf(subresource, pod, container, params);
}

function containerFor(pod: Pod, asked: string | null, use: string): string {
  const { spec, metadata } = pod;
  const name = metadata.name ?? "";
  const ordinary = (spec?.containers ?? []).map((container) => container.name);
  const init = (spec?.initContainers ?? []).map((container) => container.name);
  const ephemeral = (spec?.ephemeralContainers ?? []).map((container) => container.name);
  if (asked) {
    if ([...ordinary, ...init, ...ephemeral].includes(asked)) return asked;
    throw badRequest(`container ${asked} is not valid for pod ${name}`);
  }
  const byAnnotation = metadata.annotations?.[DEFAULT_CONTAINER];
  if (byAnnotation && ordinary.includes(byAnnotation)) return byAnnotation;
  const [first = ""] = ordinary;
  if (ordinary.length === 1 || use !== "log") return first;
  const choose = `choose one of: [${ordinary.join(" ")}]`;
  const orInit = init.length > 0 ? ` or one of the init containers: [${init.join(" ")}]` : "";
  throw badRequest(`a container name must be specified for pod ${name}, ${choose}${orInit}`);
}

function pathOf(verb: string, pod: Pod, container: string | undefined, query: URLSearchParams): string {
  const segments = [verb, pod.metadata.namespace ?? "", pod.metadata.name ?? "", ...(container ? [container] : [])];
  const search = query.toString();
  return `/${segments.map(encodeURIComponent).join("/")}${search === "" ? "" : `?${search}`}`;
}

function without(query: URLSearchParams, name: string): URLSearchParams {
  const rest = new URLSearchParams(query);
  rest.delete(name);
  return rest;
}
