/** Which flow answers a resource request: one table of verbs and subresources. */
import type { ApiResponse } from "@pilothouse/api/http";
import { methodNotAllowed, noSuchPath, StatusError } from "@pilothouse/errors";
import { storedKindOf, type KindDefinition } from "@pilothouse/kinds/kind";
import type { Flow, RequestContext } from "../core/model.ts";
import { BINDINGS, isVirtual } from "../registry/virtual-kinds.ts";
import { create } from "./writes/create.ts";
import { deleteCollection, deleteOne } from "./writes/delete.ts";
import { podLog, type NodeProxyDeps } from "./node-proxy.ts";
import { isProxied, PROXY_METHODS, proxied, type ProxyDeps } from "./proxy.ts";
import { evictPod } from "./writes/evict.ts";
import { review, type ReviewDeps } from "./access/reviews.ts";
import { bindNamedPod, bindPod, createToken, finalizeNamespace, type TokenDeps } from "./writes/subresources.ts";
import { getScale, patchScale, updateScale } from "./writes/scale.ts";
import { patch, update } from "./writes/update.ts";

export interface DispatchDeps extends TokenDeps, ReviewDeps, NodeProxyDeps, ProxyDeps {
  readonly get: Flow;
  readonly list: Flow;
  readonly watch: Flow;
}

/** `kind` is the one whose objects are stored; the one that was asked for is the context's. */
type Handler = (deps: DispatchDeps, context: RequestContext, kind: KindDefinition) => Promise<ApiResponse>;

/** `<verb>` for whole objects, `<verb> <subresource>` below them, with the resource where it is one's own. */
const HANDLERS: Readonly<Record<string, Handler>> = {
  get: (deps, context) => deps.get(context),
  list: (deps, context) => deps.list(context),
  watch: (deps, context) => deps.watch(context),
  create,
  update,
  patch,
  delete: deleteOne,
  deletecollection: deleteCollection,
  "get status": (deps, context) => deps.get(context),
  "update status": update,
  "patch status": patch,
  "get approval": (deps, context) => deps.get(context),
  "update approval": update,
  "patch approval": patch,
  "get ephemeralcontainers": (deps, context) => deps.get(context),
  "update ephemeralcontainers": update,
  "patch ephemeralcontainers": patch,
  "get resize": (deps, context) => deps.get(context),
  "update resize": update,
  "patch resize": patch,
  "get scale": getScale,
  "update scale": updateScale,
  "patch scale": patchScale,
  "create pods/binding": bindPod,
  "create pods/eviction": evictPod,
  "get pods/log": podLog,
  "create serviceaccounts/token": createToken,
  "update namespaces/finalize": finalizeNamespace,
  "get pods/exec": upgradeRequired,
  "create pods/exec": upgradeRequired,
  "get pods/attach": upgradeRequired,
  "create pods/attach": upgradeRequired,
  "get pods/portforward": upgradeRequired,
  "create pods/portforward": upgradeRequired,
};

/** Throws 404 for what is not served and 405 for what cannot be done with it. */
export function dispatch(deps: DispatchDeps, context: RequestContext): Promise<ApiResponse> {
  const { info, kind, request } = context;
  if (!kind) throw noSuchPath();
  if (isProxied(info)) {
    if (!PROXY_METHODS.includes(request.method) || info.name === "") throw methodNotAllowed();
    return proxied(deps, context);
  }
  if (isVirtual(kind)) {
    if (info.verb !== "create" || info.name !== "") throw methodNotAllowed();
    return kind === BINDINGS ? bindNamedPod(deps, context) : review(deps, context, kind);
  }
  const handler = info.subresource === "" ? wholeHandler(context, kind) : subresourceHandler(context, kind);
  return handler(deps, context, storedKindOf(kind));
}

function wholeHandler(context: RequestContext, kind: KindDefinition): Handler {
  const { verb, name, namespace } = context.info;
  const isCollection = verb === "create" || verb === "list" || verb === "watch" || verb === "deletecollection";
  const handler = kind.verbs.some((served) => served === verb) ? HANDLERS[verb] : undefined;
  const namesNothing = !isCollection && name === "";
  const namesTooMuch = isCollection && name !== "" && verb !== "watch";
  // What lives in a namespace is created and named within one.
  const lacksNamespace = kind.namespaced && namespace === "" && verb !== "list" && verb !== "watch";
  if (!handler || namesNothing || namesTooMuch || lacksNamespace) throw methodNotAllowed();
  return handler;
}

function subresourceHandler(context: RequestContext, kind: KindDefinition): Handler {
  const { verb, name, subresource } = context.info;
  const definition = kind.subresources.find((candidate) => candidate.name === subresource);
  if (!definition || name === "") throw noSuchPath();
  const isServed = definition.verbs.includes(verb);
  const handler = HANDLERS[`${verb} ${kind.resource}/${subresource}`] ?? HANDLERS[`${verb} ${subresource}`];
  if (!isServed || !handler) throw methodNotAllowed();
  return handler;
}

/** Streams come as protocol upgrades, which the door hands to `upgrade`. */
function upgradeRequired(): Promise<ApiResponse> {
  throw new StatusError(400, "BadRequest", "Upgrade request required");
}
