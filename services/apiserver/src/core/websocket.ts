/** Answers that a WebSocket carries (logs, watches): what the client asks for in the headers of its handshake. Pure. */
import type { ApiRequest } from "@pilothouse/api/http";
import { badRequest, unauthorized } from "@pilothouse/errors";
import type { RequestInfo } from "./model.ts";

type Headers = ApiRequest["headers"];

export interface Framing {
  /** What the handshake agrees to; "" for none. */
  readonly protocol: string;
  /** Messages of bytes as they come, the same in base64, or a message of text for each line. */
  readonly messages: "binary" | "base64" | "lines";
}

/** Browsers can send no other header with a handshake: the token is one of the protocols that they offer. */
const BEARER_PREFIX = "base64url.bearer.authorization.k8s.io.";
const PROTOCOLS = "sec-websocket-protocol";

const LOG_PROTOCOLS: Readonly<Record<string, Framing["messages"]>> = {
  "": "binary",
  "binary.k8s.io": "binary",
  "base64.binary.k8s.io": "base64",
};

export function isWebSocket(headers: Headers): boolean {
  return headers["upgrade"]?.toLowerCase() === "websocket";
}

/**
 * How the answer to this request is put into messages; undefined for what no WebSocket carries.
 *
 * @throws StatusError 400 when no protocol is shared
 */
export function framingOf(headers: Headers, info: RequestInfo): Framing | undefined {
  if (!isWebSocket(headers)) return undefined;
  const offered = offeredProtocols(headers);
  if (info.verb === "watch") return { protocol: offered[0] ?? "", messages: "lines" };
  if (info.group !== "" || info.resource !== "pods" || info.subresource !== "log") return undefined;
  const protocol = (offered.length === 0 ? [""] : offered).find((one) => Object.hasOwn(LOG_PROTOCOLS, one));
  if (protocol === undefined) {
    const known = Object.keys(LOG_PROTOCOLS).join(" ");
    throw badRequest(`requested protocol(s) are not supported: [${offered.join(" ")}]; supports [${known}]`);
  }
  return { protocol, messages: LOG_PROTOCOLS[protocol] ?? "binary" };
}

/** Without the token: whoever else is told of the offer must not learn it. */
export function offeredProtocols(headers: Headers): readonly string[] {
  return protocolsOf(headers[PROTOCOLS]).filter((protocol) => !protocol.startsWith(BEARER_PREFIX));
}

/** A header of a handshake as it may be handed on. */
export function withoutBearer(name: string, value: string): string {
  return name === PROTOCOLS ? offeredProtocols({ [PROTOCOLS]: value }).join(", ") : value;
}

/**
 * The token among the protocols; undefined for none.
 *
 * @throws StatusError 401 for several, for one that is no text, and for one alone, which could not be answered
 */
export function bearerOf(headers: Headers): string | undefined {
  if (!isWebSocket(headers)) return undefined;
  const protocols = protocolsOf(headers[PROTOCOLS]);
  const [token, ...more] = protocols.filter((protocol) => protocol.startsWith(BEARER_PREFIX));
  if (token === undefined) return undefined;
  const encoded = token.slice(BEARER_PREFIX.length);
  if (more.length > 0 || protocols.length < 2 || !/^[\w-]+$/.test(encoded)) throw unauthorized();
  return Buffer.from(encoded, "base64url").toString("utf8");
}

function protocolsOf(header: string | undefined): readonly string[] {
  return (header ?? "")
    .split(",")
    .map((protocol) => protocol.trim())
    .filter((protocol) => protocol !== "");
}
