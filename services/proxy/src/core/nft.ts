/** The few words of libnftables-json that the proxy's rules are written in. */

/** One statement of a rule. */
export type Statement = Readonly<Record<string, unknown>>;
type Expression = Statement | string | number;

export const sourceAddress: Statement = { payload: { protocol: "ip", field: "saddr" } };
export const destinationAddress: Statement = { payload: { protocol: "ip", field: "daddr" } };
export const protocol: Statement = { meta: { key: "l4proto" } };
export const destinationPort: Statement = { payload: { protocol: "th", field: "dport" } };
export const mark: Statement = { meta: { key: "mark" } };
export const outputInterface: Statement = { meta: { key: "oifname" } };
/** Where the connection's first packet went before we changed it. */
export const originalAddress: Statement = { ct: { key: "ip daddr", dir: "original" } };
export const originalPort: Statement = { ct: { key: "proto-dst", dir: "original" } };

/** The packet is for an address of this node. */
export const toThisNode = match({ fib: { result: "type", flags: ["daddr"] } }, "==", "local");
/** The connection's destination was changed. */
export const destinationChanged = match({ ct: { key: "status" } }, "in", "dnat");
/** Ports can be read and changed. Rules with ports must say so. */
export const hasPorts = match(protocol, "==", { set: ["tcp", "udp", "sctp"] });

export const masquerade: Statement = { masquerade: { flags: ["fully-random"] } };
export const leave: Statement = { return: null };
export const rejectByReset: Statement = { reject: { type: "tcp reset" } };
export const reject: Statement = { reject: { type: "icmp", expr: "port-unreachable" } };

export function match(left: Statement, op: "==" | "!=" | "in", right: Expression): Statement {
  return { match: { op, left, right } };
}

export function concat(...parts: readonly Expression[]): Statement {
  return { concat: parts };
}

export function jump(target: string): Statement {
  return { jump: { target } };
}

export function goTo(target: string): Statement {
  return { goto: { target } };
}

export function verdictBy(key: Statement, data: Expression): Statement {
  return { vmap: { key, data } };
}

export function valueBy(key: Statement, map: string): Statement {
  return { map: { key, data: `@${map}` } };
}

export function changeDestination(addr: Expression, port: Expression): Statement {
  return { dnat: { family: "ip", addr, port } };
}

/** A number of [offset, offset + choices), anew for each packet that asks. */
export function random(choices: number, offset = 0): Statement {
  return { numgen: { mode: "random", mod: choices, offset } };
}

export function setMark(value: Expression): Statement {
  return { mangle: { key: mark, value } };
}

/** Puts the key into the set, or makes its time begin again. */
export function remember(key: Statement, set: string): Statement {
  return { set: { op: "update", elem: key, set: `@${set}` } };
}

/** `198.18.0.0/16` */
export function range(cidr: string): Statement {
  const [addr = "", bits = "32"] = cidr.split("/");
  return { prefix: { addr, len: Number(bits) } };
}
