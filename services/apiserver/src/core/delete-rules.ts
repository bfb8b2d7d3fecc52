/** What a DELETE does to an object, by upstream's rules of graceful deletion and finalizers. Pure. */
import type { DeleteOptions } from "@pilothouse/api/types/meta-v1";
import { conflict, invalid, type FieldError, type StatusError } from "@pilothouse/errors";
import type { ApiObject, KindDefinition } from "@pilothouse/kinds/kind";

export type DeletePlan =
  /** The key goes, in this very request. */
  | { readonly action: "remove" }
  /** Deletion has begun or was hurried: this is written. */
  | { readonly action: "mark"; readonly object: ApiObject }
  /** It is being deleted already and this request changes nothing. */
  | { readonly action: "pending" };

const ORPHAN = "orphan";
const FOREGROUND = "foregroundDeletion";

export function planDelete(kind: KindDefinition, object: ApiObject, options: DeleteOptions, nowMs: number): DeletePlan {
  const { metadata } = object;
  const finalizers = finalizersAfter(kind, metadata.finalizers ?? [], options);
  const graceSeconds = graceOf(kind, object, options);
  const leftSeconds = metadata.deletionTimestamp === undefined ? undefined : (metadata.deletionGracePeriodSeconds ?? 0);
  const isHurried = leftSeconds !== undefined && graceSeconds < leftSeconds;
  const isGraceful = leftSeconds === undefined ? graceSeconds > 0 : Math.min(graceSeconds, leftSeconds) > 0;

  if (finalizers.length === 0 && !isGraceful && !hasSpecFinalizers(kind, object)) return { action: "remove" };
  const sameFinalizers = finalizers.join() === (metadata.finalizers ?? []).join();
  if (leftSeconds !== undefined && !isHurried && sameFinalizers) return { action: "pending" };

  const marked: ApiObject = { ...object, metadata: { ...metadata } };
  setFinalizers(marked, finalizers);
  if (leftSeconds === undefined || isHurried) {
    // A shorter grace counts from when the deletion was first asked for.
    const askedAtMs =
      metadata.deletionTimestamp === undefined ? nowMs : Date.parse(metadata.deletionTimestamp) - leftSeconds! * 1_000;
    marked.metadata.deletionTimestamp = wholeSeconds(askedAtMs + graceSeconds * 1_000);
    marked.metadata.deletionGracePeriodSeconds = graceSeconds;
  }
  if (leftSeconds === undefined && metadata.generation !== undefined) {
    marked.metadata.generation = metadata.generation + 1;
  }
  if (isNamespace(kind)) marked["status"] = { ...(object["status"] as object | undefined), phase: "Terminating" };
  return { action: "mark", object: marked };
}

/** True when an update took the last thing away that kept a dying object. */
export function isReadyToGo(kind: KindDefinition, object: ApiObject): boolean {
  const { deletionTimestamp, deletionGracePeriodSeconds = 0, finalizers = [] } = object.metadata;
  if (deletionTimestamp === undefined || finalizers.length > 0) return false;
  return deletionGracePeriodSeconds === 0 && !hasSpecFinalizers(kind, object);
}

/** The 409 of a delete whose preconditions do not hold. */
export function preconditionProblem(
  kind: KindDefinition,
  object: ApiObject,
  options: DeleteOptions,
): StatusError | undefined {
  const { uid, resourceVersion } = options.preconditions ?? {};
  const { name = "", uid: actualUid = "", resourceVersion: actualVersion = "" } = object.metadata;
  const failed = (what: string, wanted: string, found: string): StatusError =>
    conflict(kind, name, `Precondition failed: ${what} in precondition: ${wanted}, ${what} in object meta: ${found}`);
  if (uid !== undefined && uid !== actualUid) return failed("UID", uid, actualUid);
  if (resourceVersion !== undefined && resourceVersion !== actualVersion) {
    return failed("ResourceVersion", resourceVersion, actualVersion);
  }
  return undefined;
}

const POLICIES = ["Orphan", "Background", "Foreground"];

export function checkDeleteOptions(options: DeleteOptions): void {
  const errors: FieldError[] = [];
  const { propagationPolicy, orphanDependents, dryRun } = options;
  if (propagationPolicy !== undefined && orphanDependents !== undefined) {
    errors.push({
      type: "FieldValueInvalid",
      field: "propagationPolicy",
      value: propagationPolicy,
      detail: "orphanDependents and deletionPropagation cannot be both set",
    });
  }
  if (propagationPolicy !== undefined && !POLICIES.includes(propagationPolicy)) {
    errors.push({
      type: "FieldValueNotSupported",
      field: "propagationPolicy",
      value: propagationPolicy,
      detail: `supported values: ${[...POLICIES.toSorted(), "nil"].map((policy) => JSON.stringify(policy)).join(", ")}`,
    });
  }
  if (dryRun?.some((value) => value !== "All")) {
    errors.push({ type: "FieldValueNotSupported", field: "dryRun", value: dryRun, detail: 'supported values: "All"' });
  }
  if (errors.length > 0) throw invalid({ group: "meta.k8s.io", kind: "DeleteOptions" }, "", errors);
}

/** What a client should hear that may not know what becomes of a Job's pods. */
export function deleteWarning(kind: KindDefinition, options: DeleteOptions): string | undefined {
  const isJob = kind.group === "batch" && kind.resource === "jobs";
  if (!isJob || policyOf(options) !== undefined) return undefined;
  return (
    "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or set " +
    "propagationPolicy=Orphan to suppress this warning"
  );
}

function finalizersAfter(
  { orphansByDefault }: KindDefinition,
  finalizers: readonly string[],
  options: DeleteOptions,
): readonly string[] {
  const isDecided = finalizers.some((name) => name === ORPHAN || name === FOREGROUND);
  const policy = policyOf(options) ?? (orphansByDefault && !isDecided ? "Orphan" : undefined);
  if (policy === undefined) return finalizers;
  const kept = finalizers.filter((name) => name !== ORPHAN && name !== FOREGROUND);
  if (policy === "Orphan") return [...kept, ORPHAN];
  return policy === "Foreground" ? [...kept, FOREGROUND] : kept;
}

function policyOf({ propagationPolicy, orphanDependents }: DeleteOptions): string | undefined {
  if (orphanDependents !== undefined) return orphanDependents ? "Orphan" : "Background";
  return propagationPolicy;
}

function graceOf(kind: KindDefinition, object: ApiObject, { gracePeriodSeconds }: DeleteOptions): number {
  // A negative period means "at once, but not by force".
  const asked = gracePeriodSeconds !== undefined && gracePeriodSeconds < 0 ? 1 : gracePeriodSeconds;
  return kind.gracePeriodSeconds?.(object, asked) ?? 0;
}

function setFinalizers(object: ApiObject, finalizers: readonly string[]): void {
  if (finalizers.length > 0) object.metadata.finalizers = [...finalizers];
  else delete object.metadata.finalizers;
}

function isNamespace(kind: KindDefinition): boolean {
  return kind.group === "" && kind.resource === "namespaces";
}

/** Namespaces have finalizers of their own in spec, which go through the finalize subresource. */
function hasSpecFinalizers(kind: KindDefinition, object: ApiObject): boolean {
  if (!isNamespace(kind)) return false;
  return ((object["spec"] as { finalizers?: readonly string[] } | undefined)?.finalizers ?? []).length > 0;
}

/** RFC 3339 in whole seconds, as metav1.Time is. */
export function wholeSeconds(epochMs: number): string {
  return `${new Date(epochMs).toISOString().slice(0, 19)}Z`;
}
