/** Creates: from a body to one transaction. */
import type { Service } from "@pilothouse/api/types/core-v1";
import type { ApiResponse } from "@pilothouse/api/http";
import type { Steps } from "@pilothouse/api/steps";
import {
  alreadyExists,
  badRequest,
  conflict,
  invalid,
  isStatus,
  OBJECT_MODIFIED,
  StatusError,
} from "@pilothouse/errors";
import type { ApiObject, KindDefinition } from "@pilothouse/kinds/kind";
import { validateObjectMeta } from "@pilothouse/kinds/meta";
import { wholeSeconds } from "../../core/delete-rules.ts";
import { formOf } from "../../core/forms/forms.ts";
import type { RequestContext, StoredObject, WriteCause } from "../../core/model.ts";
import { generatedName } from "../../core/names.ts";
import { writeOptionsOf, type WriteOptions } from "../../core/options.ts";
import { recordUpdate } from "../../core/ownership.ts";
import { encodeObjectInSteps } from "../../core/stored/stored.ts";
import { inSteps, paceOf, type Pace } from "../pace.ts";
import { decodeBodyInSteps, withoutZeros } from "../../core/wire.ts";
import { requestProblems } from "../access/certificate-requests.ts";
import { admitIntoNamespace } from "./namespace-gate.ts";
import { AlongsideRefused, NamespaceChanged } from "./object-store.ts";
import { causeOf, MAX_ATTEMPTS, type WriteDeps } from "./write-deps.ts";
import type { Reservation } from "./allocate.ts";
import { together } from "./beside.ts";

export async function create(deps: WriteDeps, context: RequestContext, kind: KindDefinition): Promise<ApiResponse> {
  const { request, span } = context;
  const options = writeOptionsOf("CreateOptions", request.query, request.headers["user-agent"]);
  const pace = paceOf(deps.time.clock);
  const object = await inSteps(decodeStored(context, kind, options, context.warn), pace);
  await pace();
  const stored = await createObject(deps, context, kind, object, options);
  // The path of a create has no name, and a trace is asked for by its object's.
  span.set({ "k8s.name": stored.object.metadata.name ?? "" });
  return writtenAnswer(deps, context, kind, 201, stored);
}

/** The object of a body, in the shape in which it is stored, whichever version it came in. */
export function* decodeStored(
  { request, kind: asked }: RequestContext,
  kind: KindDefinition,
  { fieldValidation }: Pick<WriteOptions, "fieldValidation">,
  warn: RequestContext["warn"],
): Steps<ApiObject> {
  const contentType = request.headers["content-type"];
  const body = { body: request.body, contentType, wanted: asked ?? kind, fieldValidation };
  const object = yield* decodeBodyInSteps(body, warn);
  return asked?.view?.toStored(object) ?? object;
}

/** A written object in the form the client accepts: plain, metadata only, or as a table (wire trap 18). */
export function writtenAnswer(
  { time }: WriteDeps,
  { request, kind: asked }: RequestContext,
  kind: KindDefinition,
  status: number,
  { object, bytes }: Created,
): ApiResponse {
  const form = formOf(asked ?? kind, request.headers["accept"], request.query, "get", time.clock.now());
  const shown = { bytes: bytes ?? Buffer.from(JSON.stringify(object)) };
  return { status, headers: { "content-type": form.contentType }, body: form.object(shown) };
}

/** What a create leaves: the stored object, or with dryRun the object as it would be. */
export type Created = Pick<StoredObject, "object"> & { readonly bytes?: Uint8Array };

export interface CreateOptions extends Pick<WriteOptions, "dryRun" | "fieldManager"> {
  /** Ownership is already recorded (server-side apply). */
  readonly isApplied?: boolean;
}

/** Admits, completes, validates and stores a decoded object, which is changed in place. */
export async function createObject(
  deps: WriteDeps,
  context: RequestContext,
  kind: KindDefinition,
  object: ApiObject,
  options: CreateOptions,
): Promise<Created> {
  const { time } = deps;
  const pace = paceOf(time.clock);
  placeInNamespace(kind, object, context.info.namespace);
  if (object.metadata.resourceVersion) {
    throw new StatusError(500, "InternalError", "resourceVersion should not be set on objects to be created");
  }
  const { generateName } = object.metadata;
  const isGenerated = !object.metadata.name && generateName !== undefined && generateName !== "";
  if (isGenerated) object.metadata.name = generatedName(generateName, time.random);

  const namespaceOf = (): Promise<WriteCause["namespaceRevision"]> =>
    admitIntoNamespace(
      deps.cached,
      kind,
      object.metadata.namespace ?? "",
      object.metadata.name ?? "",
      context.request.signal,
    );
  let namespaceRevision = await namespaceOf();
  withoutZeros(object, kind);
  kind.defaults?.(object);
  const admitted = { operation: "CREATE", context, kind, object, old: undefined, isDryRun: options.dryRun } as const;
  await deps.admission.admit(admitted);
  await pace();
  await complete(deps, kind, object, options, pace);
  await pace();
  judge(context, kind, object);
  await pace();
  await deps.judgeEscalation(context, kind, object);
  await deps.admission.validate(admitted);

  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
    const reservation = await reserve(deps, context, kind, object);
    const ready = await inSteps(encodeObjectInSteps(object), pace);
    await pace();
    if (options.dryRun) {
      await deps.charges.check(admitted);
      await refuseExisting(deps, kind, ready.object);
      return { object: ready.object };
    }
    try {
      const cause = { ...causeOf(context), namespaceRevision };
      return await deps.charges.charged(
        admitted,
        (charge) => deps.objects.create(kind, ready, { ...cause, alongside: together(reservation?.alongside, charge) }),
        ({ revision }) => revision,
      );
    } catch (error) {
      if (isGenerated && isStatus(error, "AlreadyExists")) {
        const taken = object.metadata.name ?? "";
        object.metadata.name = generatedName(generateName, time.random);
        kind.renamed?.(object, taken);
      } else if (error instanceof NamespaceChanged) {
        await deps.cached.cache.waitUntilCurrent(context.request.signal);
        namespaceRevision = await namespaceOf();
      } else if (error instanceof AlongsideRefused) {
        const refusal = reservation?.refusal(error.key);
        if (refusal) throw refusal;
        // Somebody else was faster, or a range is not as the cache has it.
        reservation?.forget();
        await deps.cached.cache.waitUntilCurrent(context.request.signal);
      } else throw error;
    }
  }
  throw conflict(kind, object.metadata.name ?? "", OBJECT_MODIFIED);
}

/** The namespace of the path is the object's; another one in the body is an error. */
export function placeInNamespace(kind: KindDefinition, object: ApiObject, namespace: string): void {
  if (!kind.namespaced) {
    if (object.metadata.namespace === "") delete object.metadata.namespace;
    return;
  }
  if (object.metadata.namespace && object.metadata.namespace !== namespace) {
    throw badRequest("the namespace of the provided object does not match the namespace sent on the request");
  }
  object.metadata.namespace = namespace;
}

/** The server's own part of a new object. */
async function complete(
  { time }: WriteDeps,
  kind: KindDefinition,
  object: ApiObject,
  options: CreateOptions,
  pace: Pace,
): Promise<void> {
  const { metadata } = object;
  const now = wholeSeconds(time.clock.now());
  for (const field of ["deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "resourceVersion"] as const) {
    delete metadata[field];
  }
  metadata.uid = time.ids.uuid();
  metadata.creationTimestamp = now;
  kind.prepareForCreate?.(object);
  if (options.isApplied) return;
  delete metadata.managedFields;
  const write = { kind, manager: options.fieldManager, subresource: "", time: now };
  await inSteps(recordUpdate(object, undefined, write), pace);
}

function judge(context: RequestContext, kind: KindDefinition, object: ApiObject): void {
  const errors = [
    ...validateObjectMeta(kind, object),
    ...requestProblems(kind, object),
    ...(kind.validate?.(object) ?? []),
    ...(kind.validateCreate?.(object) ?? []),
    ...(context.kind?.view?.validate?.(object) ?? []),
  ];
  if (errors.length > 0) throw invalid(kind, object.metadata.name ?? "", errors);
  kind.warnings?.(object, undefined).forEach(context.warn);
}

async function reserve(
  deps: WriteDeps,
  context: RequestContext,
  kind: KindDefinition,
  object: ApiObject,
): Promise<Reservation | undefined> {
  if (!isService(kind)) return undefined;
  return deps.allocations.reserve(object as unknown as Service, undefined, causeOf(context));
}

export function isService(kind: KindDefinition): boolean {
  return kind.group === "" && kind.resource === "services";
}

async function refuseExisting(deps: WriteDeps, kind: KindDefinition, object: ApiObject): Promise<void> {
  const { namespace = "", name = "" } = object.metadata;
  if (await deps.objects.read(kind, namespace, name)) throw alreadyExists(kind, name);
}
