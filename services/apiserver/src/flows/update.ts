/**
 * PUT and PATCH of an object and of its subresources: one loop of read, change, judge, write.
 *
 * The origin is always read from etcd, never from the cache, so that no no-op and no error is ever told from a stale copy (C2).
 */
import type { Service } from "@pilothouse/api/types/core-v1";
import type { ApiResponse } from "@pilothouse/api/http";
import { badRequest, conflict, invalid, notFound, OBJECT_MODIFIED } from "@pilothouse/errors";
import type { ApiObject, KindDefinition } from "@pilothouse/kinds/kind";
import { keepServerMeta, validateObjectMetaUpdate } from "@pilothouse/kinds/meta";
import { isReadyToGo, wholeSeconds } from "../core/delete-rules.ts";
import type { RequestContext, StoredObject } from "../core/model.ts";
import { writeOptionsOf, type WriteOptions } from "../core/options.ts";
import { recordUpdate } from "../core/ownership.ts";
import { applyPatch, patchTypeOf } from "../core/patch-request.ts";
import { sameStoredObject } from "../core/stored.ts";
import { canonical, decodeBody } from "../core/wire.ts";
import { judgeNodeWrite } from "./admit.ts";
import type { Reservation } from "./allocate.ts";
import { createObject, forgetDrawn, isService, placeInNamespace, writtenAnswer, type Created } from "./create.ts";
import { removeStored } from "./delete.ts";
import { AlongsideRefused } from "./object-store.ts";
import { causeOf, MAX_ATTEMPTS, type WriteDeps } from "./write-deps.ts";

/** Kinds whose PUT creates what does not exist, as upstream has it. */
const CREATE_ON_UPDATE: readonly string[] = [
  "endpoints",
  "events",
  "leases",
  "limitranges",
  "roles",
  "rolebindings",
  "clusterroles",
  "clusterrolebindings",
  "services",
];

/** Kinds whose PUT must name a resourceVersion. */
const VERSION_REQUIRED: readonly string[] = ["endpointslices", "poddisruptionbudgets", "csistoragecapacities"];

export async function update(deps: WriteDeps, context: RequestContext, kind: KindDefinition): Promise<ApiResponse> {
  const { request, info } = context;
  const options = writeOptionsOf("UpdateOptions", request.query, request.headers["user-agent"]);
  const given = decodeBody(
    {
      body: request.body,
      contentType: request.headers["content-type"],
      wanted: kind,
      fieldValidation: options.fieldValidation,
    },
    context.warn,
  );
  if (given.metadata.name && given.metadata.name !== info.name) {
    throw badRequest(
      `the name of the object (${given.metadata.name}) does not match the name on the URL (${info.name})`,
    );
  }
  given.metadata.name = info.name;
  placeInNamespace(kind, given, info.namespace);
  const changed = await change(deps, context, kind, {
    options,
    next: () => structuredCopy(given),
    mayCreate: info.subresource === "" && CREATE_ON_UPDATE.includes(kind.resource),
    needsVersion: VERSION_REQUIRED.includes(kind.resource),
  });
  return writtenAnswer(deps, context, kind, changed.created ? 201 : 200, changed);
}

export async function patch(deps: WriteDeps, context: RequestContext, kind: KindDefinition): Promise<ApiResponse> {
  const { request, info } = context;
  const options = writeOptionsOf("PatchOptions", request.query, request.headers["user-agent"]);
  const type = patchTypeOf(request.headers["content-type"]);
  if (type !== "apply" && options.force !== undefined) {
    const detail = "may not be specified for non-apply patch";
    throw invalid({ group: "meta.k8s.io", kind: "PatchOptions" }, "", [
      { type: "FieldValueForbidden", field: "force", detail },
    ]);
  }
  if (type === "apply" && !request.query.get("fieldManager")) {
    const detail = "is required for apply patch";
    throw invalid({ group: "meta.k8s.io", kind: "PatchOptions" }, "", [
      { type: "FieldValueRequired", field: "fieldManager", detail },
    ]);
  }
  const write = { type, body: request.body, kind, options, subresource: info.subresource };
  const changed = await change(deps, context, kind, {
    options,
    next: (old) => applyPatch(write, old, wholeSeconds(deps.time.clock.now()), context.warn),
    // Server-side apply of what does not exist creates it.
    ...(type === "apply" && info.subresource === ""
      ? {
          mayCreate: true,
          fresh: () =>
            applyPatch(write, undefined, wholeSeconds(deps.time.clock.now()), context.warn, {
              name: info.name,
              ...(kind.namespaced ? { namespace: info.namespace } : {}),
            }),
        }
      : {}),
    isApplied: type === "apply",
  });
  return writtenAnswer(deps, context, kind, changed.created ? 201 : 200, changed);
}

export interface Change {
  readonly options: WriteOptions;
  /** The object wanted, given the one there is; called again after a lost race. A fresh copy each time. */
  next(old: ApiObject): ApiObject;
  /** The object does not exist: create it (from `fresh`, or from `next`'s answer) instead of 404. */
  readonly mayCreate?: boolean;
  fresh?(): ApiObject;
  /** An object without resourceVersion is refused. */
  readonly needsVersion?: boolean;
  /** Ownership is already recorded in what `next` returns (server-side apply). */
  readonly isApplied?: boolean;
  /** `next` changes what only the server may: the kind's rules of an update by users are passed over (binding, finalize). */
  readonly isServerOwn?: boolean;
}

export interface Changed extends Created {
  readonly created: boolean;
}

/** Runs one read-change-write to its end. */
export async function change(
  deps: WriteDeps,
  context: RequestContext,
  kind: KindDefinition,
  wish: Change,
): Promise<Changed> {
  const namespace = kind.namespaced ? context.info.namespace : "";
  const { name } = context.info;
  const drawnInVain = new Set<string>();
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
    const stored = await deps.objects.read(kind, namespace, name);
    if (!stored) {
      const created = await createInstead(deps, context, kind, wish);
      if (created) return created;
      continue;
    }
    const object = wish.next(structuredCopy(stored.object));
    judgePreconditions(kind, object, stored, wish);
    await completeUpdate(deps, context, kind, object, stored.object, wish);
    const outcome = await write(deps, context, kind, object, stored, wish, drawnInVain);
    if (outcome) return { ...outcome, created: false };
  }
  throw conflict(kind, name, OBJECT_MODIFIED);
}

/** Undefined when somebody else has created it meanwhile. */
async function createInstead(
  deps: WriteDeps,
  context: RequestContext,
  kind: KindDefinition,
  wish: Change,
): Promise<Changed | undefined> {
  const { name } = context.info;
  if (!wish.mayCreate) throw notFound(kind, name);
  const object = wish.fresh ? wish.fresh() : wish.next({ metadata: {} });
  if (object.metadata.uid) {
    const found = `Precondition failed: UID in precondition: ${object.metadata.uid}, UID in object meta: `;
    throw conflict(kind, name, found);
  }
  if (object.metadata.resourceVersion) throw notFound(kind, name);
  try {
    return { ...(await createObject(deps, context, kind, object, optionsOf(wish))), created: true };
  } catch (error) {
    if (isAlreadyThere(error)) return undefined;
    throw error;
  }
}

function optionsOf({ options, isApplied = false }: Change) {
  return { dryRun: options.dryRun, fieldManager: options.fieldManager, isApplied };
}

function judgePreconditions(kind: KindDefinition, object: ApiObject, stored: StoredObject, wish: Change): void {
  const { resourceVersion, uid, name = "" } = object.metadata;
  if (uid && uid !== stored.object.metadata.uid) {
    throw conflict(
      kind,
      name,
      `Precondition failed: UID in precondition: ${uid}, UID in object meta: ${stored.object.metadata.uid ?? ""}`,
    );
  }
  if (resourceVersion && resourceVersion !== "0") {
    if (resourceVersion !== String(stored.revision)) throw conflict(kind, name, OBJECT_MODIFIED);
  } else if (wish.needsVersion) {
    const detail = "must be specified for an update";
    throw invalid(kind, name, [{ type: "FieldValueInvalid", field: "metadata.resourceVersion", value: 0, detail }]);
  }
}

/** The server's part of an update, and its judgement; in place. */
async function completeUpdate(
  deps: WriteDeps,
  context: RequestContext,
  kind: KindDefinition,
  object: ApiObject,
  old: ApiObject,
  wish: Change,
): Promise<void> {
  const { subresource } = context.info;
  if (!object.metadata.managedFields && old.metadata.managedFields) {
    object.metadata.managedFields = structuredCopy(old.metadata.managedFields);
  }
  object.kind = old.kind ?? kind.kind;
  delete object.metadata.resourceVersion;
  keepServerMeta(object.metadata, old.metadata);
  kind.defaults?.(object);
  if (subresource === "status") kind.prepareForStatusUpdate?.(object, old);
  else if (!wish.isServerOwn) kind.prepareForUpdate?.(object, old);
  judgeNodeWrite(context, kind, object, old);
  if (!wish.isApplied) {
    const time = wholeSeconds(deps.time.clock.now());
    recordUpdate(object, old, { kind, manager: wish.options.fieldManager, subresource, time });
  }
  if (wish.isServerOwn) return;
  const special = subresource === "status" ? kind.validateStatusUpdate : kind.validateUpdate;
  const errors = [
    ...validateObjectMetaUpdate(object, old),
    ...(subresource === "status" ? [] : (kind.validate?.(object) ?? [])),
    ...(special?.(object, old) ?? []),
  ];
  if (errors.length > 0) throw invalid(kind, object.metadata.name ?? "", errors);
  if (subresource === "") {
    kind.warnings?.(object, old).forEach(context.warn);
    await deps.judgeEscalation(context, kind, object);
  }
}

/** Undefined after a lost race that is worth another round. */
async function write(
  deps: WriteDeps,
  context: RequestContext,
  kind: KindDefinition,
  object: ApiObject,
  stored: StoredObject,
  { options }: Change,
  drawnInVain: Set<string>,
): Promise<Created | undefined> {
  const reservation = await reserve(deps, kind, object, stored.object, drawnInVain);
  const ready = canonical(object, kind);
  if (sameStoredObject(stored.object, ready) && !stored.foreign) return stored;
  if (options.dryRun) {
    ready.metadata.resourceVersion = String(stored.revision);
    return { object: ready };
  }
  if (isReadyToGo(kind, ready)) {
    const removed = await removeStored(deps, context, kind, { ...stored, object: ready });
    return removed
      ? { object: { ...ready, metadata: { ...ready.metadata, resourceVersion: String(stored.revision) } } }
      : undefined;
  }
  try {
    return await deps.objects.replace(kind, ready, stored.revision, {
      ...causeOf(context),
      alongside: reservation?.alongside,
    });
  } catch (error) {
    if (!(error instanceof AlongsideRefused)) throw error;
    const refusal = reservation?.refusal(error.key);
    if (refusal) throw refusal;
    drawnInVain.add(error.key);
    return undefined;
  }
}

async function reserve(
  deps: WriteDeps,
  kind: KindDefinition,
  object: ApiObject,
  old: ApiObject,
  drawnInVain: ReadonlySet<string>,
): Promise<Reservation | undefined> {
  if (!isService(kind)) return undefined;
  for (const key of drawnInVain) forgetDrawn(object as unknown as Service, key);
  return deps.allocations.reserve(object as unknown as Service, old as unknown as Service);
}

function isAlreadyThere(error: unknown): boolean {
  return error instanceof Error && "reason" in error && error.reason === "AlreadyExists";
}

function structuredCopy<T>(value: T): T {
  return JSON.parse(JSON.stringify(value)) as T;
}
