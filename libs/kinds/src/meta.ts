/** Rules for `metadata`, the same for every kind. */
import type { FieldError } from "@pilothouse/errors";
import {
  firstErrors,
  forbidden,
  immutable,
  invalid,
  invalidEach,
  notNegative,
  required,
  tooLong,
} from "./field-errors.ts";
import type { FieldErrors } from "./field-errors.ts";
import { keepField } from "./isolation.ts";
import type { ApiObject, KindDefinition, ObjectMeta, OwnerReference } from "./kind.ts";
import { validateLabels, validateLabelSelector, type LabelSelectorObject } from "@pilothouse/selectors";
import { checkDns1123Label, checkQualifiedName } from "@pilothouse/selectors/names";
import { subdomainName } from "./names.ts";

/** All annotation keys and values of an object together. */
export const MAX_ANNOTATIONS_BYTES = 256 * 1024;

const STANDARD_FINALIZERS: readonly string[] = ["kubernetes", "orphan", "foregroundDeletion"];

type Named = Pick<KindDefinition, "namespaced" | "validateName">;

/** Metadata of an object about to be created (its name is already generated, if it was to be). */
export function validateObjectMeta(kind: Named, object: ApiObject): readonly FieldError[] {
  return firstErrors(nameRules(kind, object.metadata), metaRules(object.metadata, "metadata"));
}

/**
 * Metadata of an update. Call `keepServerMeta` first. A missing resourceVersion is the caller's to judge: it means an
 * unconditional update.
 */
export function validateObjectMetaUpdate(object: ApiObject, old: ApiObject): readonly FieldError[] {
  return firstErrors(metaRules(object.metadata, "metadata"), metaUpdateRules(object.metadata, old.metadata));
}

/**
 * Before an update is validated: what only the server sets comes from `old`, and an identity left out is `old`'s
 * (a wrong one stays, and is refused by `validateObjectMetaUpdate`). In place.
 */
export function keepServerMeta(meta: ObjectMeta, old: ObjectMeta): void {
  meta.uid ||= old.uid ?? "";
  keepField(meta, old, "creationTimestamp");
  keepField(meta, old, "deletionTimestamp");
  keepField(meta, old, "generation");
  if (meta.deletionGracePeriodSeconds === undefined || old.deletionTimestamp === undefined) {
    keepField(meta, old, "deletionGracePeriodSeconds");
  }
}

/** A label selector as it comes from a user: a key or operator left out is an empty one. */
export function labelSelectorRules(selector: LabelSelectorObject | undefined, path: string): FieldErrors {
  const matchExpressions = (selector?.matchExpressions ?? []).map(({ key, operator, values }) => ({
    key: key ?? "",
    operator: operator ?? "",
    ...(values ? { values } : {}),
  }));
  return validateLabelSelector({ ...selector, matchExpressions }, path);
}

/** Labels and annotations of a pod template. */
export function* templateMetaRules(
  meta: { labels?: Record<string, string>; annotations?: Record<string, string> } | undefined,
  path: string,
): FieldErrors {
  yield* validateLabels(meta?.labels, `${path}.labels`);
  yield* annotationRules(meta?.annotations, `${path}.annotations`);
}

function* nameRules({ namespaced, validateName = subdomainName }: Named, meta: ObjectMeta): FieldErrors {
  if (meta.generateName) {
    yield* invalidEach("metadata.generateName", meta.generateName, validateName(meta.generateName, true));
  }
  if (meta.name) yield* invalidEach("metadata.name", meta.name, validateName(meta.name, false));
  else yield required("metadata.name", "name or generateName is required");

  if (!namespaced) {
    if (meta.namespace) yield forbidden("metadata.namespace", "not allowed on this type");
  } else if (meta.namespace) {
    yield* invalidEach("metadata.namespace", meta.namespace, checkDns1123Label(meta.namespace));
  } else {
    yield required("metadata.namespace");
  }
}

function* metaRules(meta: ObjectMeta, path: string): FieldErrors {
  yield* notNegative(`${path}.generation`, meta.generation);
  yield* validateLabels(meta.labels, `${path}.labels`);
  yield* annotationRules(meta.annotations, `${path}.annotations`);
  yield* ownerRules(meta.ownerReferences ?? [], `${path}.ownerReferences`);
  yield* finalizerRules(meta.finalizers ?? [], `${path}.finalizers`);
  for (const [index, entry] of (meta.managedFields ?? []).entries()) {
    const at = `${path}.managedFields[${index}]`;
    if (entry.operation !== "Apply" && entry.operation !== "Update") {
      yield invalid(`${at}.operation`, entry.operation ?? "", "must be `Apply` or `Update`");
    }
    if (entry.fieldsType !== "FieldsV1")
      yield invalid(`${at}.fieldsType`, entry.fieldsType ?? "", "must be `FieldsV1`");
  }
}

function* metaUpdateRules(meta: ObjectMeta, old: ObjectMeta): FieldErrors {
  if (old.deletionTimestamp !== undefined) {
    const added = (meta.finalizers ?? []).filter((name) => !old.finalizers?.includes(name)).sort();
    if (added.length > 0) {
      const list = `[]string{${added.map((name) => JSON.stringify(name)).join(", ")}}`;
      yield forbidden(
        "metadata.finalizers",
        `no new finalizers can be added if the object is being deleted, found new finalizers ${list}`,
      );
    }
  }
  if ((meta.generation ?? 0) < (old.generation ?? 0)) {
    yield invalid("metadata.generation", meta.generation ?? 0, "must not be decremented");
  }
  yield* immutable("metadata.name", meta.name, old.name);
  yield* immutable("metadata.namespace", meta.namespace, old.namespace);
  yield* immutable("metadata.uid", meta.uid, old.uid);
  yield* immutable("metadata.creationTimestamp", meta.creationTimestamp, old.creationTimestamp);
  yield* immutable("metadata.deletionTimestamp", meta.deletionTimestamp, old.deletionTimestamp);
  yield* immutable(
    "metadata.deletionGracePeriodSeconds",
    meta.deletionGracePeriodSeconds,
    old.deletionGracePeriodSeconds,
  );
}

function* annotationRules(annotations: Readonly<Record<string, string>> | undefined, path: string): FieldErrors {
  let sizeBytes = 0;
  for (const [key, value] of Object.entries(annotations ?? {})) {
    yield* invalidEach(path, key, checkQualifiedName(key.toLowerCase()));
    sizeBytes += Buffer.byteLength(key) + Buffer.byteLength(value);
  }
  if (sizeBytes > MAX_ANNOTATIONS_BYTES) yield tooLong(path, MAX_ANNOTATIONS_BYTES);
}

function* ownerRules(owners: readonly OwnerReference[], path: string): FieldErrors {
  let controller: OwnerReference | undefined;
  for (const [index, owner] of owners.entries()) {
    const at = `${path}[${index}]`;
    if (!owner.apiVersion) yield invalid(`${at}.apiVersion`, owner.apiVersion ?? "", "version must not be empty");
    for (const field of ["kind", "name", "uid"] as const) {
      if (!owner[field]) yield invalid(`${at}.${field}`, owner[field] ?? "", `${field} must not be empty`);
    }
    if (owner.apiVersion === "v1" && owner.kind === "Event") {
      yield invalid(at, owner, "/v1, Kind=Event is disallowed from being an owner");
    }
    if (owner.controller !== true) continue;
    if (controller) {
      yield invalid(
        path,
        owners,
        "Only one reference can have Controller set to true. " +
          `Found "true" in references for ${named(controller)} and ${named(owner)}`,
      );
    }
    controller = owner;
  }
}

function* finalizerRules(finalizers: readonly string[], path: string): FieldErrors {
  for (const [index, name] of finalizers.entries()) {
    yield* invalidEach(path, name, checkQualifiedName(name));
    if (!name.includes("/") && !STANDARD_FINALIZERS.includes(name)) {
      yield invalid(`${path}[${index}]`, name, "name is neither a standard finalizer name nor is it fully qualified");
    }
  }
  if (finalizers.includes("orphan") && finalizers.includes("foregroundDeletion")) {
    yield invalid(path, finalizers, "finalizer orphan and foregroundDeletion cannot be both set");
  }
}

function named(owner: OwnerReference): string {
  return `${owner.kind}/${owner.name}`;
}
