/** DELETE of one object and of collections. */
import type { ApiResponse } from "@pilothouse/api/http";
import type { Service } from "@pilothouse/api/types/core-v1";
import type { DeleteOptions } from "@pilothouse/api/types/meta-v1";
import { forbidden, notFound } from "@pilothouse/errors";
import type { ApiObject, KindDefinition } from "@pilothouse/kinds/kind";
import { SYSTEM_PRIORITY_CLASSES } from "@pilothouse/kinds/scheduling/priority-class";
import { checkDeleteOptions, deleteWarning, planDelete, preconditionProblem } from "../../core/delete-rules.ts";
import type { ObjectStore, RequestContext, StoredObject } from "../../core/model.ts";
import { deleteOptionsOfQuery } from "../../core/options.ts";
import { selectionOf } from "../../core/select.ts";
import { encodeObject } from "../../core/stored/stored.ts";
import { apiVersionOf, decodeBody, objectAnswer } from "../../core/wire.ts";
import { known } from "../../registry/known.ts";
import { isService, writtenAnswer } from "./create.ts";
import { together, type Alongside } from "./beside.ts";
import { AlongsideRefused } from "./object-store.ts";
import { ended, writeFromOrigin, type WriteEnd } from "./origin.ts";
import { causeOf, type WriteDeps } from "./write-deps.ts";

const STATUS_KIND = { group: "", version: "v1", kind: "Status" } as const;
const DELETE_OPTIONS = { group: "", version: "v1", kind: "DeleteOptions" } as const;

interface Immortal {
  readonly names: readonly string[];
  /** The words of the refusal. */
  readonly why: string;
}

/** What every cluster needs. */
const IMMORTAL: ReadonlyMap<KindDefinition, Immortal> = new Map([
  [
    known.namespaces.kind,
    { names: ["default", "kube-system", "kube-public"], why: "this namespace may not be deleted" },
  ],
  [
    known.priorityClasses.kind,
    {
      names: SYSTEM_PRIORITY_CLASSES.map(({ metadata }) => metadata.name ?? ""),
      why: "this is a system priority class and cannot be deleted",
    },
  ],
]);

export async function deleteOne(deps: WriteDeps, context: RequestContext, kind: KindDefinition): Promise<ApiResponse> {
  const { request, info } = context;
  const options = deleteOptionsOf(context, kind);
  const namespace = kind.namespaced ? info.namespace : "";
  const immortal = IMMORTAL.get(kind);
  if (immortal?.names.includes(info.name)) throw forbidden(kind, info.name, immortal.why);
  const result = await deleteObject(deps, context, kind, namespace, info.name, options);
  const accept = request.headers["accept"];
  if (result.gone) return objectAnswer(accept, 200, goneStatus(kind, result.object), STATUS_KIND);
  const status = options.orphanDependents === false ? 202 : 200;
  return writtenAnswer(deps, context, kind, status, result);
}

export interface Deleted {
  /** False while finalizers or grace keep it. */
  readonly gone: boolean;
  readonly object: ApiObject;
}

/** What belongs to a delete beside the object's end. */
export interface Guarded {
  /** Written in the same transaction; when its compares fail, the delete is judged anew. */
  readonly alongside?: Alongside;
  /** Changes an object that is only marked. In place. */
  readonly mark?: (object: ApiObject) => void;
}

/** Judges a delete by the object as it is; throws what refuses it. */
export type Guard = (object: ApiObject) => Promise<Guarded>;

/** Deletes or marks one object. Throws 404, 409 when its preconditions do not hold, and what `guard` throws. */
export function deleteObject(
  deps: WriteDeps,
  context: RequestContext,
  kind: KindDefinition,
  namespace: string,
  name: string,
  options: DeleteOptions,
  guard: Guard = () => Promise.resolve({}),
): Promise<Deleted> {
  const isDryRun = (options.dryRun ?? []).length > 0;
  return writeFromOrigin<Deleted>(deps, context, { kind, namespace, name }, async (stored) => {
    if (!stored) throw notFound(kind, name);
    const deletion = { operation: "DELETE", context, kind, object: undefined, old: stored.object, isDryRun } as const;
    await deps.admission.admit(deletion);
    await deps.admission.validate(deletion);
    const problem = preconditionProblem(kind, stored.object, options);
    if (problem) throw problem;
    const { alongside, mark } = await guard(stored.object);
    const cause = { ...causeOf(context), alongside };
    const plan = planDelete(kind, stored.object, options, deps.time.clock.now());
    if (plan.action === "pending") return { kind: "tell", answer: { gone: false, object: stored.object } };
    if (plan.action === "remove") {
      const gone = { gone: true, object: stored.object };
      if (isDryRun) return { kind: "tell", answer: gone };
      return {
        kind: "write",
        run: () =>
          unlessOvertaken(deps, context, async () =>
            ended(await removeStored(deps, context, kind, stored, alongside), () => gone),
          ),
      };
    }
    mark?.(plan.object);
    const marked = encodeObject(plan.object);
    if (isDryRun) return { kind: "tell", answer: { gone: false, object: marked.object } };
    return {
      kind: "write",
      run: () =>
        unlessOvertaken(deps, context, async () => {
          const outcome = await deps.objects.replace(kind, marked, stored.revision, cause);
          return ended(outcome, ({ object }) => ({ gone: false, object }));
        }),
    };
  });
}

/** Somebody changed what was to be written beside the object: that is looked at again, as it is now. */
export async function unlessOvertaken<T>(
  { cached }: Pick<WriteDeps, "cached">,
  { request }: RequestContext,
  write: () => Promise<WriteEnd<T>>,
): Promise<WriteEnd<T>> {
  try {
    return await write();
  } catch (error) {
    if (!(error instanceof AlongsideRefused)) throw error;
    await cached.cache.waitUntilCurrent(request.signal);
    return { kind: "lost" };
  }
}

/** Takes the key away together with what the object holds. */
export function removeStored(
  deps: WriteDeps,
  context: RequestContext,
  kind: KindDefinition,
  { object, revision }: Pick<StoredObject, "object" | "revision">,
  more?: Alongside,
): ReturnType<ObjectStore["remove"]> {
  const { namespace = "", name = "" } = object.metadata;
  const cause = causeOf(context);
  const held = isService(kind) ? deps.allocations.release(object as unknown as Service, cause) : undefined;
  return deps.objects.remove(kind, namespace, name, revision, { ...cause, alongside: together(held, more) });
}

export async function deleteCollection(
  deps: WriteDeps,
  context: RequestContext,
  kind: KindDefinition,
): Promise<ApiResponse> {
  const { request, info } = context;
  const options = deleteOptionsOf(context, kind);
  const asked = context.kind ?? kind;
  const selection = selectionOf(asked, request.query);
  await deps.cached.cache.waitUntilCurrent(request.signal);
  const { entries, revision } = deps.cached.cache.list(kind, kind.namespaced ? info.namespace : "");
  const items: ApiObject[] = [];
  for (const entry of entries) {
    if (!selection.matches(entry)) continue;
    const before = deps.cached.parsed<ApiObject>({ kind }, entry);
    try {
      const { object } = await deleteObject(deps, context, kind, entry.namespace, entry.name, options);
      items.push(object);
    } catch (error) {
      if (isGoneAlready(error)) items.push(before);
      else throw error;
    }
  }
  const list = {
    kind: `${asked.kind}List`,
    apiVersion: apiVersionOf(asked),
    metadata: { resourceVersion: String(revision) },
    items: asked.view ? items.map(asked.view.fromStored) : items,
  };
  return objectAnswer(request.headers["accept"], 200, list, { ...asked, kind: `${asked.kind}List` });
}

/** The options come in the body, of any group and without a kind, or else in the query (wire trap 23). */
function deleteOptionsOf({ request, warn }: RequestContext, kind: KindDefinition): DeleteOptions {
  const options =
    request.body.length === 0
      ? deleteOptionsOfQuery(request.query)
      : (decodeBody(
          {
            body: request.body,
            contentType: request.headers["content-type"],
            wanted: DELETE_OPTIONS,
            fieldValidation: "Ignore",
            anyVersion: true,
          },
          warn,
        ) as DeleteOptions);
  checkDeleteOptions(options);
  const warning = deleteWarning(kind, options);
  if (warning !== undefined) warn(warning);
  return options;
}

function goneStatus(kind: KindDefinition, { metadata }: ApiObject): object {
  return {
    kind: "Status",
    apiVersion: "v1",
    metadata: {},
    status: "Success",
    details: {
      ...(metadata.name === undefined ? {} : { name: metadata.name }),
      ...(kind.group === "" ? {} : { group: kind.group }),
      kind: kind.resource,
      ...(metadata.uid === undefined ? {} : { uid: metadata.uid }),
    },
  };
}

function isGoneAlready(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === 404;
}
