/** Logs and streams of pods: the apiserver stands between client and kubelet. */
import type { ApiResponse } from "@pilothouse/api/http";
import type { Pod } from "@pilothouse/api/types/core-v1";
import { badRequest, internalError, notFound } from "@pilothouse/errors";
import {
  kubeletAddress,
  logPath,
  streamPath,
  type KubeletRequest,
  type StreamSubresource,
} from "../core/kubelet-request.ts";
import type { ObjectStore, RequestContext } from "../core/model.ts";
import { known } from "../registry/known.ts";

/** The port to the kubelets: HTTPS with the apiserver's own client certificate in the real adapter. */
export interface NodeProxy {
  /** Rejects when nobody answers there; any answer is an answer. Nothing is added to the headers but what HTTP needs. */
  forward(request: ForwardedRequest, signal: AbortSignal): Promise<ApiResponse>;
  /** Rejects when the kubelet cannot be reached. */
  get(request: KubeletRequest, signal: AbortSignal): Promise<ApiResponse>;
}

/** A request as it is handed on. */
export interface ForwardedRequest extends KubeletRequest {
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
}

export interface NodeProxyDeps {
  readonly objects: ObjectStore;
  readonly nodeProxy: NodeProxy;
}

/** GET pods/log: 200 text/plain as it comes, or the kubelet's refusal as 400 (wire trap 52). */
export async function podLog(deps: NodeProxyDeps, context: RequestContext): Promise<ApiResponse> {
  const { request, info } = context;
  const pod = await podOf(deps, info.namespace, info.name);
  const path = logPath(pod, request.query);
  const address = await addressOf(deps, pod);
  const headers = { "content-type": "text/plain" };
  if (!address) return { status: 200, headers, body: new Uint8Array() };
  const response = await reach(deps.nodeProxy.get({ address, path }, request.signal), context, address.node);
  if (response.status === 200) return { ...response, headers, isPatient: true };
  throw badRequest((await textOf(response)).trim() || `the kubelet answered ${response.status}`);
}

/** Where an exec, attach or portforward of this request is to be tunnelled to. */
export async function streamTarget(deps: NodeProxyDeps, context: RequestContext): Promise<KubeletRequest> {
  const { request, info } = context;
  const pod = await podOf(deps, info.namespace, info.name);
  const path = streamPath(info.subresource as StreamSubresource, pod, request.query);
  const address = await addressOf(deps, pod);
  if (!address) throw badRequest(`pod ${info.name} does not have a host assigned`);
  return { address, path };
}

async function podOf({ objects }: NodeProxyDeps, namespace: string, name: string): Promise<Pod> {
  const stored = await objects.read(known.pods.kind, namespace, name);
  if (!stored) throw notFound(known.pods.kind, name);
  return stored.object as unknown as Pod;
}

/** Undefined while the pod is on no node. */
async function addressOf({ objects }: NodeProxyDeps, pod: Pod): Promise<KubeletRequest["address"] | undefined> {
  const name = pod.spec?.nodeName;
  if (!name) return undefined;
  const node = await objects.read(known.nodes.kind, "", name);
  if (!node) throw notFound(known.nodes.kind, name);
  return kubeletAddress(node.object as unknown as Parameters<typeof kubeletAddress>[0]);
}

async function reach(call: Promise<ApiResponse>, { span }: RequestContext, node: string): Promise<ApiResponse> {
  try {
    return await call;
  } catch (error) {
    span.fail(error);
    const why = error instanceof Error ? error.message : String(error);
    throw internalError(`error dialing the kubelet of node ${node}: ${why}`);
  }
}

/** The beginning of an answer, for an error text. */
async function textOf({ body }: ApiResponse): Promise<string> {
  if (body instanceof Uint8Array) return Buffer.from(body).toString("utf8");
  let text = "";
  for await (const chunk of body) {
    text += Buffer.from(chunk).toString("utf8");
    if (text.length > MAX_ERROR_TEXT) break;
  }
  return text.slice(0, MAX_ERROR_TEXT);
}

const MAX_ERROR_TEXT = 4_096;
