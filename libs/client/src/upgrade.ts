/** Connections that have left HTTP behind: the head that begins them, and two of them joined. For adapters only. */
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";

export interface HeadOptions {
  readonly path: string;
  /** `host:port` */
  readonly host: string;
  /** Which headers go no further, by their lower-case names; `host` never does. */
  readonly drops?: (name: string) => boolean;
  /** The value of a header as it goes on, by its lower-case name. */
  readonly edits?: (name: string, value: string) => string;
}

/** The request once more, for another server: same method, same headers in the same order and as often. */
export function forwardedHead(request: IncomingMessage, { path, host, drops, edits }: HeadOptions): string {
  const lines = [`${request.method} ${path} HTTP/1.1`, `Host: ${host}`];
  const { rawHeaders } = request;
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] as string;
    const lower = name.toLowerCase();
    if (lower === "host" || drops?.(lower)) continue;
    const value = rawHeaders[i + 1] as string;
    lines.push(`${name}: ${edits ? edits(lower, value) : value}`);
  }
  return `${lines.join("\r\n")}\r\n\r\n`;
}

/** Carries bytes both ways until one side ends; what that side has sent still arrives. */
export function splice(one: Duplex, other: Duplex): void {
  for (const [from, to] of [
    [one, other],
    [other, one],
  ] as const) {
    from.on("error", () => to.destroy());
    // Not destroyed at once: the last words, how a command ended, may still be on their way.
    from.on("close", () => to.end(() => to.destroy()));
    from.pipe(to);
  }
}
