/**
 * How a session of exec, attach or port-forward travels, by what the client offers. Pure.
 *
 * The runtime's streaming server (containerd 1.6) speaks SPDY and WebSocket v4. What it cannot is ours: exec over WebSocket v5,
 * whose client may close its input alone, and port-forward's SPDY within a WebSocket. A client that offers only v5 for attach is
 * refused, and comes back with SPDY by itself, as every kubectl does.
 */
import { REMOTE_COMMAND_PROTOCOLS } from "./remote-command.ts";

export const STREAM_VERBS = ["exec", "attach", "portForward"] as const;
export type StreamVerb = (typeof STREAM_VERBS)[number];

/** What the request for an upgrade says. */
export interface Offer {
  /** Of the header `Upgrade`, lower-case. */
  readonly upgrade: string;
  /** Of `Sec-WebSocket-Protocol`. */
  readonly protocols: readonly string[];
}

export type Carriage =
  /** We speak it ourselves, in this WebSocket protocol. */
  | { readonly how: "speak"; readonly protocol: string }
  /** The runtime's streaming server understands the client's own bytes. */
  | { readonly how: "splice" }
  /** The messages of a WebSocket of this protocol hold the bytes of a SPDY connection. */
  | { readonly how: "tunnel"; readonly protocol: string };

export const PORT_FORWARD_TUNNEL = "SPDY/3.1+portforward.k8s.io";
/** What the runtime's server takes of WebSocket protocols. */
const RUNTIME_PROTOCOLS: readonly string[] = [
  "v4.channel.k8s.io",
  "v4.base64.channel.k8s.io",
  "channel.k8s.io",
  "base64.channel.k8s.io",
];

/** What a client hears that offers nothing we know. */
export const ACCEPTED_PROTOCOLS: Readonly<Record<StreamVerb, readonly string[]>> = {
  exec: REMOTE_COMMAND_PROTOCOLS,
  attach: RUNTIME_PROTOCOLS,
  portForward: [PORT_FORWARD_TUNNEL, "portforward.k8s.io"],
};

/** Undefined: no protocol in common. */
export function carriageOf(verb: StreamVerb, { upgrade, protocols }: Offer): Carriage | undefined {
  if (upgrade === "spdy/3.1") return { how: "splice" };
  if (upgrade !== "websocket") return undefined;
  if (verb === "exec") {
    const protocol = REMOTE_COMMAND_PROTOCOLS.find((known) => protocols.includes(known));
    if (protocol) return { how: "speak", protocol };
  }
  if (verb === "portForward" && protocols.includes(PORT_FORWARD_TUNNEL)) {
    return { how: "tunnel", protocol: PORT_FORWARD_TUNNEL };
  }
  return protocols.some((offered) => RUNTIME_PROTOCOLS.includes(offered)) ? { how: "splice" } : undefined;
}
