/** The options of LIST and WATCH, judged as upstream does (ValidateListOptions). */
import { badRequest, invalid, type FieldError } from "@pilothouse/errors";
import { parseContinueToken, type ContinueToken } from "./continue-token.ts";
import { isTrue } from "./request-info.ts";

/** What a list may answer from. */
export type ListSource =
  /** The newest there is. */
  | { readonly from: "current" }
  /** Whatever is at hand. */
  | { readonly from: "any" }
  | { readonly from: "notOlderThan"; readonly revision: number }
  | { readonly from: "exact"; readonly revision: number }
  | { readonly from: "continue"; readonly token: ContinueToken };

export interface ListOptions {
  readonly source: ListSource;
  /** 0: all. */
  readonly limit: number;
}

export interface WatchOptions {
  /** Undefined: not given, which means the newest there is. 0: whatever is at hand. */
  readonly revision: number | undefined;
  readonly sendInitialEvents: boolean | undefined;
  readonly allowBookmarks: boolean;
  readonly timeoutSeconds: number | undefined;
}

/** @throws StatusError 400 and 422 with upstream's texts */
export function listOptionsOf(query: URLSearchParams): ListOptions {
  const raw = rawOptions(query);
  const errors: FieldError[] = [];
  if (raw.match !== "") {
    if (raw.version === "")
      errors.push(forbiddenMatch("resourceVersionMatch is forbidden unless resourceVersion is provided"));
    if (raw.token !== "") errors.push(forbiddenMatch("resourceVersionMatch is forbidden when continue is provided"));
    if (raw.match !== "Exact" && raw.match !== "NotOlderThan")
      errors.push(unsupportedMatch(raw.match, ["Exact", "NotOlderThan", ""]));
    if (raw.match === "Exact" && raw.version === "0")
      errors.push(forbiddenMatch('resourceVersionMatch "exact" is forbidden for resourceVersion "0"'));
  }
  if (raw.sendInitialEvents !== null)
    errors.push({
      type: "FieldValueForbidden",
      field: "sendInitialEvents",
      detail: "sendInitialEvents is forbidden for list",
    });
  refuse(errors);
  const limit = integerOf(query.get("limit"));
  return { source: sourceOf(raw, limit), limit };
}

/** @throws StatusError 400 and 422 with upstream's texts */
export function watchOptionsOf(query: URLSearchParams): WatchOptions {
  const raw = rawOptions(query);
  const errors: FieldError[] = [];
  if (raw.sendInitialEvents !== null && raw.match !== "NotOlderThan")
    errors.push(forbiddenMatch("sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"));
  if (raw.match !== "") {
    if (raw.sendInitialEvents === null)
      errors.push(forbiddenMatch("resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"));
    if (raw.match !== "NotOlderThan") errors.push(unsupportedMatch(raw.match, ["NotOlderThan"]));
    if (raw.token !== "") errors.push(forbiddenMatch("resourceVersionMatch is forbidden when continue is provided"));
  }
  refuse(errors);
  const timeoutSeconds = integerOf(query.get("timeoutSeconds"));
  return {
    revision: raw.version === "" ? undefined : parseResourceVersion(raw.version),
    sendInitialEvents: raw.sendInitialEvents === null ? undefined : isTrue(raw.sendInitialEvents),
    allowBookmarks: isTrue(query.get("allowWatchBookmarks")),
    timeoutSeconds: timeoutSeconds > 0 ? timeoutSeconds : undefined,
  };
}

/** @throws StatusError 400 */
export function parseResourceVersion(text: string): number {
  const revision = Number(text);
  if (/^\d+$/.test(text) && Number.isSafeInteger(revision)) return revision;
  const why = /^\d+$/.test(text) ? "value out of range" : "invalid syntax";
  const quoted = JSON.stringify(text);
  throw badRequest(
    `invalid resource version: resourceVersion: Invalid value: ${quoted}: strconv.ParseUint: parsing ${quoted}: ${why}`,
  );
}

interface RawOptions {
  readonly match: string;
  readonly version: string;
  readonly token: string;
  readonly sendInitialEvents: string | null;
}

function rawOptions(query: URLSearchParams): RawOptions {
  return {
    match: query.get("resourceVersionMatch") ?? "",
    version: query.get("resourceVersion") ?? "",
    token: query.get("continue") ?? "",
    sendInitialEvents: query.get("sendInitialEvents"),
  };
}

function sourceOf({ match, version, token }: RawOptions, limit: number): ListSource {
  if (token !== "") {
    if (version !== "" && version !== "0")
      throw badRequest("specifying resource version is not allowed when using continue");
    return { from: "continue", token: parseContinueToken(token) };
  }
  if (version === "") return { from: "current" };
  const revision = parseResourceVersion(version);
  if (revision === 0) return { from: "any" };
  // Without a match, a paged list at a revision has always meant that revision exactly.
  const isExact = match === "Exact" || (match === "" && limit > 0);
  return { from: isExact ? "exact" : "notOlderThan", revision };
}

function integerOf(text: string | null): number {
  if (text === null || text === "") return 0;
  if (!/^[+-]?\d+$/.test(text)) throw badRequest(`strconv.ParseInt: parsing ${JSON.stringify(text)}: invalid syntax`);
  return Math.max(0, Number(text));
}

function forbiddenMatch(detail: string): FieldError {
  return { type: "FieldValueForbidden", field: "resourceVersionMatch", detail };
}

function unsupportedMatch(value: string, supported: readonly string[]): FieldError {
  const detail = `supported values: ${supported.map((text) => JSON.stringify(text)).join(", ")}`;
  return { type: "FieldValueNotSupported", field: "resourceVersionMatch", value, detail };
}

function refuse(errors: readonly FieldError[]): void {
  if (errors.length > 0) throw invalid({ group: "meta.k8s.io", kind: "ListOptions" }, "", errors);
}
