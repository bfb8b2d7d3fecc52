/**
 * From a DNS question to its answer, pure (RFC 1034, 1035, 2308, 6891): what the zone knows is answered with authority;
 * everything else is `forward`.
 */
import type { Answer as DnsRecord, Packet, Question } from "dns-packet";
import type { Zone, ZoneRecord } from "./zone.ts";

export type Reply =
  | { readonly do: "answer"; readonly packet: Packet }
  /** Not of our zone: to be asked of the upstream servers. */
  | { readonly do: "forward" };

/** How long clients may keep an answer. CoreDNS' default for the cluster's zone. */
export const TTL_SECONDS = 5;
/** A CNAME chain inside the zone ends here. */
const MAX_CHAIN = 8;

const AUTHORITATIVE = 1 << 10;
const TRUNCATED = 1 << 9;
const RECURSION_DESIRED = 1 << 8;
const RECURSION_AVAILABLE = 1 << 7;
const RCODE = { ok: 0, formatError: 1, serverFailure: 2, nameError: 3, notImplemented: 4 } as const;

/** Classic DNS over UDP without EDNS. */
export const DEFAULT_UDP_BYTES = 512;
/** What we offer and honour at most over UDP: fits an Ethernet frame. */
export const MAX_UDP_BYTES = 1_232;

/** `serial` is the zone's version for the SOA record. */
export function answer(query: Packet, zone: Zone, serial: number): Reply {
  const [question, ...others] = query.questions ?? [];
  if (!question || others.length > 0) return { do: "answer", packet: respond(query, RCODE.formatError, []) };
  if (opcodeOf(query) !== 0) return { do: "answer", packet: respond(query, RCODE.notImplemented, []) };
  const name = question.name.toLowerCase();
  const reversed = reverseAddress(name);
  if (reversed !== undefined) return answerReverse(query, question, zone, reversed, serial);
  if (name !== zone.domain && !name.endsWith(`.${zone.domain}`)) return { do: "forward" };
  return answerZone(query, question, name, zone, serial);
}

/** SERVFAIL, for when the upstream servers do not answer. */
export function serverFailure(query: Packet): Packet {
  return respond(query, RCODE.serverFailure, []);
}

/** The UDP size that the client says it can take (EDNS), within our limit. */
export function udpLimit(query: Packet): number {
  const edns = query.additionals?.find((record) => record.type === "OPT");
  const offered = edns && "udpPayloadSize" in edns ? edns.udpPayloadSize : DEFAULT_UDP_BYTES;
  return Math.max(DEFAULT_UDP_BYTES, Math.min(offered, MAX_UDP_BYTES));
}

/** The same answer, emptied and marked: the client asks again over TCP. */
export function truncated(packet: Packet): Packet {
  return { ...packet, flags: (packet.flags ?? 0) | TRUNCATED, answers: [], additionals: [] };
}

function answerReverse(query: Packet, question: Question, zone: Zone, address: string, serial: number): Reply {
  const target = zone.reverse(address);
  if (target === undefined) {
    if (!zone.ownsAddress(address)) return { do: "forward" };
    return { do: "answer", packet: authoritative(query, RCODE.nameError, question.name, [], zone, serial) };
  }
  const records = question.type === "PTR" ? [{ type: "PTR" as const, target }] : [];
  return { do: "answer", packet: authoritative(query, RCODE.ok, question.name, records, zone, serial) };
}

function answerZone(query: Packet, question: Question, name: string, zone: Zone, serial: number): Reply {
  if (name === zone.domain && question.type === "SOA") {
    return { do: "answer", packet: respond(query, RCODE.ok, [soa(zone, serial)]) };
  }
  if (name === `dns-version.${zone.domain}` && question.type === "TXT") {
    const record: DnsRecord = { type: "TXT", name: question.name, ttl: TTL_SECONDS, data: "1.1.0" };
    return { do: "answer", packet: respond(query, RCODE.ok, [record]) };
  }
  const lookup = zone.lookup(name);
  if (!lookup.found)
    return { do: "answer", packet: authoritative(query, RCODE.nameError, question.name, [], zone, serial) };
  const chain = lookup.records.find((record) => record.type === "CNAME");
  if (chain?.type === "CNAME") return answerAlias(query, question, chain.target, zone);
  const records = lookup.records.filter(({ type }) => type === question.type || (question.type as string) === "ANY");
  const packet = authoritative(query, RCODE.ok, question.name, records, zone, serial);
  return {
    do: "answer",
    packet: { ...packet, additionals: [...(packet.additionals ?? []), ...targets(records, zone)] },
  };
}

/** An ExternalName service: the alias, and what it stands for as far as our zone knows. The client resolves the rest. */
function answerAlias(query: Packet, question: Question, target: string, zone: Zone): Reply {
  const answers: DnsRecord[] = [cname(question.name, target)];
  let name = target.toLowerCase();
  for (let depth = 0; depth < MAX_CHAIN && name.endsWith(`.${zone.domain}`); depth++) {
    const lookup = zone.lookup(name);
    if (!lookup.found) break;
    const next = lookup.records.find((record) => record.type === "CNAME");
    if (next?.type !== "CNAME") {
      answers.push(...lookup.records.filter(({ type }) => type === question.type).map((record) => toDns(name, record)));
      break;
    }
    answers.push(cname(name, next.target));
    name = next.target.toLowerCase();
  }
  return { do: "answer", packet: respond(query, RCODE.ok, answers) };
}

/** The addresses of SRV targets, so that a client need not ask again. */
function targets(records: readonly ZoneRecord[], zone: Zone): DnsRecord[] {
  const names = new Set(records.flatMap((record) => (record.type === "SRV" ? [record.target] : [])));
  return [...names].flatMap((name) => {
    const lookup = zone.lookup(name);
    return lookup.found
      ? lookup.records.filter(({ type }) => type === "A" || type === "AAAA").map((record) => toDns(name, record))
      : [];
  });
}

/** An answer of the zone; an empty one carries the SOA, so that "no" is kept as long as "yes" (RFC 2308). */
function authoritative(
  query: Packet,
  rcode: number,
  name: string,
  records: readonly ZoneRecord[],
  zone: Zone,
  serial: number,
): Packet {
  const packet = respond(
    query,
    rcode,
    records.map((record) => toDns(name, record)),
  );
  return records.length > 0 ? packet : { ...packet, authorities: [soa(zone, serial)] };
}

function respond(query: Packet, rcode: number, answers: DnsRecord[]): Packet {
  const wantsEdns = query.additionals?.some((record) => record.type === "OPT") ?? false;
  const desired = (query.flags ?? 0) & RECURSION_DESIRED;
  return {
    ...(query.id === undefined ? {} : { id: query.id }),
    type: "response",
    flags: AUTHORITATIVE | RECURSION_AVAILABLE | desired | rcode,
    questions: query.questions ?? [],
    answers,
    additionals: wantsEdns
      ? [
          {
            type: "OPT",
            name: ".",
            udpPayloadSize: MAX_UDP_BYTES,
            flags: 0,
            options: [],
            extendedRcode: 0,
            ednsVersion: 0,
            flag_do: false,
          },
        ]
      : [],
  };
}

function toDns(name: string, record: ZoneRecord): DnsRecord {
  switch (record.type) {
    case "A":
    case "AAAA":
      return { type: record.type, name, ttl: TTL_SECONDS, data: record.address };
    case "CNAME":
      return cname(name, record.target);
    case "PTR":
      return { type: "PTR", name, ttl: TTL_SECONDS, data: record.target };
    case "SRV":
      return {
        type: "SRV",
        name,
        ttl: TTL_SECONDS,
        data: { port: record.port, target: record.target, priority: 0, weight: 100 },
      };
  }
}

function cname(name: string, target: string): DnsRecord {
  return { type: "CNAME", name, ttl: TTL_SECONDS, data: target };
}

function soa(zone: Zone, serial: number): DnsRecord {
  const data = {
    mname: `ns.dns.${zone.domain}`,
    rname: `hostmaster.${zone.domain}`,
    serial,
    refresh: 7_200,
    retry: 1_800,
    expire: 86_400,
    minimum: TTL_SECONDS,
  };
  return { type: "SOA", name: zone.domain, ttl: TTL_SECONDS, data };
}

function opcodeOf(query: Packet): number {
  return ((query.flags ?? 0) >> 11) & 0xf;
}

/** `4.3.2.1.in-addr.arpa` → `1.2.3.4`; undefined for every other name. */
function reverseAddress(name: string): string | undefined {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.in-addr\.arpa$/.exec(name);
  return match ? match.slice(1).reverse().join(".") : undefined;
}
