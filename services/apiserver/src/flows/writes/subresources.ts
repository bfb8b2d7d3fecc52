/** What is asked of an object beside its whole: binding, eviction, token, finalize. A scale has a file of its own. */
import type { ApiResponse } from "@pilothouse/api/http";
import type { TokenRequest } from "@pilothouse/api/types/authentication-v1";
import type { Binding, Pod, PodCondition } from "@pilothouse/api/types/core-v1";
import type { Crypto, TokenClaims } from "@pilothouse/crypto";
import { badRequest, conflict, invalid, notFound, type FieldError } from "@pilothouse/errors";
import type { ApiObject, GroupVersionKind } from "@pilothouse/kinds/kind";
import { wholeSeconds } from "../../core/delete-rules.ts";
import type { RequestContext } from "../../core/model.ts";
import { writeOptionsOf, type WriteOptions } from "../../core/options.ts";
import { SERVICE_ACCOUNT_PREFIX } from "../../core/access/users.ts";
import { canonical, decodeBody, objectAnswer } from "../../core/wire.ts";
import { known, type Known } from "../../registry/known.ts";
import { change, type Changed } from "./update.ts";
import type { WriteDeps } from "./write-deps.ts";

export const SUCCESS = { kind: "Status", apiVersion: "v1", metadata: {}, status: "Success", code: 201 } as const;
export const STATUS_KIND: GroupVersionKind = { group: "", version: "v1", kind: "Status" };
const BINDING: GroupVersionKind = { group: "", version: "v1", kind: "Binding" };
const TOKEN_REQUEST: GroupVersionKind = { group: "authentication.k8s.io", version: "v1", kind: "TokenRequest" };

/** POST pods/binding: the scheduler's decision, once. */
export async function bindPod(deps: WriteDeps, context: RequestContext): Promise<ApiResponse> {
  const { request, info } = context;
  const options = writeOptionsOf("CreateOptions", request.query, request.headers["user-agent"]);
  const binding = bodyOf(context, BINDING, options) as unknown as Binding;
  judgeBinding(binding, info.name);
  const now = wholeSeconds(deps.time.clock.now());
  await change(deps, context, known.pods.kind, {
    options,
    isServerOwn: true,
    isUntracked: true,
    next: (old) => bound(old(), binding, now),
  });
  return objectAnswer(request.headers["accept"], 201, SUCCESS, STATUS_KIND);
}

/** POST bindings: the same, for the pod that the body names. */
export async function bindNamedPod(deps: WriteDeps, context: RequestContext): Promise<ApiResponse> {
  const { request } = context;
  const options = writeOptionsOf("CreateOptions", request.query, request.headers["user-agent"]);
  const { name = "" } = bodyOf(context, BINDING, options).metadata;
  if (name === "") throw badRequest("Name parameter required.");
  return bindPod(deps, { ...context, info: { ...context.info, name } });
}

function bound(old: ApiObject, { metadata, target }: Binding, now: string): ApiObject {
  const pod = old as unknown as Pod;
  const { name = "", uid } = pod.metadata;
  const refuse = (why: string): Error => conflict({ group: "", resource: "pods/binding" }, name, why);
  if (metadata.uid && metadata.uid !== uid) {
    throw refuse(`Precondition failed: UID in precondition: ${metadata.uid}, UID in object meta: ${uid ?? ""}`);
  }
  if (pod.metadata.deletionTimestamp !== undefined) {
    throw refuse(`pod ${name} is being deleted, cannot be assigned to a host`);
  }
  if (pod.spec.nodeName) throw refuse(`pod ${name} is already assigned to node ${JSON.stringify(pod.spec.nodeName)}`);
  pod.spec.nodeName = target.name ?? "";
  const annotations = { ...pod.metadata.annotations, ...metadata.annotations };
  if (Object.keys(annotations).length > 0) pod.metadata.annotations = annotations;
  const others = (pod.status?.conditions ?? []).filter(({ type }) => type !== "PodScheduled");
  const scheduled: PodCondition = { type: "PodScheduled", status: "True", lastTransitionTime: now };
  pod.status = { ...pod.status, conditions: [...others, scheduled] };
  return pod as unknown as ApiObject;
}

function judgeBinding({ metadata, target }: Binding, name: string): void {
  if (metadata.name && metadata.name !== name) {
    throw badRequest(`name in URL does not match name in Binding object`);
  }
  const errors: FieldError[] = [];
  if (target.kind && target.kind !== "Node") {
    const detail = 'supported values: "Node", "<empty>"';
    errors.push({ type: "FieldValueNotSupported", field: "target.kind", value: target.kind, detail });
  }
  if (!target.name) errors.push({ type: "FieldValueRequired", field: "target.name", detail: "" });
  if (errors.length > 0) throw invalid(BINDING, name, errors);
}

/** PUT namespaces/finalize: only spec.finalizers change. */
export async function finalizeNamespace(deps: WriteDeps, context: RequestContext): Promise<ApiResponse> {
  const { request } = context;
  const kind = known.namespaces.kind;
  const options = writeOptionsOf("UpdateOptions", request.query, request.headers["user-agent"]);
  const given = bodyOf(context, kind, options);
  const { resourceVersion, uid } = given.metadata;
  const changed: Changed = await change(deps, context, kind, {
    options,
    isServerOwn: true,
    next: (old) =>
      withIdentity(
        { ...old(), spec: given["spec"] ?? {} },
        { ...(resourceVersion ? { resourceVersion } : {}), ...(uid ? { uid } : {}) },
      ),
  });
  return objectAnswer(request.headers["accept"], 200, changed.object, kind, changed.bytes);
}

export interface TokenDeps extends WriteDeps {
  readonly crypto: Crypto;
  readonly issuer: string;
}

const DEFAULT_TOKEN_SECONDS = 3_600;
const MIN_TOKEN_SECONDS = 600;
const MAX_TOKEN_SECONDS = 2 ** 32;

/** POST serviceaccounts/token: a token bound to the account, and to a pod where one is named. */
export async function createToken(deps: TokenDeps, context: RequestContext): Promise<ApiResponse> {
  const { request, info } = context;
  const options = writeOptionsOf("CreateOptions", request.query, request.headers["user-agent"]);
  const object = bodyOf(context, TOKEN_REQUEST, options) as unknown as TokenRequest;
  const stored = await deps.objects.read(known.serviceAccounts.kind, info.namespace, info.name);
  if (!stored) throw notFound(known.serviceAccounts.kind, info.name);
  const seconds = object.spec.expirationSeconds ?? DEFAULT_TOKEN_SECONDS;
  judgeTokenSeconds(seconds, info.name);
  const audiences = object.spec.audiences?.length ? object.spec.audiences : [deps.issuer];
  const issuedAt = Math.floor(deps.time.clock.now() / 1_000);
  const claims: TokenClaims = {
    iss: deps.issuer,
    sub: `${SERVICE_ACCOUNT_PREFIX}${info.namespace}:${info.name}`,
    aud: audiences,
    iat: issuedAt,
    nbf: issuedAt,
    exp: issuedAt + seconds,
    jti: deps.time.ids.uuid(),
    "kubernetes.io": {
      namespace: info.namespace,
      serviceaccount: { name: info.name, uid: stored.object.metadata.uid ?? "" },
      ...(await boundTo(deps, context, object.spec.boundObjectRef)),
    },
  };
  const token = await deps.crypto.signToken(claims);
  const answered = {
    ...object,
    metadata: { ...object.metadata, name: info.name, namespace: info.namespace },
    spec: { ...object.spec, audiences, expirationSeconds: seconds },
    status: { token, expirationTimestamp: wholeSeconds(claims.exp * 1_000) },
  };
  const body = canonical(answered, TOKEN_REQUEST);
  return objectAnswer(request.headers["accept"], 201, body, TOKEN_REQUEST);
}

function judgeTokenSeconds(seconds: number, name: string): void {
  const field = "spec.expirationSeconds";
  const refuse = (detail: string): Error =>
    invalid(TOKEN_REQUEST, name, [{ type: "FieldValueInvalid", field, value: seconds, detail }]);
  if (seconds < MIN_TOKEN_SECONDS) throw refuse("may not specify a duration less than 10 minutes");
  if (seconds > MAX_TOKEN_SECONDS) throw refuse("may not specify a duration larger than 2^32 seconds");
}

async function boundTo(
  deps: WriteDeps,
  { info }: RequestContext,
  ref: TokenRequest["spec"]["boundObjectRef"],
): Promise<Partial<NonNullable<TokenClaims["kubernetes.io"]>>> {
  if (!ref) return {};
  const { kind = "", name = "" } = ref;
  const find = async (type: Known<unknown>, namespace: string) => {
    const found = await deps.objects.read(type.kind, namespace, name);
    if (!found) throw notFound(type.kind, name);
    const uid = found.object.metadata.uid ?? "";
    if (ref.uid && ref.uid !== uid) {
      const why = `the UID in the bound object reference (${ref.uid}) does not match the UID in record. The object might have been deleted and then recreated`;
      throw conflict(type.kind, name, why);
    }
    return { object: found.object, bound: { name, uid } };
  };
  if (kind === "Pod") {
    const { object, bound: pod } = await find(known.pods, info.namespace);
    const { serviceAccountName, nodeName } = (object as unknown as Pod).spec;
    if (serviceAccountName !== info.name) {
      throw badRequest(
        `cannot bind token for serviceaccount ${JSON.stringify(info.name)} to pod running with different serviceaccount name.`,
      );
    }
    if (!nodeName) return { pod };
    const node = await deps.objects.read(known.nodes.kind, "", nodeName);
    const { uid } = node?.object.metadata ?? {};
    return { pod, node: { name: nodeName, ...(uid === undefined ? {} : { uid }) } };
  }
  if (kind === "Secret") return { secret: (await find(known.secrets, info.namespace)).bound };
  if (kind === "Node") return { node: (await find(known.nodes, "")).bound };
  throw badRequest(`cannot bind token to object of type ${ref.apiVersion ?? ""}, Kind=${kind}`);
}

/** Bodies of subresources come in their own group, whatever the path's (wire trap 44). */
export function bodyOf(
  { request, warn }: RequestContext,
  wanted: GroupVersionKind,
  { fieldValidation }: Pick<WriteOptions, "fieldValidation">,
): ApiObject {
  const contentType = request.headers["content-type"];
  return decodeBody({ body: request.body, contentType, wanted, fieldValidation, anyVersion: true }, warn);
}

/** The preconditions that the client gave, in place of those that the object brings from the store. */
export function withIdentity(object: ApiObject, given: { uid?: string; resourceVersion?: string }): ApiObject {
  const { uid: _uid, resourceVersion: _version, ...metadata } = object.metadata;
  return { ...object, metadata: { ...metadata, ...given } };
}
