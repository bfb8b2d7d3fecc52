/** Secrets of type bootstrap.kubernetes.io/token: when they end, and what they may sign by. Pure. */
import type { Secret } from "@pilothouse/api/types/core-v1";

export const BOOTSTRAP_TOKEN_TYPE = "bootstrap.kubernetes.io/token";
const NAME = /^bootstrap-token-([a-z0-9]{6})$/;

/** In milliseconds since the epoch; Infinity for one without an end. One whose end cannot be read has come to it. */
export function endsAtMs(secret: Secret): number {
  const expiration = read(secret, "expiration");
  if (expiration === "") return Infinity;
  const at = Date.parse(expiration);
  return Number.isNaN(at) ? -Infinity : at;
}

export interface SigningToken {
  readonly id: string;
  readonly secret: string;
}

/** Undefined when it is not meant for signing, is over, or is not named by its id. */
export function signingTokenOf(secret: Secret, nowMs: number): SigningToken | undefined {
  const id = read(secret, "token-id");
  const value = read(secret, "token-secret");
  if (id === "" || value === "" || NAME.exec(secret.metadata.name ?? "")?.[1] !== id) return undefined;
  if (endsAtMs(secret) <= nowMs || read(secret, "usage-bootstrap-signing") !== "true") return undefined;
  return { id, secret: value };
}

function read({ data }: Secret, key: string): string {
  return Buffer.from(data?.[key] ?? "", "base64").toString("utf8");
}
