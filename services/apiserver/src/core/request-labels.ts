/** What a request counts as, in the labels of upstream's metrics: dashboards and alerts are written for them. Pure. */
import type { ApiRequest } from "@pilothouse/api/http";
import type { KindDefinition } from "@pilothouse/kinds/kind";
import type { RequestInfo } from "./model.ts";
import { isTrue } from "./request-info.ts";

export const REQUEST_LABELS = [
  "verb",
  "dry_run",
  "group",
  "version",
  "resource",
  "subresource",
  "scope",
  "component",
] as const;

export type RequestLabels = Readonly<Record<(typeof REQUEST_LABELS)[number], string>>;

const VERBS: Readonly<Record<string, string>> = {
  get: "GET",
  list: "LIST",
  watch: "WATCH",
  create: "POST",
  update: "PUT",
  patch: "PATCH",
  delete: "DELETE",
  deletecollection: "DELETECOLLECTION",
};
const METHODS: readonly string[] = ["GET", "POST", "PUT", "PATCH", "DELETE"];
const CONNECTED: readonly string[] = ["attach", "exec", "portforward", "proxy"];

/** Few values each, whatever clients send. @param kind undefined when nothing is served there */
export function requestLabels(
  { method, query, headers }: Pick<ApiRequest, "method" | "query" | "headers">,
  info: RequestInfo | undefined,
  kind: KindDefinition | undefined,
): RequestLabels {
  const labels = { dry_run: dryRunOf(query), scope: scopeOf(info), component: "apiserver" };
  if (!info || !kind) {
    const read = method === "HEAD" ? "GET" : method;
    const verb = METHODS.includes(read) ? read : "other";
    return { ...labels, verb, group: "", version: "", resource: "", subresource: "" };
  }
  const subresource = kind.subresources.some(({ name }) => name === info.subresource) ? info.subresource : "";
  return {
    ...labels,
    verb: verbOf(info, query, headers),
    group: kind.group,
    version: kind.version,
    resource: kind.resource,
    subresource,
  };
}

/** Its time says nothing of how fast the server is. */
export function isLongRunning({ verb, subresource }: RequestLabels): boolean {
  return ["CONNECT", "WATCH", "WATCHLIST"].includes(verb) || subresource === "log";
}

function verbOf({ verb, subresource }: RequestInfo, query: URLSearchParams, headers: ApiRequest["headers"]): string {
  if (CONNECTED.includes(subresource)) return "CONNECT";
  if (verb === "patch" && (headers["content-type"] ?? "").startsWith("application/apply-patch+")) return "APPLY";
  if (verb === "watch" && isTrue(query.get("sendInitialEvents"))) return "WATCHLIST";
  return VERBS[verb] ?? "other";
}

function scopeOf(info: RequestInfo | undefined): string {
  if (!info?.isResourceRequest) return "";
  if (info.name !== "" || info.verb === "create") return "resource";
  return info.namespace === "" ? "cluster" : "namespace";
}

function dryRunOf(query: URLSearchParams): string {
  const values = new Set(query.getAll("dryRun").filter((value) => value !== ""));
  if (values.size === 0) return "";
  return values.size === 1 && values.has("All") ? "All" : "invalid";
}
