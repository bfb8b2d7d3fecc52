/** pods/proxy, services/proxy and nodes/proxy: any request, handed on to what runs in the cluster. */
import type { ApiResponse } from "@pilothouse/api/http";
import type { Endpoints } from "@pilothouse/api/types/core-v1";
import type { TimeAndChance } from "@pilothouse/clock";
import { noSuchPath, notFound, serviceUnavailable } from "@pilothouse/errors";
import type { KubeletAddress, KubeletRequest } from "../core/kubelet-request.ts";
import type { ObjectStore, RequestContext, RequestInfo } from "../core/model.ts";
import { answeredHeaders, forwardedHeaders } from "../core/proxy/headers.ts";
import { rewrittenHtml, rewrittenLink, type LinkRewriting } from "../core/proxy/links.ts";
import { proxiedPath } from "../core/proxy/path.ts";
import { nodeTarget, podTarget, proxyNameOf, serviceBackends, servicePortName } from "../core/proxy/target.ts";
import { known, type Known } from "../registry/known.ts";
import type { NodeProxy } from "./node-proxy.ts";

export interface ProxyDeps {
  readonly objects: ObjectStore;
  readonly nodeProxy: NodeProxy;
  readonly time: TimeAndChance;
}

export const PROXY_METHODS: readonly string[] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];
/** Pages above it are passed through as they are. */
const MAX_PAGE_BYTES = 4 << 20;

/** True for what is handed on as it is: no other subresource takes a path, or the methods OPTIONS and HEAD. */
export function isProxied({ group, resource, subresource }: RequestInfo): boolean {
  return subresource === "proxy" && group === "" && ["pods", "services", "nodes"].includes(resource);
}

/**
 * The backend's answer, whatever it is. GET or HEAD of the bare `…/proxy` is sent on to `…/proxy/`, for relative links' sake.
 *
 * @throws StatusError 400, 404 and 503 in upstream's words
 */
export async function proxied(deps: ProxyDeps, context: RequestContext): Promise<ApiResponse> {
  const { request, span } = context;
  const { path, prefix, query } = whereOf(context);
  const { method } = request;
  const address = await targetOf(deps, context);
  if (path === "" && (method === "GET" || method === "HEAD")) {
    return { status: 301, headers: { location: `${request.path}/${query}` }, body: new Uint8Array() };
  }
  const forwarded = {
    address,
    method,
    path: `${path || "/"}${query}`,
    headers: forwardedHeaders(request, `${prefix}${path || "/"}`),
    body: request.body,
  };
  let answer: ApiResponse;
  try {
    answer = await deps.nodeProxy.forward(forwarded, request.signal);
  } catch (error) {
    span.fail(error);
    const why = error instanceof Error ? error.message : String(error);
    throw serviceUnavailable(`error trying to reach service: ${why}`);
  }
  const host = `${address.host}:${address.port}`;
  return rewritten(answer, { prefix, backendHost: host, requestHost: request.headers["host"] ?? "" });
}

/** Where an upgrade of this request is to be tunnelled to. */
export async function proxiedUpgrade(deps: ProxyDeps, context: RequestContext): Promise<KubeletRequest> {
  const { path, query } = whereOf(context);
  return { address: await targetOf(deps, context), path: `${path || "/"}${query}` };
}

function whereOf({ request }: RequestContext): { path: string; prefix: string; query: string } {
  const where = proxiedPath(request.path);
  if (!where) throw noSuchPath();
  const search = request.rawQuery ?? request.query.toString();
  return { ...where, query: search === "" ? "" : `?${search}` };
}

async function targetOf(deps: ProxyDeps, { info }: RequestContext): Promise<KubeletAddress> {
  const { namespace, name: id, resource } = info;
  const asked = proxyNameOf(id, resource.slice(0, -1));
  switch (resource) {
    case "pods":
      return podTarget(await objectOf(deps, known.pods, namespace, asked.name), asked);
    case "nodes":
      return nodeTarget(await objectOf(deps, known.nodes, "", asked.name), asked);
    default: {
      const portName = /^[+-]?\d+$/.test(asked.port)
        ? servicePortName(await objectOf(deps, known.services, namespace, asked.name), asked)
        : asked.port;
      const endpoints = await objectOf(deps, known.endpoints, namespace, asked.name);
      return backendOf(deps, namespace, endpoints, portName, id, asked);
    }
  }
}

/** An Endpoints object may be anybody's: an address is asked only while it is the address of the pod that it names. */
async function backendOf(
  { objects, time }: ProxyDeps,
  namespace: string,
  endpoints: Endpoints,
  portName: string,
  id: string,
  asked: Parameters<typeof serviceBackends>[2],
): Promise<KubeletAddress> {
  const none = (name: string): Error =>
    serviceUnavailable(`no endpoints available for service ${JSON.stringify(name)}`);
  if ((endpoints.subsets ?? []).length === 0) throw none(asked.name);
  for (const { podName, podNamespace, target } of serviceBackends(endpoints, portName, asked, () =>
    time.random.next(),
  )) {
    if (podNamespace !== namespace) continue;
    const pod = (await objects.read(known.pods.kind, namespace, podName))?.object as Pod | undefined;
    const hasIt = (pod?.status?.podIPs ?? []).some(({ ip }) => ip === target.host);
    if (hasIt) return target;
  }
  throw none(id);
}

type Pod = { readonly status?: { readonly podIPs?: readonly { readonly ip?: string }[] } };

async function objectOf<T>({ objects }: ProxyDeps, { kind }: Known<T>, namespace: string, name: string): Promise<T> {
  const stored = await objects.read(kind, namespace, name);
  if (!stored) throw notFound(kind, name);
  return stored.object as T;
}

async function rewritten(answer: ApiResponse, rewriting: LinkRewriting): Promise<ApiResponse> {
  const headers = answeredHeaders(answer.headers);
  const whole = { ...answer, headers, isPatient: true };
  const { location } = headers;
  if (typeof location === "string" && location !== "") {
    return { ...whole, headers: { ...headers, location: rewrittenLink(location, rewriting) } };
  }
  const isPage =
    String(headers["content-type"] ?? "")
      .split(";")[0]
      ?.trim() === "text/html";
  if (!isPage || headers["content-encoding"] !== undefined) return whole;
  const page = await beginning(answer.body);
  if (page.rest) return { ...whole, body: page.rest };
  const body = Buffer.from(rewrittenHtml(page.bytes.toString("latin1"), rewriting), "latin1");
  return { ...whole, headers: { ...headers, "content-length": String(body.length) }, body };
}

/** The whole body, or, when it is long, all of it as it comes. */
async function beginning(
  body: ApiResponse["body"],
): Promise<{ readonly bytes: Buffer; readonly rest?: AsyncIterable<Uint8Array> }> {
  if (body instanceof Uint8Array) return { bytes: Buffer.from(body) };
  const chunks: Uint8Array[] = [];
  let size = 0;
  const source = body[Symbol.asyncIterator]();
  for (;;) {
    const next = await source.next();
    if (next.done) return { bytes: Buffer.concat(chunks) };
    chunks.push(next.value);
    size += next.value.length;
    if (size > MAX_PAGE_BYTES) break;
  }
  const rest = async function* (): AsyncGenerator<Uint8Array> {
    try {
      yield* chunks;
      for (let next = await source.next(); !next.done; next = await source.next()) yield next.value;
    } finally {
      await source.return?.();
    }
  };
  return { bytes: Buffer.alloc(0), rest: rest() };
}
