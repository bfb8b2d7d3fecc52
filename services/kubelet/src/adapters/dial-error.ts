/** What Go's network library, and so upstream's kubelet, says of a connection that failed. Pure. */

const BY_CODE: Readonly<Record<string, (address: string) => string>> = {
  ECONNREFUSED: (address) => `dial tcp ${address}: connect: connection refused`,
  EHOSTUNREACH: (address) => `dial tcp ${address}: connect: no route to host`,
  ENETUNREACH: (address) => `dial tcp ${address}: connect: network is unreachable`,
  ETIMEDOUT: (address) => `dial tcp ${address}: connect: connection timed out`,
  EADDRNOTAVAIL: (address) => `dial tcp ${address}: connect: cannot assign requested address`,
  ECONNRESET: () => "EOF",
};

/** @param address host and port, `[::1]:80` */
export function dialError(error: unknown, address: string): string {
  if (!(error instanceof Error)) return String(error);
  const { code = "", message } = error as NodeJS.ErrnoException;
  // Node's name for an answer that ended before it began.
  if (message === "socket hang up") return "EOF";
  return BY_CODE[code]?.(address) ?? message;
}
