/**
 * What the rules do to a packet, without a kernel: an interpreter of the table as the PacketFilter port lists it. It knows the
 * words of nft.ts and throws at any other, so that a rule cannot be used without being understood here.
 */
import type { NftObject } from "@pilothouse/packet-filter";
import type { Protocol } from "./model.ts";
import type { Statement } from "./nft.ts";

/** The first packet of a connection. */
export interface Packet {
  /** Where it meets the rules: coming from a pod or from outside, or made on this node. */
  readonly enters: "prerouting" | "output";
  readonly source: string;
  readonly destination: string;
  readonly protocol: Protocol;
  readonly port: number;
  /** Addresses of this node. */
  readonly nodeAddresses: readonly string[];
  readonly outputInterface?: string;
}

export interface Outcome {
  readonly fate: "passed" | "rejected";
  readonly destination: string;
  readonly port: number;
  readonly source: "kept" | "masqueraded";
  /** Its mark when it leaves the rules: ours must not be seen outside. */
  readonly mark: number;
  /** Clients that were put into sets, as `set address`. */
  readonly remembered: readonly string[];
}

export interface TracedTable {
  /** Rules by chain. */
  readonly chains: ReadonlyMap<string, readonly (readonly Statement[])[]>;
  /** Base chains by the hook, lowest priority first. */
  readonly hooks: ReadonlyMap<string, readonly BaseChain[]>;
  /** Value by key, both as JSON, by set. */
  readonly sets: ReadonlyMap<string, ReadonlyMap<string, unknown>>;
}

interface BaseChain {
  readonly name: string;
  readonly priority: number;
}

/** Reads what `PacketFilter.list` returns. */
export function readTable(objects: readonly NftObject[]): TracedTable {
  const chains = new Map<string, Statement[][]>();
  const hooks = new Map<string, BaseChain[]>();
  const sets = new Map<string, Map<string, unknown>>();
  for (const object of objects) {
    const [kind, fields] = Object.entries(object)[0] as [string, NftObject];
    const name = fields["name"] as string;
    if (kind === "chain") {
      chains.set(name, chains.get(name) ?? []);
      if (typeof fields["hook"] !== "string") continue;
      const base = [...(hooks.get(fields["hook"]) ?? []), { name, priority: fields["prio"] as number }];
      hooks.set(
        fields["hook"],
        base.sort((a, b) => a.priority - b.priority),
      );
    }
    if (kind === "rule") chains.get(fields["chain"] as string)?.push(fields["expr"] as Statement[]);
    if (kind === "set" || kind === "map") sets.set(name, elementsOf(kind, (fields["elem"] ?? []) as unknown[]));
  }
  return { chains, hooks, sets };
}

function elementsOf(kind: "set" | "map", elements: readonly unknown[]): Map<string, unknown> {
  if (kind === "set") return new Map(elements.map((key) => [JSON.stringify(key), true]));
  return new Map((elements as [unknown, unknown][]).map(([key, value]) => [JSON.stringify(key), value]));
}

/** `pick(n)` chooses of n; `known` holds what earlier packets left in sets, as `set address`. */
export function tracePacket(
  table: TracedTable,
  packet: Packet,
  pick: (choices: number) => number,
  known: ReadonlySet<string> = new Set(),
): Outcome {
  const walk = new Walk(table, packet, pick, known);
  const accepted = walk.through(packet.enters) && walk.through("postrouting");
  return {
    fate: accepted ? "passed" : "rejected",
    destination: walk.destination,
    port: walk.port,
    source: walk.masqueraded ? "masqueraded" : "kept",
    mark: walk.mark,
    remembered: walk.remembered,
  };
}

/** `next`: no verdict, the following rule; `done`: no more rules of this hook's chain; `return`: back to the caller. */
type Verdict = "next" | "mismatch" | "return" | "done" | "rejected";
type Value = string | number;

class Walk {
  destination: string;
  port: number;
  mark = 0;
  masqueraded = false;
  readonly remembered: string[] = [];
  #changed = false;
  readonly #table: TracedTable;
  readonly #packet: Packet;
  readonly #pick: (choices: number) => number;
  readonly #known: ReadonlySet<string>;

  constructor(table: TracedTable, packet: Packet, pick: (choices: number) => number, known: ReadonlySet<string>) {
    this.#table = table;
    this.#packet = packet;
    this.#pick = pick;
    this.#known = known;
    this.destination = packet.destination;
    this.port = packet.port;
  }

  /** False when the packet was rejected. */
  through(hook: string): boolean {
    return (this.#table.hooks.get(hook) ?? []).every(({ name }) => this.#chain(name) !== "rejected");
  }

  #chain(name: string): Verdict {
    const rules = this.#table.chains.get(name);
    if (!rules) throw new Error(`no chain ${name}`);
    for (const rule of rules) {
      const verdict = this.#rule(rule);
      if (verdict === "return") return "next";
      if (verdict === "done" || verdict === "rejected") return verdict;
    }
    return "next";
  }

  #rule(rule: readonly Statement[]): Verdict {
    for (const statement of rule) {
      const verdict = this.#statement(statement);
      if (verdict === "mismatch") return "next";
      if (verdict !== "next") return verdict;
    }
    return "next";
  }

  #statement(statement: Statement): Verdict {
    const [word, content] = Object.entries(statement)[0] as [string, Record<string, unknown>];
    switch (word) {
      case "match":
        return this.#matches(content) ? "next" : "mismatch";
      case "vmap":
        return this.#verdictMap(content);
      case "jump":
        return this.#chain(content["target"] as string);
      case "goto":
        return this.#goTo(content["target"] as string);
      case "return":
        return "return";
      case "reject":
        return "rejected";
      case "masquerade":
        this.masqueraded = true;
        return "done";
      case "mangle":
        this.mark = this.#value(content["value"]) as number;
        return "next";
      case "set":
        this.remembered.push(`${(content["set"] as string).slice(1)} ${this.#value(content["elem"])}`);
        return "next";
      case "dnat":
        return this.#changeDestination(content);
      default:
        throw new Error(`unknown statement ${word}`);
    }
  }

  /** After a goto, what follows the rule that went is not read: at the end, the caller of its chain goes on. */
  #goTo(target: string): Verdict {
    const verdict = this.#chain(target);
    return verdict === "next" ? "return" : verdict;
  }

  #verdictMap({ key, data }: Record<string, unknown>): Verdict {
    const verdict = this.#lookUp(key, data);
    return verdict === undefined ? "mismatch" : this.#statement(verdict as Statement);
  }

  #changeDestination({ addr, port }: Record<string, unknown>): Verdict {
    const [address, number] = [this.#value(addr), this.#value(port)];
    if (address === undefined || number === undefined) return "mismatch";
    this.destination = address as string;
    this.port = number as number;
    this.#changed = true;
    return "done";
  }

  #matches({ op, left, right }: Record<string, unknown>): boolean {
    const value = this.#value(left);
    const equal = this.#equals(left, value, right);
    return op === "!=" ? !equal : equal;
  }

  #equals(left: unknown, value: Value | undefined, right: unknown): boolean {
    if (typeof right === "string" && right.startsWith("@")) {
      const members = this.#table.sets.get(right.slice(1));
      if (!members) throw new Error(`no set ${right}`);
      return members.has(this.#key(left)) || this.#known.has(`${right.slice(1)} ${value}`);
    }
    if (typeof right !== "object" || right === null) return value === right;
    const [word, content] = Object.entries(right)[0] as [string, unknown];
    if (word === "prefix") return isWithin(value as string, content as { addr: string; len: number });
    if (word === "set") return (content as Value[]).includes(value as Value);
    throw new Error(`unknown right side ${word}`);
  }

  #lookUp(key: unknown, data: unknown): unknown {
    if (typeof data === "string") {
      const map = this.#table.sets.get(data.slice(1));
      if (!map) throw new Error(`no map ${data}`);
      return map.get(this.#key(key));
    }
    const entries = (data as { set: [Value, unknown][] }).set;
    const value = this.#value(key);
    return entries.find(([candidate]) => candidate === value)?.[1];
  }

  #key(expression: unknown): string {
    const parts = (expression as { concat?: unknown[] }).concat;
    return JSON.stringify(parts ? { concat: parts.map((part) => this.#value(part)) } : this.#value(expression));
  }

  #value(expression: unknown): Value | undefined {
    if (typeof expression === "string" || typeof expression === "number") return expression;
    const [word, content] = Object.entries(expression as object)[0] as [string, Record<string, unknown>];
    switch (word) {
      case "concat":
        return undefined;
      case "payload":
        return this.#payload(content["field"] as string);
      case "meta":
        return this.#meta(content["key"] as string);
      case "ct":
        return this.#connection(content["key"] as string);
      case "fib":
        return this.#packet.nodeAddresses.includes(this.destination) ? "local" : "unicast";
      case "numgen":
        return (content["offset"] as number) + this.#pick(content["mod"] as number);
      case "map":
        return this.#lookUp(content["key"], content["data"]) as Value | undefined;
      case "&": {
        const [left, mask] = content as unknown as [unknown, number];
        return ((this.#value(left) as number) & mask) >>> 0;
      }
      default:
        throw new Error(`unknown expression ${word}`);
    }
  }

  #payload(field: string): Value {
    switch (field) {
      case "saddr":
        return this.#packet.source;
      case "daddr":
        return this.destination;
      case "dport":
        return this.port;
      default:
        throw new Error(`unknown field ${field}`);
    }
  }

  #meta(key: string): Value {
    switch (key) {
      case "l4proto":
        return this.#packet.protocol;
      case "mark":
        return this.mark;
      case "oifname":
        return this.#packet.outputInterface ?? "";
      default:
        throw new Error(`unknown meta key ${key}`);
    }
  }

  #connection(key: string): Value {
    switch (key) {
      case "status":
        return this.#changed ? "dnat" : "";
      case "ip daddr":
        return this.#packet.destination;
      case "proto-dst":
        return this.#packet.port;
      default:
        throw new Error(`unknown connection key ${key}`);
    }
  }
}

function isWithin(address: string, { addr, len }: { readonly addr: string; readonly len: number }): boolean {
  const mask = len === 0 ? 0 : -1 << (32 - len);
  return (toNumber(address) & mask) === (toNumber(addr) & mask);
}

function toNumber(address: string): number {
  return address.split(".").reduce((number, part) => (number << 8) | Number(part), 0);
}
