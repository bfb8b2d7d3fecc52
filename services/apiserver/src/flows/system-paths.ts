/** Paths that are no resources: health, version, metrics, discovery, OpenAPI and the issuer's keys. */
import type { ApiRequest, ApiResponse } from "@pilothouse/api/http";
import { ACCEPTED_MEDIA_TYPES } from "@pilothouse/api/media";
import type { Crypto } from "@pilothouse/crypto";
import { methodNotAllowed, noSuchPath, notAcceptable } from "@pilothouse/errors";
import type { Metrics } from "@pilothouse/telemetry";
import type { Discovery } from "../core/openapi/discovery.ts";
import type { OpenApi } from "../core/openapi/openapi.ts";

export interface SystemDeps {
  readonly discovery: Discovery;
  readonly openApi: OpenApi;
  readonly crypto: Crypto;
  readonly metrics: Metrics;
  readonly issuer: string;
  /** By the name that `?verbose` prints; a false one makes /readyz fail. /livez knows none of them: a restart mends nothing. */
  readonly readyChecks: Readonly<Record<string, () => boolean>>;
}

export const VERSION = {
  major: "1",
  minor: "36",
  emulationMajor: "1",
  emulationMinor: "36",
  minCompatibilityMajor: "1",
  minCompatibilityMinor: "35",
  gitVersion: "v1.36.0+pilothouse",
  gitCommit: "",
  gitTreeState: "clean",
  buildDate: "2026-01-01T00:00:00Z",
  goVersion: "",
  compiler: "node",
  platform: "linux/amd64",
} as const;

/** Throws 404 for a path that nothing stands behind. */
export async function systemAnswer(deps: SystemDeps, request: ApiRequest): Promise<ApiResponse> {
  const path = request.path.length > 1 ? request.path.replace(/\/$/, "") : request.path;
  if (request.method !== "GET" && request.method !== "HEAD") throw methodNotAllowed();
  switch (path) {
    case "/":
      return json({ paths: ROOT_PATHS });
    case "/version":
      return json(VERSION);
    case "/metrics":
      return text(200, await deps.metrics.expose(), "text/plain; version=0.0.4; charset=utf-8");
    case "/.well-known/openid-configuration":
      return kept(json(openIdConfiguration(deps.issuer)));
    case "/openid/v1/jwks":
      return kept(json(await deps.crypto.jwks(), "application/jwk-set+json"));
    default:
      return health(deps, request, path) ?? documents(deps, request, path);
  }
}

const ROOT_PATHS: readonly string[] = [
  "/.well-known/openid-configuration",
  "/api",
  "/api/v1",
  "/apis",
  "/healthz",
  "/livez",
  "/metrics",
  "/openapi/v2",
  "/openapi/v3",
  "/openid/v1/jwks",
  "/readyz",
  "/version",
];

const HEALTH = /^\/(healthz|livez|readyz)(?:\/(.+))?$/;

/** All checks of an endpoint but those that are excluded; or a single one, whose name may have slashes. */
function health(deps: SystemDeps, { query }: ApiRequest, path: string): ApiResponse | undefined {
  const [, endpoint, single] = HEALTH.exec(path) ?? [];
  if (endpoint === undefined) return undefined;
  const checks: Readonly<Record<string, () => boolean>> = {
    ping: () => true,
    ...(endpoint === "livez" ? {} : deps.readyChecks),
  };
  if (single !== undefined) {
    if (!Object.hasOwn(checks, single)) return undefined;
    return checks[single]?.() ? text(200, "ok") : text(500, "internal server error: reason withheld\n");
  }
  const excluded = new Set(query.getAll("exclude"));
  let hasFailed = false;
  const lines = Object.entries(checks).map(([name, passes]) => {
    if (excluded.delete(name)) return `[+]${name} excluded: ok`;
    if (passes()) return `[+]${name} ok`;
    hasFailed = true;
    return `[-]${name} failed: reason withheld`;
  });
  if (!hasFailed && !query.has("verbose")) return text(200, "ok");
  if (excluded.size > 0) {
    const names = [...excluded].sort().map((name) => JSON.stringify(name));
    lines.push(`warn: some health checks cannot be excluded: no matches for ${names.join(",")}`);
  }
  lines.push(`${endpoint} check ${hasFailed ? "failed" : "passed"}`);
  return text(hasFailed ? 500 : 200, `${lines.join("\n")}\n`);
}

function documents({ discovery, openApi }: SystemDeps, request: ApiRequest, path: string): ApiResponse {
  const accept = request.headers["accept"];
  const ifNoneMatch = request.headers["if-none-match"];
  const answer = /^\/(openapi\/|swagger-2)/.test(path)
    ? openApi.answer({ path, hash: request.query.get("hash"), accept, ifNoneMatch })
    : discovery.answer({ path, accept, ifNoneMatch });
  if (!answer) throw noSuchPath();
  if (answer.status === 406) throw notAcceptable(ACCEPTED_MEDIA_TYPES);
  return answer;
}

function openIdConfiguration(issuer: string): object {
  return {
    issuer,
    jwks_uri: `${issuer}/openid/v1/jwks`,
    response_types_supported: ["id_token"],
    subject_types_supported: ["public"],
    id_token_signing_alg_values_supported: ["RS256"],
  };
}

/** Whoever verifies tokens may keep it for an hour. */
function kept(answer: ApiResponse): ApiResponse {
  return { ...answer, headers: { ...answer.headers, "cache-control": "public, max-age=3600" } };
}

function json(value: unknown, contentType = "application/json"): ApiResponse {
  return { status: 200, headers: { "content-type": contentType }, body: Buffer.from(`${JSON.stringify(value)}\n`) };
}

function text(status: number, body: string, contentType = "text/plain; charset=utf-8"): ApiResponse {
  return {
    status,
    headers: { "content-type": contentType, "x-content-type-options": "nosniff" },
    body: Buffer.from(body),
  };
}
