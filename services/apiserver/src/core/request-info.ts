/** What a request means, by upstream's RequestInfo rules: a pure function of method, path and query. */
import type { RequestInfo } from "./model.ts";
import { proxiedPath } from "./proxy/path.ts";

/** Subresources of namespaces; every other third segment below `namespaces/<name>/` is a resource within it. */
const NAMESPACE_SUBRESOURCES: readonly string[] = ["status", "finalize"];

const VERB_OF_METHOD: Readonly<Record<string, string>> = {
  POST: "create",
  GET: "get",
  HEAD: "get",
  PUT: "update",
  PATCH: "patch",
  DELETE: "delete",
};

/**
 * Undefined for a path that no client may mean: a broken percent escape, or an escaped slash in a segment that names
 * something (it would reach into another namespace's keys).
 */
export function requestInfoOf(method: string, path: string, query: URLSearchParams): RequestInfo | undefined {
  // What is asked of whom a request is handed on to is their own matter, escaped slashes and empty segments included.
  const segments = decodedSegments(proxiedPath(path)?.prefix ?? path);
  if (!segments) return undefined;
  const api = apiSegments(segments);
  if (!api) return nonResource(method);

  const { group, version } = api;
  const { namespace, segments: rest } = withinNamespace(api.segments);
  const [resource = "", name = "", subresource = "", ...more] = rest;
  if ([resource, name, subresource, namespace].some((segment) => segment.includes("/"))) return undefined;
  return {
    isResourceRequest: true,
    verb: verbOf(method, name, query),
    group,
    version,
    namespace,
    resource,
    subresource,
    name,
    rest: more,
  };
}

/** The one name that a list, watch or deletecollection is about when its field selector says so; RBAC's resourceNames see it. */
export function nameInSelector(query: URLSearchParams): string {
  const match = /^metadata\.name==?([^,=!\\]+)$/.exec(query.get("fieldSelector") ?? "");
  return match?.[1] ?? "";
}

function decodedSegments(path: string): readonly string[] | undefined {
  const segments = path.replace(/^\/+|\/+$/g, "").split("/");
  if (!path.includes("%")) return segments;
  try {
    return segments.map(decodeURIComponent);
  } catch {
    return undefined;
  }
}

interface ApiSegments {
  readonly group: string;
  readonly version: string;
  readonly segments: readonly string[];
}

/** The parts of `/api/<version>/…` and `/apis/<group>/<version>/…`; undefined for everything else. */
function apiSegments(segments: readonly string[]): ApiSegments | undefined {
  const [prefix, first = "", second = "", ...rest] = segments;
  if (segments.includes("")) return undefined;
  if (prefix === "api" && segments.length >= 3) return { group: "", version: first, segments: [second, ...rest] };
  if (prefix === "apis" && segments.length >= 4) return { group: first, version: second, segments: rest };
  return undefined;
}

/** `namespaces/<ns>/pods/…` is about pods in it; `namespaces/<ns>` and its own subresources are about the namespace itself. */
function withinNamespace(segments: readonly string[]): { namespace: string; segments: readonly string[] } {
  const [first, namespace = "", third] = segments;
  if (first !== "namespaces" || namespace === "") return { namespace: "", segments };
  if (third === undefined || NAMESPACE_SUBRESOURCES.includes(third)) return { namespace, segments };
  return { namespace, segments: segments.slice(2) };
}

function verbOf(method: string, name: string, query: URLSearchParams): string {
  const verb = VERB_OF_METHOD[method] ?? "";
  if (name !== "") return verb;
  if (verb === "get") return isTrue(query.get("watch")) ? "watch" : "list";
  return verb === "delete" ? "deletecollection" : verb;
}

/** Go's conversion of a query parameter to a bool: present and not false. */
export function isTrue(value: string | null): boolean {
  return value !== null && value !== "false" && value !== "0";
}

function nonResource(method: string): RequestInfo {
  return {
    isResourceRequest: false,
    verb: method.toLowerCase(),
    group: "",
    version: "",
    namespace: "",
    resource: "",
    subresource: "",
    name: "",
    rest: [],
  };
}
