/** Signatures apart from what they sign (RFC 7515, appendix F), by a secret that both sides know: HMAC-SHA256. */
import { createHmac } from "node:crypto";

/** `header..signature`, as upstream's cluster-bootstrap makes it: whoever knows the secret sees that it was signed by one who does. */
export function detachedJws(content: string, keyId: string, secret: string): string {
  const header = base64Url(JSON.stringify({ alg: "HS256", kid: keyId }));
  const signature = createHmac("sha256", secret)
    .update(`${header}.${base64Url(content)}`)
    .digest("base64url");
  return `${header}..${signature}`;
}

const base64Url = (text: string): string => Buffer.from(text).toString("base64url");
