/** Where the next page of a list begins. The token is the same on every apiserver: a revision and a key (C6). */
import { badRequest, type StatusError } from "@pilothouse/errors";

export interface ContinueToken {
  /** The revision of the whole list; `"latest"` for an inconsistent rest after that one was compacted. */
  readonly revision: number | "latest";
  /** The first key of the page, behind the list's prefix. */
  readonly start: string;
}

const VERSION = "meta.k8s.io/v1";

export function formatContinueToken({ revision, start }: ContinueToken): string {
  const rv = revision === "latest" ? -1 : revision;
  return Buffer.from(JSON.stringify({ v: VERSION, rv, start })).toString("base64url");
}

/** @throws StatusError 400 */
export function parseContinueToken(text: string): ContinueToken {
  const { v, rv, start } = fieldsOf(text);
  if (v !== VERSION) throw refused(`server does not recognize this encoded version ${textOf(v)}`);
  if (typeof rv !== "number" || !Number.isSafeInteger(rv) || rv === 0)
    throw refused("incorrect encoded start resourceVersion (version meta.k8s.io/v1)");
  if (typeof start !== "string" || start === "") throw refused("encoded start key empty (version meta.k8s.io/v1)");
  // A key that would climb out of the list's own is nobody's.
  if (
    start
      .split("/")
      .some((part, index, parts) => [".", ".."].includes(part) || (part === "" && parts.length > 1 && index > 0))
  )
    throw refused(start);
  return { revision: rv < 0 ? "latest" : rv, start };
}

function fieldsOf(text: string): { readonly v?: unknown; readonly rv?: unknown; readonly start?: unknown } {
  const wrong = text.search(/[^A-Za-z0-9_-]/);
  if (wrong >= 0) throw refused(`illegal base64 data at input byte ${wrong}`);
  try {
    const value: unknown = JSON.parse(Buffer.from(text, "base64url").toString("utf8"));
    if (value !== null && typeof value === "object") return value;
  } catch {
    // Judged below, as any other text that is no token.
  }
  throw refused("invalid character in the decoded token");
}

const textOf = (value: unknown): string => (typeof value === "string" ? value : "");

function refused(why: string): StatusError {
  return badRequest(`invalid continue token: continue key is not valid: ${why}`);
}
