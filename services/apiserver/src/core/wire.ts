/** Objects on the wire: bodies in, answers out, in the three media types, by the schema. Pure. */
import {
  ACCEPTED_MEDIA_TYPES,
  bodyFormat,
  cannotBeHandledText,
  canonicalObject,
  DecodeError,
  decodeJsonInSteps,
  decodeProtobuf,
  decodeValue,
  dropZeros,
  encodeProtobuf,
  encodeYaml,
  MEDIA_TYPES,
  negotiate,
  parseJson,
  parseYaml,
  readEnvelope,
  RESOURCE_MEDIA,
  schemaOf,
  strictDecodingText,
  type Decoded,
  type StructureSchema,
  type WireFormat,
} from "@pilothouse/api";
import type { ApiResponse } from "@pilothouse/api/http";
import { atOnce, type Steps } from "@pilothouse/api/steps";
import { badRequest, notAcceptable, tooLarge, unsupportedMediaType, type StatusError } from "@pilothouse/errors";
import type { ApiObject, GroupVersionKind } from "@pilothouse/kinds/kind";
import type { FieldValidation } from "./options.ts";
import { MAX_STORED_BYTES } from "./stored/stored.ts";

type Json = Record<string, unknown>;

/** `v1`, `apps/v1`. */
export function apiVersionOf({ group, version }: Pick<GroupVersionKind, "group" | "version">): string {
  return group === "" ? version : `${group}/${version}`;
}

/** The structure of a kind that is known to exist. */
export function schemaOfKind(kind: GroupVersionKind): StructureSchema {
  const schema = schemaOf(apiVersionOf(kind), kind.kind);
  if (!schema) throw new Error(`no structure is known for ${apiVersionOf(kind)} ${kind.kind}`);
  return schema;
}

export interface BodyRequest {
  readonly body: Uint8Array;
  readonly contentType: string | undefined;
  readonly wanted: GroupVersionKind;
  readonly fieldValidation: FieldValidation;
  /** The group version of the body is not judged: reviews, bindings and options come in any (wire traps 23, 44). */
  readonly anyVersion?: boolean;
}

/**
 * The object in a body, its kind and apiVersion filled in.
 *
 * @param warn gets what fieldValidation=Warn tells
 * @throws StatusError 400 and 415 with upstream's texts
 */
export function decodeBody(request: BodyRequest, warn: (text: string) => void): ApiObject {
  return atOnce(decodeBodyInSteps(request, warn));
}

/** The same, for large objects. */
export function* decodeBodyInSteps(request: BodyRequest, warn: (text: string) => void): Steps<ApiObject> {
  const { body, wanted, fieldValidation } = request;
  const format = bodyFormat(request.contentType);
  if (!format) throw unsupportedMediaType(ACCEPTED_MEDIA_TYPES);
  const schema = schemaOfKind(wanted);
  const decoded = yield* decodeAs(format, body, schema, wanted, fieldValidation !== "Ignore");
  const object = decoded.object;
  // Early: to judge an object that etcd would not take anyway costs more than all the rest.
  if (body.length > MAX_STORED_BYTES) {
    yield;
    refuseTooLarge(JSON.stringify(object));
  }
  judgeKind(request, { apiVersion: text(object["apiVersion"]), kind: text(object["kind"]) });
  if (decoded.strictProblems.length > 0) {
    if (fieldValidation === "Strict") {
      throw badRequest(`${handledText(wanted)}: ${strictDecodingText(decoded.strictProblems)}`);
    }
    if (fieldValidation === "Warn") decoded.strictProblems.forEach(warn);
  }
  return withTypeMeta(object, wanted);
}

/** Throws 413 for the JSON of an object that etcd would not take. */
export function refuseTooLarge(json: string): void {
  if (json.length > MAX_STORED_BYTES) throw tooLarge("etcdserver: request is too large");
}

/**
 * A parsed patch result or applied configuration as an object of its kind.
 *
 * @param refuse the error for what does not fit, or what is unknown when fieldValidation=Strict
 */
export function fitObject(
  value: unknown,
  wanted: GroupVersionKind,
  fieldValidation: FieldValidation,
  warn: (text: string) => void,
  refuse: (why: string) => StatusError = badRequest,
): ApiObject {
  let decoded: Decoded;
  try {
    decoded = decodeValue(value, schemaOfKind(wanted));
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    throw refuse(`${handledText(wanted)}: ${error.message}`);
  }
  if (decoded.strictProblems.length > 0) {
    if (fieldValidation === "Strict") throw refuse(strictDecodingText(decoded.strictProblems));
    if (fieldValidation === "Warn") decoded.strictProblems.forEach(warn);
  }
  return withTypeMeta(decoded.object, wanted);
}

/** JSON or YAML of any shape (patches). */
export function parseBody(body: Uint8Array, isYaml: boolean): unknown {
  try {
    return isYaml ? parseYaml(body) : parseJson(body);
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    throw badRequest(error.message);
  }
}

/** The object with the fields and zero values that Kubernetes writes, ready to be stored or sent. */
export function canonical(object: ApiObject, kind: GroupVersionKind): ApiObject {
  return canonicalObject(object, schemaOfKind(kind)) as ApiObject;
}

/**
 * Makes what was given what Go would hold of it, before it is compared with what is stored: fields that say their zero value say
 * nothing. In place; kinds without a structure are left alone.
 */
export function withoutZeros(object: ApiObject, kind: GroupVersionKind): void {
  const schema = schemaOf(apiVersionOf(kind), kind.kind);
  if (schema) dropZeros(object, schema);
}

/** An answer that holds one plain object. `bytes` are its JSON when they are at hand. */
export function objectAnswer(
  accept: string | undefined,
  status: number,
  object: object,
  kind: GroupVersionKind,
  bytes?: Uint8Array,
): ApiResponse {
  const negotiated = negotiate(accept, PLAIN_MEDIA);
  if (!negotiated) throw notAcceptable(ACCEPTED_MEDIA_TYPES);
  const { format } = negotiated;
  return {
    status,
    headers: { "content-type": MEDIA_TYPES[format] },
    body: encodeAs(format, object as Json, kind, bytes),
  };
}

/** Answers that are one plain object: what asks for a table or metadata gets its next choice. */
const PLAIN_MEDIA = { ...RESOURCE_MEDIA, transforms: [] };

export function encodeAs(format: WireFormat, object: Json, kind: GroupVersionKind, bytes?: Uint8Array): Uint8Array {
  switch (format) {
    case "json":
      return bytes ?? Buffer.from(`${JSON.stringify(object)}\n`);
    case "yaml":
      return encodeYaml(object);
    case "protobuf":
      return encodeProtobuf(object, schemaOfKind(kind));
  }
}

function* decodeAs(
  format: WireFormat,
  body: Uint8Array,
  schema: StructureSchema,
  wanted: GroupVersionKind,
  findDuplicates: boolean,
): Steps<Decoded> {
  try {
    switch (format) {
      case "json":
        return yield* decodeJsonInSteps(body, schema, { findDuplicates });
      case "yaml": {
        const value = parseYaml(body);
        yield;
        return decodeValue(value, schema);
      }
      case "protobuf":
        return decodeWire(body, schema, wanted);
    }
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    yield;
    throw undecodable(format, body, wanted, error);
  }
}

/** Another kind's message is not decoded at all: what its fields mean is unknown. */
function decodeWire(body: Uint8Array, schema: StructureSchema, wanted: GroupVersionKind): Decoded {
  const { apiVersion, kind } = readEnvelope(body);
  const isOther = kind !== "" && kind !== wanted.kind;
  return { object: isOther ? { apiVersion, kind } : decodeProtobuf(body, schema), strictProblems: [] };
}

interface GivenType {
  readonly apiVersion: string;
  readonly kind: string;
}

function judgeKind({ wanted, anyVersion }: BodyRequest, given: GivenType): void {
  if (given.kind !== "" && given.kind !== wanted.kind) throw badRequest(otherKindText(given, wanted));
  const expected = apiVersionOf(wanted);
  if (!anyVersion && given.apiVersion !== "" && given.apiVersion !== expected) {
    throw badRequest(
      `the API version in the data (${given.apiVersion}) does not match the expected API version (${expected})`,
    );
  }
}

function otherKindText(given: GivenType, wanted: GroupVersionKind): string {
  const version = given.apiVersion.split("/").at(-1) ?? "";
  const why = `converting (${version}.${given.kind}) to (${wanted.group || "core"}.${wanted.kind}): unknown conversion`;
  return `${given.kind} in version ${JSON.stringify(version)} cannot be handled as a ${wanted.kind}: ${why}`;
}

function undecodable(format: WireFormat, body: Uint8Array, wanted: GroupVersionKind, error: DecodeError): Error {
  const given = typeOf(format, body);
  if (!given) {
    const shown = [...body.subarray(0, 30)].map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
    const cut = body.length > 30 ? " ..." : "";
    return badRequest(
      `the object provided is unrecognized (must be of type ${wanted.kind}): ` +
        `couldn't get version/kind; json parse error: ${error.message} (${shown}${cut})`,
    );
  }
  if (given.kind !== "" && given.kind !== wanted.kind) return badRequest(otherKindText(given, wanted));
  const version = given.apiVersion.split("/").at(-1) || wanted.version;
  return badRequest(cannotBeHandledText({ version, kind: given.kind || wanted.kind }, wanted.kind, error));
}

function typeOf(format: WireFormat, body: Uint8Array): GivenType | undefined {
  try {
    if (format === "protobuf") return readEnvelope(body);
    const value = (format === "yaml" ? parseYaml(body) : parseJson(body)) as Json | null;
    return { apiVersion: text(value?.["apiVersion"]), kind: text(value?.["kind"]) };
  } catch (error) {
    if (error instanceof DecodeError) return undefined;
    throw error;
  }
}

function handledText({ version, kind }: GroupVersionKind): string {
  return `${kind} in version ${JSON.stringify(version)} cannot be handled as a ${kind}`;
}

function withTypeMeta(object: Json, wanted: GroupVersionKind): ApiObject {
  const metadata = (object["metadata"] ?? {}) as ApiObject["metadata"];
  return { ...object, kind: wanted.kind, apiVersion: apiVersionOf(wanted), metadata };
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}
