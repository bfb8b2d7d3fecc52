/** Media types: what a client accepts, by its Accept header, and what its body is, by its Content-Type. */
import { notAcceptable, unsupportedMediaType } from "@pilothouse/errors";

export type MediaType = "application/json" | "application/yaml" | "application/vnd.kubernetes.protobuf";

export const MEDIA_TYPES: readonly MediaType[] = [
  "application/json",
  "application/yaml",
  "application/vnd.kubernetes.protobuf",
];

/** One clause of an Accept header. */
export interface MediaClause {
  /** `type/subtype`, lower case. */
  readonly type: string;
  /** `as`, `g`, `v`, … */
  readonly parameters: Readonly<Record<string, string>>;
}

/** The clauses in order of preference: by q, then as written. */
export function acceptClauses(accept: string | undefined): readonly MediaClause[] {
  return (accept ?? "*/*")
    .split(",")
    .map(parseClause)
    .filter(({ type, quality }) => type !== "" && quality > 0)
    .sort((a, b) => b.quality - a.quality);
}

/**
 * The media type of an answer: the first clause that is served. Wildcards mean JSON. Clauses with `as=` are left to whoever
 * can transform; they are passed over here.
 *
 * @throws StatusError 406
 */
export function answerMediaType(accept: string | undefined): MediaType {
  for (const { type, parameters } of acceptClauses(accept)) {
    if (parameters["as"] !== undefined) continue;
    const served = servedType(type);
    if (served) return served;
  }
  throw notAcceptable(MEDIA_TYPES);
}

/** As `answerMediaType`, but never fails: an error is told as JSON to whoever accepts nothing we have. */
export function errorMediaType(accept: string | undefined): MediaType {
  for (const { type } of acceptClauses(accept)) {
    const served = servedType(type);
    if (served) return served;
  }
  return "application/json";
}

/**
 * The media type of a body; JSON when the client does not say.
 *
 * @throws StatusError 415
 */
export function bodyMediaType(contentType: string | undefined): MediaType {
  const type = (contentType ?? "").split(";")[0]?.trim().toLowerCase() ?? "";
  if (type === "") return "application/json";
  const known = MEDIA_TYPES.find((candidate) => candidate === type);
  if (!known) throw unsupportedMediaType(MEDIA_TYPES);
  return known;
}

function servedType(type: string): MediaType | undefined {
  if (type === "*/*" || type === "application/*") return "application/json";
  return MEDIA_TYPES.find((candidate) => candidate === type);
}

function parseClause(text: string): MediaClause & { readonly quality: number } {
  const [type = "", ...pairs] = text.split(";").map((part) => part.trim());
  const parameters: Record<string, string> = {};
  for (const pair of pairs) {
    const [name = "", value = ""] = pair.split("=");
    parameters[name.trim().toLowerCase()] = value.trim().replace(/^"|"$/g, "");
  }
  const quality = parameters["q"] === undefined ? 1 : Number(parameters["q"]);
  return { type: type.toLowerCase(), parameters, quality: Number.isFinite(quality) ? quality : 0 };
}
