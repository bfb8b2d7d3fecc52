/**
 * Kubernetes' error answers: a `StatusError` carries the `Status` object that a client gets, to the letter.
 *
 * Throw one of these anywhere under `handle(request)`; whatever else is thrown becomes InternalError without its text.
 */
export interface Status {
  readonly kind: "Status";
  readonly apiVersion: "v1";
  readonly metadata: { readonly continue?: string; readonly resourceVersion?: string };
  readonly status: "Success" | "Failure";
  readonly message?: string;
  readonly reason?: StatusReason;
  readonly details?: StatusDetails;
  readonly code?: number;
}

export type StatusReason =
  | "BadRequest"
  | "Unauthorized"
  | "Forbidden"
  | "NotFound"
  | "AlreadyExists"
  | "Conflict"
  | "Gone"
  | "Invalid"
  | "ServerTimeout"
  | "Timeout"
  | "TooManyRequests"
  | "MethodNotAllowed"
  | "NotAcceptable"
  | "RequestEntityTooLarge"
  | "UnsupportedMediaType"
  | "InternalError"
  | "Expired"
  | "ServiceUnavailable"
  /** Ours: a write of a deposed leader was refused (C11). */
  | "LeadershipLost";

export interface StatusDetails {
  readonly name?: string;
  readonly group?: string;
  readonly kind?: string;
  readonly uid?: string;
  readonly causes?: readonly StatusCause[];
  readonly retryAfterSeconds?: number;
}

export interface StatusCause {
  readonly reason?: string;
  readonly message?: string;
  readonly field?: string;
}

/** What an object or resource is called in an error; `group` is "" for core. */
export interface GroupResource {
  readonly group: string;
  readonly resource: string;
}

export class StatusError extends Error {
  override readonly name = "StatusError";
  readonly status: Status;
  constructor(
    code: number,
    reason: StatusReason,
    message: string,
    details?: StatusDetails,
    metadata: Status["metadata"] = {},
  ) {
    super(message);
    this.status = {
      kind: "Status",
      apiVersion: "v1",
      metadata,
      status: "Failure",
      message,
      reason,
      ...(details ? { details } : {}),
      code,
    };
  }
  get code(): number {
    return this.status.code as number;
  }
  get reason(): StatusReason {
    return this.status.reason as StatusReason;
  }
}

/** True for a StatusError with this reason. */
export function isStatus(error: unknown, reason: StatusReason): error is StatusError {
  return error instanceof StatusError && error.reason === reason;
}

/** `pods`, or `deployments.apps`: how error texts name a resource. */
export function qualified({ group, resource }: GroupResource): string {
  return group === "" ? resource : `${resource}.${group}`;
}

export function badRequest(message: string): StatusError {
  return new StatusError(400, "BadRequest", message);
}

export function unauthorized(): StatusError {
  return new StatusError(401, "Unauthorized", "Unauthorized");
}

/** `why` follows the resource, as `User "x" cannot …`. */
export function forbidden(target: GroupResource, name: string, why: string): StatusError {
  const subject = name === "" ? qualified(target) : `${qualified(target)} "${name}"`;
  const message = target.resource === "" ? `forbidden: ${why}` : `${subject} is forbidden: ${why}`;
  return new StatusError(403, "Forbidden", message, detailsOf(target, name));
}

export function notFound(target: GroupResource, name: string): StatusError {
  return new StatusError(404, "NotFound", `${qualified(target)} "${name}" not found`, detailsOf(target, name));
}

/** A path that no resource stands behind. */
export function noSuchPath(): StatusError {
  return new StatusError(404, "NotFound", "the server could not find the requested resource", {});
}

/** A path and a method that do not go together. */
export function methodNotAllowed(): StatusError {
  const message = "the server does not allow this method on the requested resource";
  return new StatusError(405, "MethodNotAllowed", message, {});
}

export function alreadyExists(target: GroupResource, name: string): StatusError {
  return new StatusError(
    409,
    "AlreadyExists",
    `${qualified(target)} "${name}" already exists`,
    detailsOf(target, name),
  );
}

export function conflict(
  target: GroupResource,
  name: string,
  why: string,
  causes?: readonly StatusCause[],
): StatusError {
  const details = detailsOf(target, name);
  return new StatusError(
    409,
    "Conflict",
    `Operation cannot be fulfilled on ${qualified(target)} "${name}": ${why}`,
    causes ? { ...details, causes } : details,
  );
}

/** The text of a lost update, as kubectl users know it. */
export const OBJECT_MODIFIED =
  "the object has been modified; please apply your changes to the latest version and try again";

/** One failed validation, in upstream's vocabulary (field.Error). */
export interface FieldError {
  readonly type: FieldErrorType;
  /** `spec.containers[0].name` */
  readonly field: string;
  /** What was given; printed unless undefined. */
  readonly value?: unknown;
  readonly detail: string;
}

export type FieldErrorType =
  | "FieldValueNotFound"
  | "FieldValueRequired"
  | "FieldValueDuplicate"
  | "FieldValueInvalid"
  | "FieldValueNotSupported"
  | "FieldValueForbidden"
  | "FieldValueTooLong"
  | "FieldValueTooMany"
  | "FieldValueTypeInvalid"
  | "InternalError";

const FIELD_ERROR_WORDS: Readonly<Record<FieldErrorType, string>> = {
  FieldValueNotFound: "Not found",
  FieldValueRequired: "Required value",
  FieldValueDuplicate: "Duplicate value",
  FieldValueInvalid: "Invalid value",
  FieldValueNotSupported: "Unsupported value",
  FieldValueForbidden: "Forbidden",
  FieldValueTooLong: "Too long",
  FieldValueTooMany: "Too many",
  FieldValueTypeInvalid: "Invalid value",
  InternalError: "Internal error",
};

/** `Invalid value: "x": must be …`, without the field. */
export function fieldErrorBody(error: FieldError): string {
  const word = FIELD_ERROR_WORDS[error.type];
  const withValue = !["FieldValueRequired", "FieldValueForbidden", "FieldValueTooLong", "InternalError"].includes(
    error.type,
  );
  const value = withValue && error.value !== undefined ? `: ${JSON.stringify(error.value)}` : "";
  return error.detail === "" ? `${word}${value}` : `${word}${value}: ${error.detail}`;
}

/** How many failed fields are told of one object: a body of 1.5 MB may hold a million. Upstream tells them all. */
export const MAX_FIELD_ERRORS = 1_000;

/** What they may take together in a message; the one that goes past it is the last that is told. */
const MAX_FIELD_ERROR_CHARACTERS = 256 * 1024;

/** 422 with one cause per failed field. */
export function invalid(
  kind: { group: string; kind: string },
  name: string,
  errors: readonly FieldError[],
): StatusError {
  const causes = causesOf(errors);
  const lines = causes.map(({ field, message }) => `${field}: ${message}`);
  const list = lines.length === 1 ? (lines[0] as string) : `[${lines.join(", ")}]`;
  const subject = kind.group === "" ? kind.kind : `${kind.kind}.${kind.group}`;
  return new StatusError(422, "Invalid", `${subject} "${name}" is invalid: ${list}`, {
    name,
    ...(kind.group === "" ? {} : { group: kind.group }),
    kind: kind.kind,
    causes,
  });
}

function causesOf(
  errors: readonly FieldError[],
): (StatusCause & { readonly message: string; readonly field: string })[] {
  const causes = [];
  let characters = 0;
  for (const error of errors.slice(0, MAX_FIELD_ERRORS)) {
    const message = fieldErrorBody(error);
    causes.push({ reason: error.type, message, field: error.field });
    characters += message.length + error.field.length;
    if (characters > MAX_FIELD_ERROR_CHARACTERS) break;
  }
  return causes;
}

export function expired(message: string, continueToken?: string): StatusError {
  return new StatusError(
    410,
    "Expired",
    message,
    undefined,
    continueToken === undefined ? {} : { continue: continueToken },
  );
}

export function tooLarge(message: string): StatusError {
  return new StatusError(413, "RequestEntityTooLarge", message);
}

export function unsupportedMediaType(accepted: readonly string[]): StatusError {
  return new StatusError(
    415,
    "UnsupportedMediaType",
    `the body of the request was in an unknown format - accepted media types include: ${accepted.join(", ")}`,
  );
}

export function notAcceptable(accepted: readonly string[]): StatusError {
  return new StatusError(406, "NotAcceptable", `only the following media types are accepted: ${accepted.join(", ")}`);
}

/** 429. Without `retryAfterSeconds` a client must not resend by itself (wire trap 12). */
export function tooManyRequests(message: string, retryAfterSeconds?: number): StatusError {
  return new StatusError(429, "TooManyRequests", message, retryAfterSeconds === undefined ? {} : { retryAfterSeconds });
}

export function internalError(message: string): StatusError {
  return new StatusError(500, "InternalError", `Internal error occurred: ${message}`, { causes: [{ message }] });
}

export function serviceUnavailable(message: string): StatusError {
  return new StatusError(503, "ServiceUnavailable", message);
}

/** 504; the outcome of a write may be unknown (C3). */
export function timeout(message: string, details: StatusDetails = {}): StatusError {
  return new StatusError(504, "Timeout", message, details);
}

/** C11: this request came from a leader that is none any more. */
export function leadershipLost(election: string): StatusError {
  return new StatusError(
    409,
    "LeadershipLost",
    `the leadership of election "${election}" that this request names has ended`,
  );
}

function detailsOf(target: GroupResource, name: string): StatusDetails {
  return {
    ...(name === "" ? {} : { name }),
    ...(target.group === "" ? {} : { group: target.group }),
    ...(target.resource === "" ? {} : { kind: target.resource }),
  };
}
