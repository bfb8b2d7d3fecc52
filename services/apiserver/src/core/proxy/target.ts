/** Whom a request to `pods|services|nodes/<id>/proxy` is handed on to: upstream's rules of `<scheme>:<name>:<port>`. Pure. */
import type { Endpoints, Node, Pod, Service } from "@pilothouse/api/types/core-v1";
import { badRequest, serviceUnavailable } from "@pilothouse/errors";
import { parseIp } from "@pilothouse/kinds/ip";
import { kubeletAddress, type KubeletAddress } from "../kubelet-request.ts";

/** What a name in the path says beside the name. */
export interface ProxyName {
  readonly scheme: "" | "http" | "https";
  readonly name: string;
  /** A number or a name; "" when none is given. */
  readonly port: string;
}

/** `name`, `name:port` or `scheme:name:port`. Throws 400 for anything else; `what` is `pod`, `service` or `node`. */
export function proxyNameOf(id: string, what: string): ProxyName {
  const parts = id.split(":");
  const [scheme = "", name = "", port = ""] = parts.length < 3 ? ["", ...parts] : parts;
  if (parts.length > 3 || name === "" || (scheme !== "" && scheme !== "http" && scheme !== "https")) {
    throw badRequest(`invalid ${what} request ${JSON.stringify(id)}`);
  }
  return { scheme, name, port };
}

/** Without a port: the first that a container names, else the scheme's own. Throws 400 while the pod has no address. */
export function podTarget(pod: Pod, { scheme, port }: ProxyName): KubeletAddress {
  const { podIPs, podIP } = pod.status ?? {};
  const named = (pod.spec?.containers ?? []).find(({ ports }) => (ports?.length ?? 0) > 0)?.ports?.[0]?.containerPort;
  return target(podIPs?.[0]?.ip ?? podIP ?? "", port === "" ? String(named ?? "") : port, scheme);
}

/**
 * The name of the Service's port that is meant: numbers are looked up in the Service.
 *
 * @throws StatusError 503
 */
export function servicePortName(service: Service, { name, port }: ProxyName): string {
  if (!/^[+-]?\d+$/.test(port)) return port;
  const found = (service.spec.ports ?? []).find((candidate) => candidate.port === Number(port));
  if (found) return found.name ?? "";
  throw serviceUnavailable(`no service port ${Number(port)} found for service ${JSON.stringify(name)}`);
}

/** An address behind a Service, with the pod that must still have it. */
export interface ServiceBackend {
  readonly podName: string;
  readonly podNamespace: string;
  readonly target: KubeletAddress;
}

/** Every ready address that serves the port, beginning at a random subset and a random address in it: the first whose pod has it is taken. */
export function* serviceBackends(
  { subsets = [] }: Endpoints,
  portName: string,
  { scheme }: ProxyName,
  random: () => number,
): Generator<ServiceBackend> {
  for (const { addresses = [], ports = [] } of turned(subsets, random)) {
    const port = ports.find((candidate) => (candidate.name ?? "") === portName)?.port;
    if (port === undefined) continue;
    for (const { ip, targetRef } of turned(addresses, random)) {
      const { name: podName, namespace: podNamespace = "" } = targetRef ?? {};
      if (!podName) continue;
      yield {
        podName,
        podNamespace,
        target: { node: "", host: ip, port, over: scheme === "https" ? "https" : "http" },
      };
    }
  }
}

/** The kubelet itself where its port is meant, or none is named; else whatever listens on that port of the node. */
export function nodeTarget(node: Node, { scheme, port }: ProxyName): KubeletAddress {
  const kubelet = kubeletAddress(node);
  return port === "" || port === String(kubelet.port) ? kubelet : target(kubelet.host, port, scheme);
}

/** Throws 400 for an address that is the apiserver's own machine, or nobody's. */
function target(host: string, port: string, scheme: ProxyName["scheme"]): KubeletAddress {
  const over = scheme === "https" ? "https" : "http";
  if (isForbidden(host)) throw badRequest("address not allowed");
  const number = port === "" ? DEFAULT_PORTS[over] : Number(port);
  if (!Number.isInteger(number) || number < 1 || number > 65_535)
    throw badRequest(`invalid port ${JSON.stringify(port)}`);
  return { node: "", host, port: number, over };
}

const DEFAULT_PORTS = { http: 80, https: 443 } as const;

/** Go's IsGlobalUnicast, turned round; a host name (of a node) passes. */
function isForbidden(host: string): boolean {
  if (host === "" || host === "localhost") return true;
  const bytes = parseIp(host);
  if (!bytes) return false;
  const [a = 0, b = 0] = bytes;
  if (bytes.every((byte) => byte === 0)) return true;
  if (bytes.length === 4) {
    return a === 127 || (a === 169 && b === 254) || (a >= 224 && a < 240) || bytes.every((byte) => byte === 255);
  }
  const isMapped = bytes.slice(0, 10).every((byte) => byte === 0) && bytes[10] === 255 && bytes[11] === 255;
  if (isMapped) return isForbidden(bytes.slice(12).join("."));
  const isLoopback = bytes.slice(0, 15).every((byte) => byte === 0) && bytes[15] === 1;
  return isLoopback || a === 0xff || (a === 0xfe && (b & 0xc0) === 0x80);
}

/** The items from a random one on, round to the one before it. */
function turned<T>(items: readonly T[], random: () => number): readonly T[] {
  const start = Math.floor(random() * items.length);
  return [...items.slice(start), ...items.slice(0, start)];
}
