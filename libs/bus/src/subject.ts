/** Subjects as NATS has them: tokens between dots; in patterns `*` is one token and a last `>` is one or more. */

/** False for what NATS would drop without a word: an empty subject, an empty token, white space, or a wild card. */
export function isPublishable(subject: string): boolean {
  return /^[^.\s*>]+(\.[^.\s*>]+)*$/.test(subject);
}

export function isPattern(pattern: string): boolean {
  return /^(\*|[^.\s*>]+)(\.(\*|[^.\s*>]+))*(\.>)?$|^>$/.test(pattern);
}

export function subjectMatches(pattern: string, subject: string): boolean {
  const wanted = pattern.split(".");
  const tokens = subject.split(".");
  for (const [i, token] of wanted.entries()) {
    if (token === ">") return tokens.length > i;
    if (i >= tokens.length || (token !== "*" && token !== tokens[i])) return false;
  }
  return tokens.length === wanted.length;
}

/** What headers and payload count for against `maxPayloadBytes`, as NATS puts them on the wire. */
export function messageBytes(payload: Uint8Array, headers: Readonly<Record<string, string>>): number {
  let bytes = payload.length;
  const entries = Object.entries(headers);
  if (entries.length > 0) bytes += "NATS/1.0\r\n\r\n".length;
  for (const [name, value] of entries) bytes += Buffer.byteLength(name) + Buffer.byteLength(value) + ": \r\n".length;
  return bytes;
}
