/** IP addresses as API fields hold them. Pure: text in, bytes out. */

/** 4 bytes (IPv4) or 16 (IPv6); undefined when it is no address. Leading zeros in IPv4 are refused, as upstream does. */
export function parseIp(text: string): readonly number[] | undefined {
  return text.includes(":") ? parseIpv6(text) : parseIpv4(text);
}

export function checkIp(text: string): readonly string[] {
  return parseIp(text) ? [] : ["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"];
}

export function checkCidr(text: string): readonly string[] {
  const [address = "", length = "", ...more] = text.split("/");
  const bytes = parseIp(address);
  const ok = bytes && more.length === 0 && /^\d{1,3}$/.test(length) && Number(length) <= bytes.length * 8;
  return ok ? [] : ["must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"];
}

/** True when the range `inner` is a part of `outer`, and not all of it. Both are valid; of one family, or it is not. */
export function isWithin(inner: string, outer: string): boolean {
  const [one, other] = [inner, outer].map((cidr) => {
    const [address = "", length = ""] = cidr.split("/");
    return { bytes: parseIp(address) ?? [], bits: Number(length) };
  });
  if (!one || !other || one.bytes.length !== other.bytes.length || one.bits <= other.bits) return false;
  return one.bytes.every((byte, index) => {
    const kept = Math.min(Math.max(other.bits - 8 * index, 0), 8);
    return byte >> (8 - kept) === (other.bytes[index] ?? 0) >> (8 - kept);
  });
}

export function ipFamily(text: string): "IPv4" | "IPv6" | undefined {
  const bytes = parseIp(text);
  return bytes && (bytes.length === 4 ? "IPv4" : "IPv6");
}

/** Addresses that traffic must not be sent to by an endpoint or an external IP. */
export function checkNonSpecialIp(text: string): readonly string[] {
  const bytes = parseIp(text);
  if (!bytes) return ["must be a valid IP address"];
  const texts: string[] = [];
  if (bytes.every((byte) => byte === 0)) texts.push(`may not be unspecified (${text})`);
  if (isLoopback(bytes)) texts.push("may not be in the loopback range (127.0.0.0/8, ::1/128)");
  if (isLinkLocal(bytes)) texts.push("may not be in the link-local range (169.254.0.0/16, fe80::/10)");
  if (isLinkLocalMulticast(bytes)) {
    texts.push("may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)");
  }
  return texts;
}

function isLoopback(bytes: readonly number[]): boolean {
  if (bytes.length === 4) return bytes[0] === 127;
  return bytes.every((byte, index) => byte === (index === 15 ? 1 : 0));
}

function isLinkLocal([a = 0, b = 0, ...rest]: readonly number[]): boolean {
  return rest.length === 2 ? a === 169 && b === 254 : a === 0xfe && (b & 0xc0) === 0x80;
}

function isLinkLocalMulticast([a = 0, b = 0, c = 0, ...rest]: readonly number[]): boolean {
  return rest.length === 1 ? a === 224 && b === 0 && c === 0 : a === 0xff && (b & 0x0f) === 2;
}

function parseIpv4(text: string): readonly number[] | undefined {
  const parts = text.split(".");
  const ok = parts.length === 4 && parts.every((part) => /^(0|[1-9]\d{0,2})$/.test(part) && Number(part) <= 255);
  return ok ? parts.map(Number) : undefined;
}

function parseIpv6(text: string): readonly number[] | undefined {
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const [head, tail] = halves.map((half) => (half === "" ? [] : half.split(":").map(groupBytes)));
  const before = head?.every((bytes) => bytes !== undefined) ? head.flat() : undefined;
  if (before === undefined) return undefined;
  if (tail === undefined) return before.length === 16 ? before : undefined;
  const after = tail.every((bytes) => bytes !== undefined) ? tail.flat() : undefined;
  if (after === undefined || before.length + after.length > 14) return undefined;
  return [...before, ...Array<number>(16 - before.length - after.length).fill(0), ...after];
}

/** Two bytes of `ff02`, or four of a dotted IPv4 tail. */
function groupBytes(group: string, index: number, groups: readonly string[]): readonly number[] | undefined {
  if (group.includes(".")) return index === groups.length - 1 ? parseIpv4(group) : undefined;
  if (!/^[0-9a-fA-F]{1,4}$/.test(group)) return undefined;
  const value = Number.parseInt(group, 16);
  return [value >> 8, value & 0xff];
}
