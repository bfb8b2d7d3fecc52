/** Which headers of a proxied request and its answer are carried on. Pure. */
import type { ApiRequest, ApiResponse } from "@pilothouse/api/http";

/** Of one connection alone. */
const HOP_BY_HOP: readonly string[] = [
  "connection",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
];

/** True for what is between the client and the apiserver: nobody behind it may learn or use that. */
export function isCredential(name: string): boolean {
  return name === "authorization" || name.startsWith("impersonate-") || name.startsWith("x-remote-");
}

/** What the backend is told. The cookies are its own; the client's address is added to the ones it came by. */
export function forwardedHeaders(
  { headers, peer, body }: Pick<ApiRequest, "headers" | "peer" | "body">,
  uri: string,
): Record<string, string> {
  const kept = Object.entries(headers).filter(([name]) => !isHop(name, headers["connection"]) && !isCredential(name));
  const before = headers["x-forwarded-for"];
  const forwarded: Record<string, string> = {
    ...Object.fromEntries(kept),
    "x-forwarded-for": before ? `${before}, ${peer.address}` : peer.address,
    "x-forwarded-uri": uri,
  };
  // Links in a page are rewritten, which wants a page that can be read.
  if (/\btext\/html\b/.test(forwarded["accept"] ?? "")) delete forwarded["accept-encoding"];
  delete forwarded["content-length"];
  if (body.length > 0) forwarded["content-length"] = String(body.length);
  return forwarded;
}

/** What the client is told: who may read the answer across origins is not the backend's to say. */
export function answeredHeaders(headers: ApiResponse["headers"]): Record<string, string | readonly string[]> {
  const connection = headers["connection"];
  const named = typeof connection === "string" ? connection : undefined;
  return Object.fromEntries(
    Object.entries(headers).filter(([name]) => !isHop(name, named) && !name.startsWith("access-control-")),
  );
}

function isHop(name: string, connection: string | undefined): boolean {
  return (
    HOP_BY_HOP.includes(name) ||
    (connection ?? "")
      .toLowerCase()
      .split(/\s*,\s*/)
      .includes(name)
  );
}
