/** What a request line asks for: the path, and the options of reads and writes in the query. */
import { StatusError } from "@pilothouse/errors";
import { listOptionsOf, watchOptionsOf } from "../../../services/apiserver/src/core/list-options.ts";
import { deleteOptionsOfQuery, writeOptionsOf } from "../../../services/apiserver/src/core/options.ts";
import { nameInSelector, requestInfoOf } from "../../../services/apiserver/src/core/request-info.ts";
import { parseLogRequest } from "../../../services/kubelet/src/core/log-request.ts";
import { mutateText, pick } from "../mutate.ts";
import { resultOrRefusal, type Target } from "../target.ts";

export const METHODS: readonly string[] = [
  "GET",
  "HEAD",
  "POST",
  "PUT",
  "PATCH",
  "DELETE",
  "OPTIONS",
  "TRACE",
  "CONNECT",
  "BREW",
];

export const PATHS: readonly string[] = [
  "/api/v1/namespaces/shop/pods/web/log",
  "/apis/apps/v1/namespaces/shop/deployments/web/scale",
  "/api/v1/namespaces/shop/status",
  "/api/v1/nodes",
  "/api/v1/watch/pods",
  "/openapi/v3/apis/apps/v1",
  "/healthz/ping",
];

export const PATH_TOKENS: readonly string[] = [
  "/",
  ".",
  "%",
  "?",
  "#",
  "//",
  "..",
  "%2f",
  "%2F..",
  "%00",
  "%e2%80",
  "%",
  "namespaces",
  "api",
  "apis",
  "pods",
  "__proto__",
  "constructor",
];

export const QUERIES: readonly string[] = [
  "limit=500&continue=abc&resourceVersion=0&resourceVersionMatch=NotOlderThan",
  "watch=1&allowWatchBookmarks=true&timeoutSeconds=10&sendInitialEvents=true",
  "labelSelector=app%3Dweb&fieldSelector=metadata.name%3Dweb",
  "dryRun=All&fieldManager=me&fieldValidation=Strict&force=true",
  "gracePeriodSeconds=0&propagationPolicy=Foreground&orphanDependents=false",
  "tailLines=10&limitBytes=5&sinceSeconds=3&sinceTime=2026-01-01T00:00:00Z&follow=true",
];

export const QUERY_TOKENS: readonly string[] = [
  "&",
  "=",
  "%",
  "+",
  "-1",
  "9".repeat(30),
  "1e3",
  "0x1",
  "true",
  "limit=",
  "resourceVersion=",
  "resourceVersionMatch=Exact",
  "continue=",
  "watch=",
  "fieldSelector=metadata.name=a",
  "labelSelector=",
  "dryRun=",
];

export const paths: Target = {
  name: "paths",
  casesInTests: 800_000,
  parts: ["method", "path", "query"],
  fixed: [0],
  input: (random) => [
    pick(random, METHODS),
    mutateText(random, pick(random, PATHS), PATH_TOKENS),
    mutateText(random, pick(random, QUERIES), QUERY_TOKENS),
  ],
  check([method = "", path = "", queryText = ""]) {
    const query = new URLSearchParams(queryText);
    const info = requestInfoOf(method, path, query);
    for (const segment of info ? [info.namespace, info.resource, info.name, info.subresource] : []) {
      if (segment.includes("/")) throw new Error(`a segment reaches beyond itself: ${JSON.stringify(segment)}`);
    }
    nameInSelector(query);
    for (const read of [listOptionsOf, watchOptionsOf, deleteOptionsOfQuery])
      resultOrRefusal([StatusError], () => read(query));
    for (const kind of ["CreateOptions", "UpdateOptions", "PatchOptions"] as const) {
      resultOrRefusal([StatusError], () => writeOptionsOf(kind, query, queryText));
    }
    const log = parseLogRequest(query, 0);
    if (!Number.isFinite(log.sinceMs)) throw new Error("a log since no time at all");
  },
};
