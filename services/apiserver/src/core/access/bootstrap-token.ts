/** Bootstrap tokens: `<id>.<secret>`, each a Secret of kube-system, by which a machine that has nothing yet is let in. Pure. */
import type { Secret } from "@pilothouse/api/types/core-v1";
import type { UserInfo } from "../model.ts";
import { AUTHENTICATED } from "./users.ts";

const TOKEN = /^([a-z0-9]{6})\.([a-z0-9]{16})$/;
const TYPE = "bootstrap.kubernetes.io/token";
const BOOTSTRAPPERS = "system:bootstrappers";
const GROUP = /^system:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]$/;

export function isBootstrapToken(token: string): boolean {
  return TOKEN.test(token);
}

/**
 * Whom the token stands for by its Secret; undefined when that is none, is expired or going, is for something else, or names a
 * group that is not a bootstrapper's.
 */
export function bootstrapUserOf(token: string, secret: Secret | undefined, nowMs: number): UserInfo | undefined {
  const [, id = "", asked = ""] = TOKEN.exec(token) ?? [];
  if (!secret || secret.type !== TYPE || secret.metadata.deletionTimestamp !== undefined) return undefined;
  const read = (key: string): string => Buffer.from(secret.data?.[key] ?? "", "base64").toString("utf8");
  if (read("token-id") !== id || !isSame(read("token-secret"), asked)) return undefined;
  if (read("usage-bootstrap-authentication") !== "true") return undefined;
  const expires = read("expiration");
  // What cannot be read as a time is no promise that it is not over.
  if (expires !== "" && !(Date.parse(expires) > nowMs)) return undefined;
  const extra = read("auth-extra-groups")
    .split(",")
    .map((group) => group.trim())
    .filter((group) => group !== "");
  if (!extra.every((group) => GROUP.test(group))) return undefined;
  return { name: `system:bootstrap:${id}`, groups: [...new Set([BOOTSTRAPPERS, ...extra]), AUTHENTICATED] };
}

/** Takes as long for every wrong secret of a length. */
function isSame(one: string, other: string): boolean {
  if (one.length !== other.length || one === "") return false;
  let difference = 0;
  for (let at = 0; at < one.length; at++) difference |= one.charCodeAt(at) ^ other.charCodeAt(at);
  return difference === 0;
}
