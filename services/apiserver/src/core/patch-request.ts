/** A PATCH: its type, and the object it makes out of the one there is. Pure. */
import { isJsonObject } from "@pilothouse/api";
import type { Steps } from "@pilothouse/api/steps";
import { badRequest, invalid, unsupportedMediaType, type FieldError, type StatusError } from "@pilothouse/errors";
import { storedKindOf, type ApiObject, type GroupVersionKind, type KindDefinition } from "@pilothouse/kinds/kind";
import {
  applyConfigurationInSteps,
  applyJsonPatch,
  applyMergePatch,
  applyStrategicMergePatch,
} from "@pilothouse/patch";
import type { WriteOptions } from "./options.ts";
import { ownershipOf } from "./ownership.ts";
import { MAX_STORED_BYTES } from "./stored/stored.ts";
import { apiVersionOf, fitObject, parseBody, refuseTooLarge, schemaOfKind } from "./wire.ts";

export type PatchType = "json" | "merge" | "strategic" | "apply";

const TYPES: ReadonlyMap<string, PatchType> = new Map([
  ["application/json-patch+json", "json"],
  ["application/merge-patch+json", "merge"],
  ["application/apply-patch+yaml", "apply"],
  ["application/strategic-merge-patch+json", "strategic"],
]);

/** Throws 415 for everything else. */
export function patchTypeOf(contentType: string | undefined): PatchType {
  const type = TYPES.get((contentType ?? "").split(";")[0]?.trim().toLowerCase() ?? "");
  if (!type) throw unsupportedMediaType([...TYPES.keys()]);
  return type;
}

export interface PatchWrite {
  readonly type: PatchType;
  readonly body: Uint8Array;
  readonly kind: KindDefinition;
  readonly options: WriteOptions;
  readonly subresource: string;
}

/**
 * The object that the patch makes of the old one (none: server-side apply of something new). A patch is about the version that was
 * asked for; old and answer are in the shape that is stored.
 *
 * @param old makes a tree that nobody else has: the answer may be built of it
 * @param time RFC 3339 in whole seconds, for field ownership
 * @throws StatusError 400, 409 and 422 with upstream's texts
 */
export function* applyPatch(
  write: PatchWrite,
  old: (() => ApiObject) | undefined,
  time: string,
  warn: (text: string) => void,
): Steps<ApiObject> {
  const { type, body, kind, options } = write;
  if (type === "apply") return yield* applied(write, old?.(), time, warn);
  const { view } = kind;
  const shown = (): ApiObject => {
    const object = old?.() ?? { metadata: {} };
    return view ? view.fromStored(object) : object;
  };
  const given = parseBody(body, false);
  yield;
  const patched = (patch: unknown): unknown => patchedValue(type, shown(), patch, kind);
  const made = patched(given);
  yield;
  const value = type === "merge" ? made : unshared(made);
  if (body.length > MAX_STORED_BYTES) refuseTooLarge(JSON.stringify(value));
  yield;
  const refuse = (why: string): StatusError =>
    doesNotFit(
      type === "strategic" ? goText(parseBody(body, false)) : JSON.stringify(patched(parseBody(body, false))),
      why,
    );
  const object = fitObject(value, kind, options.fieldValidation, warn, refuse);
  return view ? view.toStored(object) : object;
}

/** A JSON patch may put one tree into two places, and what is fitted to its kind is changed in place. Throws 413. */
function unshared(value: unknown): unknown {
  const text = JSON.stringify(value);
  refuseTooLarge(text);
  return JSON.parse(text);
}

/** 422, not the 400 of a whole object, and about no kind: upstream shows what it patched, or the strategic patch itself. */
function doesNotFit(shown: string, why: string): StatusError {
  const error = { type: "FieldValueInvalid", field: "patch", value: shown, detail: why } as const;
  return invalid({ group: "", kind: "" }, "", [error]);
}

/** A JSON value as Go's `%+v` prints it: `map[spec:map[replicas:3]]`. */
function goText(value: unknown): string {
  if (value === null) return "<nil>";
  if (Array.isArray(value)) return `[${value.map(goText).join(" ")}]`;
  if (typeof value !== "object") return typeof value === "string" ? value : JSON.stringify(value);
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return `map[${entries.map(([key, one]) => `${key}:${goText(one)}`).join(" ")}]`;
}

function patchedValue(
  type: Exclude<PatchType, "apply">,
  old: ApiObject,
  patch: unknown,
  kind: KindDefinition,
): unknown {
  switch (type) {
    case "json":
      return applyJsonPatch(old, patch);
    case "merge":
      return applyMergePatch(old, patch);
    case "strategic":
      return applyStrategicMergePatch(old, patch, schemaOfKind(kind));
  }
}

/** Server-side apply: the object with the configuration's fields, and who owns which. */
function* applied(
  { body, kind, options, subresource }: PatchWrite,
  old: ApiObject | undefined,
  time: string,
  warn: (text: string) => void,
): Steps<ApiObject> {
  const fitted = yield* readConfiguration({ body, kind, fieldValidation: options.fieldValidation }, warn);
  const configuration = kind.view?.toStored(fitted) ?? fitted;
  yield;
  // Fields are owned as they are stored, in whichever version they were set.
  const write = ownershipOf({ kind: storedKindOf(kind), manager: options.fieldManager, subresource, time });
  // Its managedFields are in it.
  const result = yield* applyConfigurationInSteps(old, configuration, { ...write, force: options.force ?? false });
  return result.object as ApiObject;
}

/** What is applied, which names its own kind and version. @throws StatusError 400 */
export function* readConfiguration(
  {
    body,
    kind,
    fieldValidation,
  }: { readonly body: Uint8Array; readonly kind: GroupVersionKind } & Pick<WriteOptions, "fieldValidation">,
  warn: (text: string) => void,
): Steps<ApiObject> {
  const given = parseBody(body, true);
  yield;
  if (body.length > MAX_STORED_BYTES) refuseTooLarge(JSON.stringify(given));
  if (!isJsonObject(given)) throw badRequest("error decoding YAML: the configuration is not an object");
  for (const [field, expected] of Object.entries({ apiVersion: apiVersionOf(kind), kind: kind.kind })) {
    if (given[field] !== expected) {
      throw badRequest(`Incorrect ${field} in the patch: ${JSON.stringify(given[field] ?? "")}, expected ${expected}`);
    }
  }
  yield;
  const configuration = fitObject(given, kind, fieldValidation, warn);
  if ((configuration.metadata.managedFields ?? []).length > 0) {
    throw badRequest("metadata.managedFields must be nil");
  }
  return configuration;
}

/** What a PATCH may say besides its body. @throws StatusError 422 */
export function judgePatchOptions(type: PatchType, { force }: WriteOptions, query: URLSearchParams): void {
  const refused = (error: FieldError): StatusError =>
    invalid({ group: "meta.k8s.io", kind: "PatchOptions" }, "", [error]);
  if (type !== "apply" && force !== undefined) {
    const detail = "may not be specified for non-apply patch";
    throw refused({ type: "FieldValueForbidden", field: "force", detail });
  }
  if (type === "apply" && !query.get("fieldManager")) {
    throw refused({ type: "FieldValueRequired", field: "fieldManager", detail: "is required for apply patch" });
  }
}
