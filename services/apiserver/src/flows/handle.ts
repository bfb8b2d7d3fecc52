/**
 * The apiserver's one entrance: every request, by whatever door it came, goes through here.
 *
 * request info → authenticate → audit → impersonate → authorise → fence → dispatch → answer. Throws nothing: an error is an
 * answer. One server span a request; no body and no contents of objects in any log, span or metric (C9).
 */
import { ACCEPTED_MEDIA_TYPES, encodeProtobuf, encodeYaml, MEDIA_TYPES, negotiate, schemaOf } from "@pilothouse/api";
import type { ApiRequest, ApiResponse } from "@pilothouse/api/http";
import type { TimeAndChance } from "@pilothouse/clock";
import {
  badRequest,
  internalError,
  serviceUnavailable,
  StatusError,
  timeout,
  tooManyRequests,
  type Status,
} from "@pilothouse/errors";
import type { KindDefinition } from "@pilothouse/kinds/kind";
import { StoreRefused, StoreUnavailable } from "@pilothouse/store";
import { parseTraceparent, type Span, type Telemetry } from "@pilothouse/telemetry";
import { attributesOf } from "../core/access/authorize.ts";
import type { KubeletRequest } from "../core/kubelet-request.ts";
import {
  APISERVER_HEADER,
  EPOCH_HEADER,
  type ObjectCache,
  type RequestContext,
  type RequestInfo,
} from "../core/model.ts";
import { nameInSelector, requestInfoOf } from "../core/request-info.ts";
import { requestLabels } from "../core/request-labels.ts";
import { warningHeaders } from "../core/warnings.ts";
import { framingOf, type Framing } from "../core/websocket.ts";
import { fenceOf } from "../registry/elections.ts";
import { servedKind } from "../registry/virtual-kinds.ts";
import type { Authenticator } from "./access/authenticate.ts";
import type { Authorizer } from "./access/authorizer.ts";
import { dispatch, type DispatchDeps } from "./dispatch.ts";
import { streamTarget } from "./node-proxy.ts";
import { isProxied, proxiedUpgrade } from "./proxy.ts";
import { requestMetrics, type RequestMetrics } from "./request-metrics.ts";
import { systemAnswer, type SystemDeps } from "./system-paths.ts";

export interface HandlerDeps extends DispatchDeps, SystemDeps {
  readonly authenticator: Authenticator;
  readonly authorizer: Authorizer;
  readonly telemetry: Telemetry;
  readonly time: TimeAndChance;
  readonly cache: ObjectCache;
  /** This apiserver's name: whose bus feed continues what it answers. */
  readonly name: string;
  /** More requests than this at once (watches and streams aside) get 429. */
  readonly maxInFlight: number;
  /** Aborts when the service closes: watches and logs end, what is short is let finish. */
  readonly closing: AbortSignal;
}

export interface Handler {
  handle(request: ApiRequest): Promise<ApiResponse>;
  /** Judges a request to leave HTTP: exec, attach, portforward, proxy; a log or a watch over a WebSocket. */
  upgrade(request: ApiRequest): Promise<UpgradeVerdict>;
}

export type UpgradeVerdict =
  /** Where it is to be tunnelled to. */
  | { readonly target: KubeletRequest }
  /** What is sent in messages. */
  | { readonly stream: ApiResponse; readonly framing: Framing }
  | { readonly refusal: ApiResponse };

const READS: readonly string[] = ["GET", "HEAD"];
const ALWAYS_ANSWERED: readonly string[] = ["/livez", "/readyz", "/healthz"];

export function createHandler(deps: HandlerDeps): Handler {
  const metrics = requestMetrics(deps.telemetry.metrics);
  const measured = measures(deps, metrics);
  const inFlight = { mutating: 0, readOnly: 0 };

  const judged = async ({ request, info, kind, span, note }: Arrival): Promise<Judged> => {
    if (!info) throw badRequest("the path of the request is not well-formed");
    const verified = await deps.authenticator.authenticate(request);
    note.user = verified.name;
    const user = await deps.authenticator.impersonate(request, verified, deps.authorizer);
    if (user !== verified) note.impersonatedUser = user.name;
    span.set({ "k8s.user": user.name, "k8s.verb": info.verb, ...resourceAttributes(info) });
    const name = info.name || nameInSelector(request.query);
    await deps.authorizer.authorize(attributesOf(user, info, request.path, name), request.signal);
    const warnings = kind?.deprecation === undefined ? [] : [kind.deprecation];
    const isLong = info.verb === "watch" || info.subresource === "log";
    const context: RequestContext = {
      request: isLong ? { ...request, signal: AbortSignal.any([request.signal, deps.closing]) } : request,
      info,
      user,
      span,
      kind,
      fence: fenceOf(user, info, request.headers),
      warn: (text) => void (warnings.includes(text) || warnings.push(text)),
    };
    return { context, warnings };
  };

  const answered = async (arrival: Arrival): Promise<ApiResponse> => {
    const { context, warnings } = await judged(arrival);
    const { isResourceRequest } = context.info;
    const response = isResourceRequest ? await dispatch(deps, context) : await systemAnswer(deps, arrival.request);
    return warnings.length === 0
      ? response
      : { ...response, headers: { ...response.headers, warning: warningHeaders(warnings) } };
  };

  /** Runs one request from span to audit line; never rejects. */
  const served = async <T extends { readonly status: number }>(
    request: ApiRequest,
    work: (arrival: Arrival) => Promise<T>,
    refused: (error: unknown, span: Span) => T,
  ): Promise<{ readonly result: T; readonly auditId: string }> => {
    const startMs = deps.time.clock.monotonicMs();
    const note: AuditNote = { auditId: deps.time.ids.uuid() };
    const info = requestInfoOf(request.method, request.path, request.query);
    const kind = info?.isResourceRequest ? servedKind(info.group, info.version, info.resource) : undefined;
    const span = deps.telemetry.tracer.start(spanName(request, info, kind), {
      kind: "server",
      parent: parseTraceparent(request.headers["traceparent"]),
      attributes: { "http.request.method": request.method, "url.path": request.path },
    });
    const arrival: Arrival = { request, info, kind, span, note };
    let result: T;
    try {
      result = await work(arrival);
    } catch (error) {
      result = refused(error, span);
    }
    span.set({ "http.response.status_code": result.status });
    span.end();
    measured(arrival, result.status, (deps.time.clock.monotonicMs() - startMs) / 1_000);
    return { result, auditId: note.auditId };
  };

  const errorAnswer = (request: ApiRequest, error: unknown, span: Span): ApiResponse => {
    // Whoever asked is gone: nobody reads the answer, and nothing is wrong with us.
    if (request.signal.aborted) return statusAnswer(timeout("the client has gone").status, undefined);
    const status = statusOf(error);
    if (status.code === undefined || status.code >= 500) {
      span.fail(error);
      deps.telemetry.log.error("a request failed", { path: request.path, error, trace: span.context });
    }
    return statusAnswer(status, request.headers["accept"]);
  };

  return {
    async handle(request) {
      const isProbe = ALWAYS_ANSWERED.includes(request.path);
      const isFull = inFlight.mutating + inFlight.readOnly >= deps.maxInFlight && !isProbe;
      const sort = READS.includes(request.method) ? "readOnly" : "mutating";
      if (!isFull) metrics.inFlight(sort, ++inFlight[sort]);
      try {
        const { result, auditId } = await served(
          request,
          (arrival) => {
            if (isFull) throw tooManyRequests("too many requests, please try again later", 1);
            return answered(arrival);
          },
          (error, span) => errorAnswer(request, error, span),
        );
        return withCommonHeaders(deps, request, result, auditId);
      } finally {
        if (!isFull) metrics.inFlight(sort, --inFlight[sort]);
      }
    },

    async upgrade(request) {
      const { result } = await served<UpgradeResult>(
        request,
        async (arrival) => {
          const { context } = await judged(arrival);
          const { info } = context;
          if (isProxied(info)) return { status: 101, target: await proxiedUpgrade(deps, context) };
          const framing = framingOf(request.headers, info);
          if (framing) return { status: 101, stream: await dispatch(deps, inJson(context)), framing };
          const isStream = ["exec", "attach", "portforward"].includes(info.subresource) && info.resource === "pods";
          if (!isStream || info.group !== "") throw badRequest("this path takes no upgrade");
          // A WebSocket begins with a GET; who may only read must not run commands by it.
          const asCreate = attributesOf(context.user, { ...info, verb: "create" }, request.path, info.name);
          if (info.verb === "get") await deps.authorizer.authorize(asCreate, request.signal);
          return { status: 101, target: await streamTarget(deps, context) };
        },
        (error, span) => ({ status: statusOf(error).code ?? 500, refusal: errorAnswer(request, error, span) }),
      );
      return result;
    },
  };
}

/** A request, and what its path and method mean, from span to audit line. */
interface Arrival {
  readonly request: ApiRequest;
  /** Undefined for a path that no client may mean. */
  readonly info: RequestInfo | undefined;
  readonly kind: KindDefinition | undefined;
  readonly span: Span;
  readonly note: AuditNote;
}

/** What the audit line says of a request beside its path. */
interface AuditNote {
  readonly auditId: string;
  user?: string;
  impersonatedUser?: string;
}

interface Judged {
  readonly context: RequestContext;
  readonly warnings: readonly string[];
}

type UpgradeResult = UpgradeVerdict & { readonly status: number };

/** Each event of a watch is one line of JSON, whatever a handshake's headers say. */
function inJson(context: RequestContext): RequestContext {
  const { request } = context;
  return { ...context, request: { ...request, headers: { ...request.headers, accept: "application/json" } } };
}

/** The audit line and the metrics of one request. */
function measures({ telemetry, name }: HandlerDeps, metrics: RequestMetrics) {
  const log = telemetry.log.with({ apiserver: name });
  return ({ request, info, kind, span, note }: Arrival, code: number, tookSeconds: number): void => {
    const labels = requestLabels(request, info, kind);
    metrics.answered(labels, code, tookSeconds);
    if (kind?.deprecation !== undefined) metrics.deprecated(labels);
    if (ALWAYS_ANSWERED.includes(request.path)) return;
    log.info("request", {
      ...note,
      method: request.method,
      path: request.path,
      verb: info?.verb ?? "",
      code,
      durationMs: Math.round(tookSeconds * 1_000),
      userAgent: request.headers["user-agent"],
      source: request.peer.address,
      trace: span.context,
    });
  };
}

/** `create pods`, `patch deployments/status`: few names, so that they can be counted by. */
function spanName({ method }: ApiRequest, info: RequestInfo | undefined, kind: KindDefinition | undefined): string {
  if (!info || !kind) return `${method} request`;
  return `${info.verb} ${info.resource}${info.subresource === "" ? "" : `/${info.subresource}`}`;
}

function resourceAttributes(info: RequestInfo): Record<string, string> {
  if (!info.isResourceRequest) return {};
  const { group, resource, subresource, namespace, name } = info;
  return {
    "k8s.group": group,
    "k8s.resource": resource,
    "k8s.subresource": subresource,
    "k8s.namespace": namespace,
    "k8s.name": name,
  };
}

function withCommonHeaders(
  deps: HandlerDeps,
  request: ApiRequest,
  response: ApiResponse,
  auditId: string,
): ApiResponse {
  return {
    ...response,
    headers: {
      "cache-control": "no-cache, private",
      [APISERVER_HEADER]: deps.name,
      [EPOCH_HEADER]: deps.cache.epoch,
      ...response.headers,
      "audit-id": auditId,
    },
    body: request.method === "HEAD" ? new Uint8Array() : response.body,
  };
}

/** What anything thrown is to the client; only a StatusError's text is shown. */
function statusOf(error: unknown): Status {
  if (error instanceof StatusError) return error.status;
  if (error instanceof StoreUnavailable) return serviceUnavailable("the store does not answer").status;
  // Whoever runs the cluster must read this where they see it: nothing can be written until there is room.
  if (error instanceof StoreRefused && error.reason === "noSpace") return internalError(error.message).status;
  return internalError("the apiserver's log says more").status;
}

/** A Status in what the client accepts, else in JSON. */
function statusAnswer(status: Status, accept: string | undefined): ApiResponse {
  const seconds = status.details?.retryAfterSeconds;
  const format = negotiate(accept, ERROR_MEDIA)?.format ?? "json";
  return {
    status: status.code ?? 500,
    headers: {
      "content-type": MEDIA_TYPES[format],
      ...(seconds === undefined ? {} : { "retry-after": String(seconds) }),
      ...(status.code === 401 ? { "www-authenticate": "Bearer" } : {}),
    },
    body: encodedStatus(status, format),
  };
}

/** A client that asks for tables takes its errors plain. */
const ERROR_MEDIA = {
  formats: ["json", "yaml", "protobuf"],
  transforms: ["Table", "PartialObjectMetadata", "PartialObjectMetadataList", "APIGroupDiscoveryList"],
} as const;

function encodedStatus(status: Status, format: "json" | "yaml" | "protobuf"): Uint8Array {
  switch (format) {
    case "json":
      return Buffer.from(`${JSON.stringify(status)}\n`);
    case "yaml":
      return encodeYaml(status);
    case "protobuf": {
      const schema = schemaOf("v1", "Status");
      if (!schema) throw new Error(`no structure for a Status in ${ACCEPTED_MEDIA_TYPES.join(", ")}`);
      return encodeProtobuf({ ...status }, schema);
    }
  }
}
