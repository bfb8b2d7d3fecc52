/** PUT and PATCH of an object and of its subresources: change, judge and write what `writeFromOrigin` starts from. */
import type { Service } from "@pilothouse/api/types/core-v1";
import type { ApiResponse } from "@pilothouse/api/http";
import {
  badRequest,
  conflict,
  invalid,
  isStatus,
  notFound,
  OBJECT_MODIFIED,
  type StatusError,
} from "@pilothouse/errors";
import type { ApiObject, KindDefinition } from "@pilothouse/kinds/kind";
import { keepServerMeta, validateObjectMetaUpdate } from "@pilothouse/kinds/meta";
import { isReadyToGo, wholeSeconds } from "../../core/delete-rules.ts";
import type { EncodedObject, RequestContext, StoredObject } from "../../core/model.ts";
import { writeOptionsOf, type WriteOptions } from "../../core/options.ts";
import { recordUpdate } from "../../core/ownership.ts";
import { applyPatch, judgePatchOptions, patchTypeOf } from "../../core/patch-request.ts";
import { encodeObjectInSteps, isUnchanged, storedAt } from "../../core/stored/stored.ts";
import { withoutZeros } from "../../core/wire.ts";
import { inSteps, paceOf, type Pace } from "../pace.ts";
import { certificateProblems } from "../access/certificate-requests.ts";
import type { Reservation } from "./allocate.ts";
import { together } from "./beside.ts";
import { createObject, decodeStored, isService, placeInNamespace, writtenAnswer, type Created } from "./create.ts";
import { removeStored, unlessOvertaken } from "./delete.ts";
import { AlongsideRefused } from "./object-store.ts";
import { ended, objectOf, writeFromOrigin, type Decision, type WriteEnd } from "./origin.ts";
import { causeOf, type WriteDeps } from "./write-deps.ts";

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
  const pace = paceOf(deps.time.clock);
  const decoded = async (warn: RequestContext["warn"]): Promise<ApiObject> =>
    placed(await inSteps(decodeStored(context, kind, options, warn), pace), context, kind);
  // An attempt changes what it takes: the first takes what was judged here, a further one decodes anew.
  let first: ApiObject | undefined = await decoded(context.warn);
  await pace();
  const changed = await change(deps, context, kind, {
    options,
    next: () => {
      const given = first ?? decoded(ignored);
      first = undefined;
      return given;
    },
    mayCreate: info.subresource === "" && CREATE_ON_UPDATE.includes(kind.resource),
    needsVersion: VERSION_REQUIRED.includes(kind.resource),
  });
  return writtenAnswer(deps, context, kind, changed.created ? 201 : 200, changed);
}

const ignored = (): void => undefined;

/** The object that is to be is that of the path: nothing is renamed. In place. */
function placed(given: ApiObject, { info }: RequestContext, kind: KindDefinition): ApiObject {
  const { name } = given.metadata;
  if (name && name !== info.name) {
    throw badRequest(`the name of the object (${name}) does not match the name on the URL (${info.name})`);
  }
  given.metadata.name = info.name;
  placeInNamespace(kind, given, info.namespace);
  return given;
}

export async function patch(deps: WriteDeps, context: RequestContext, kind: KindDefinition): Promise<ApiResponse> {
  const { request, info } = context;
  const options = writeOptionsOf("PatchOptions", request.query, request.headers["user-agent"]);
  const type = patchTypeOf(request.headers["content-type"]);
  judgePatchOptions(type, options, request.query);
  const asked = context.kind ?? kind;
  const write = { type, body: request.body, kind: asked, options, subresource: info.subresource };
  const pace = paceOf(deps.time.clock);
  const patched = async (old: (() => ApiObject) | undefined, warn: RequestContext["warn"]): Promise<ApiObject> => {
    const time = wholeSeconds(deps.time.clock.now());
    return placed(await inSteps(applyPatch(write, old, time, warn), pace), context, kind);
  };
  const changed = await change(deps, context, kind, {
    options,
    next: patched,
    // Server-side apply of what does not exist creates it.
    ...(type === "apply" && info.subresource === ""
      ? { mayCreate: true, fresh: (warn) => patched(undefined, warn) }
      : {}),
    isApplied: type === "apply",
  });
  return writtenAnswer(deps, context, kind, changed.created ? 201 : 200, changed);
}

export interface Change {
  readonly options: WriteOptions;
  /** The object wanted; called again after a lost race. A fresh tree each time, and `old` makes a fresh one of what there is. */
  next(old: () => ApiObject, warn: RequestContext["warn"]): ApiObject | Promise<ApiObject>;
  /** The object does not exist: create it (from `fresh`, or from `next`'s answer) instead of 404. */
  readonly mayCreate?: boolean;
  fresh?(warn: RequestContext["warn"]): ApiObject | Promise<ApiObject>;
  /** An object without resourceVersion is refused. */
  readonly needsVersion?: boolean;
  /** Ownership is already recorded in what `next` returns (server-side apply). */
  readonly isApplied?: boolean;
  /** `next` changes what only the server may: the kind's rules of an update by users are passed over (binding, finalize). */
  readonly isServerOwn?: boolean;
  /** Nobody comes to own what it changes, as with upstream's binding of a pod. */
  readonly isUntracked?: boolean;
}

export interface Changed extends Created {
  readonly created: boolean;
}

/** Runs one change of an object to its end. */
export function change(deps: WriteDeps, context: RequestContext, kind: KindDefinition, wish: Change): Promise<Changed> {
  const namespace = kind.namespaced ? context.info.namespace : "";
  const pace = paceOf(deps.time.clock);
  return writeFromOrigin<Changed>(
    deps,
    context,
    { kind, namespace, name: context.info.name },
    async (stored, heard) => {
      if (!stored) return createInstead(deps, heard, kind, wish);
      const object = await wish.next(() => objectOf(stored.bytes), heard.warn);
      await pace();
      judgePreconditions(kind, object, stored, wish);
      await completeUpdate(deps, heard, kind, object, stored.object, wish, pace);
      await pace();
      const reservation = await reserve(deps, heard, kind, object, stored.object);
      const ready = await inSteps(encodeObjectInSteps(object), pace);
      await pace();
      if (wish.options.dryRun) await deps.charges.check(chargeable(heard, kind, ready, stored));
      return decideWrite(deps, heard, kind, { wish, stored, ready, reservation });
    },
  );
}

async function createInstead(
  deps: WriteDeps,
  context: RequestContext,
  kind: KindDefinition,
  wish: Change,
): Promise<Decision<Changed>> {
  const { name } = context.info;
  if (!wish.mayCreate) throw notFound(kind, name);
  const object = await (wish.fresh ? wish.fresh(context.warn) : wish.next(() => ({ metadata: {} }), context.warn));
  if (object.metadata.uid) {
    const found = `Precondition failed: UID in precondition: ${object.metadata.uid}, UID in object meta: `;
    throw conflict(kind, name, found);
  }
  if (object.metadata.resourceVersion) throw notFound(kind, name);
  return {
    kind: "write",
    run: async () => {
      try {
        const created = await createObject(deps, context, kind, object, optionsOf(wish));
        return { kind: "done", answer: { ...created, created: true } };
      } catch (error) {
        if (isStatus(error, "AlreadyExists")) return { kind: "lost" };
        throw error;
      }
    },
  };
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
  pace: Pace,
): Promise<void> {
  const { subresource } = context.info;
  if (!object.metadata.managedFields && old.metadata.managedFields) {
    object.metadata.managedFields = old.metadata.managedFields;
  }
  object.kind = old.kind ?? kind.kind;
  delete object.metadata.resourceVersion;
  keepServerMeta(object.metadata, old.metadata);
  withoutZeros(object, kind);
  kind.defaults?.(object);
  const now = wholeSeconds(deps.time.clock.now());
  if (subresource === "status") kind.prepareForStatusUpdate?.(object, old, now);
  else if (subresource === "approval") kind.prepareForApprovalUpdate?.(object, old, now);
  else if (kind.subresourceUpdates?.[subresource]) kind.subresourceUpdates[subresource].prepare(object, old);
  else if (!wish.isServerOwn) kind.prepareForUpdate?.(object, old);
  const { dryRun: isDryRun } = wish.options;
  const admitted = { operation: "UPDATE", context, kind, object, old, isDryRun } as const;
  await deps.admission.admit(admitted);
  await deps.judgeSigner(context, kind, object, old);
  if (!wish.isApplied && !wish.isUntracked) {
    await inSteps(
      recordUpdate(object, old, { kind, manager: wish.options.fieldManager, subresource, time: now }),
      pace,
    );
    await pace();
  }
  if (!wish.isServerOwn) await judgeUpdate(deps, context, kind, object, old);
  await deps.admission.validate(admitted);
}

async function judgeUpdate(
  deps: WriteDeps,
  context: RequestContext,
  kind: KindDefinition,
  object: ApiObject,
  old: ApiObject,
): Promise<void> {
  const { subresource } = context.info;
  const special =
    { status: kind.validateStatusUpdate, approval: kind.validateApprovalUpdate }[subresource] ??
    kind.subresourceUpdates?.[subresource]?.validate ??
    kind.validateUpdate;
  const errors = [
    ...validateObjectMetaUpdate(object, old),
    ...(subresource === "status" ? [] : (kind.validate?.(object) ?? [])),
    ...(special?.(object, old) ?? []),
    ...(subresource === "" ? (context.kind?.view?.validateUpdate?.(object, old) ?? []) : []),
    ...(subresource === "status" ? certificateProblems(kind, object, old) : []),
  ];
  if (errors.length > 0) throw invalid(kind, object.metadata.name ?? "", errors);
  if (subresource === "") {
    kind.warnings?.(object, old).forEach(context.warn);
    await deps.judgeEscalation(context, kind, object);
  }
}

interface Prepared {
  readonly wish: Change;
  readonly stored: StoredObject;
  readonly ready: EncodedObject;
  readonly reservation: Reservation | undefined;
}

function decideWrite(
  deps: WriteDeps,
  context: RequestContext,
  kind: KindDefinition,
  prepared: Prepared,
): Decision<Changed> {
  const { wish, stored, ready } = prepared;
  if (isUnchanged(stored, ready)) return { kind: "tell", answer: { ...stored, created: false } };
  const asStored = (): Changed => ({ object: storedAt(ready, stored.revision).object, created: false });
  if (wish.options.dryRun) return { kind: "tell", answer: asStored() };
  if (!isReadyToGo(kind, ready.object)) return { kind: "write", run: () => replace(deps, context, kind, prepared) };
  return {
    kind: "write",
    run: () =>
      unlessOvertaken(deps, context, async () => {
        const last = { object: ready.object, revision: stored.revision };
        return ended(await removeStored(deps, context, kind, last), asStored);
      }),
  };
}

async function replace(
  deps: WriteDeps,
  context: RequestContext,
  kind: KindDefinition,
  { stored, ready, reservation }: Prepared,
): Promise<WriteEnd<Changed>> {
  try {
    const outcome = await deps.charges.charged(
      chargeable(context, kind, ready, stored),
      (charge) => {
        const alongside = together(reservation?.alongside, charge);
        return deps.objects.replace(kind, ready, stored.revision, { ...causeOf(context), alongside });
      },
      (answer) => (answer.kind === "written" ? answer.stored.revision : undefined),
    );
    return ended(outcome, (written) => ({ ...written, created: false }));
  } catch (error) {
    if (isStatus(error, "Forbidden")) return refusedByQuota(deps, kind, stored, error);
    if (!(error instanceof AlongsideRefused)) throw error;
    const refusal = reservation?.refusal(error.key);
    if (refusal) throw refusal;
    await deps.cached.cache.waitUntilCurrent(context.request.signal);
    return { kind: "lost" };
  }
}

function chargeable(context: RequestContext, kind: KindDefinition, ready: EncodedObject, stored: StoredObject) {
  return { context, kind, object: ready.object, old: stored.object };
}

/** What it costs more than before rests on what was before: a guess is no reason to refuse (C2). */
async function refusedByQuota(
  deps: WriteDeps,
  kind: KindDefinition,
  stored: StoredObject,
  refusal: StatusError,
): Promise<WriteEnd<Changed>> {
  const { namespace = "", name = "" } = stored.object.metadata;
  const found = await deps.objects.read(kind, namespace, name);
  if (found?.revision === stored.revision) throw refusal;
  return { kind: "lost", found: { kind: "read", stored: found } };
}

async function reserve(
  deps: WriteDeps,
  context: RequestContext,
  kind: KindDefinition,
  object: ApiObject,
  old: ApiObject,
): Promise<Reservation | undefined> {
  if (!isService(kind)) return undefined;
  return deps.allocations.reserve(object as unknown as Service, old as unknown as Service, causeOf(context));
}
