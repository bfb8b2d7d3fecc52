/**
 * The rules of a node as data: what stands there always (`frame`), and what each service adds (`contributionOf`).
 *
 * A service is elements of maps, not chains, so that ten thousand of them cost ten thousand elements and a change costs a few:
 *
 *   service-ips         address . protocol . port         → goto balance-N      (N: how many endpoints it has)
 *   balance-N           picks a slot of 0..N-1, keeps it in the packet's mark, and looks up
 *   endpoint-addresses  address . protocol . port . slot  → endpoint's address
 *   endpoint-ports      address . protocol . port . slot  → endpoint's port     (two maps: nft 1.0.6's JSON has no pairs as values)
 *
 * and the same for node ports without the address. Only a service with session affinity has chains of its own. What is for the
 * Services' range and was not sent to an endpoint is rejected before routing, so nothing of it leaves the node.
 *
 * Limits: IPv4; at most MAX_SLOTS endpoints of a service port; node ports answer on every address of the node but 127.0.0.0/8;
 * with externalTrafficPolicy Local, also clients inside the cluster reach only endpoints of the node they ask.
 */
import type { NftObject } from "@pilothouse/packet-filter";
import type { Endpoint, Protocol, ServicePortModel } from "./model.ts";
import * as nft from "./nft.ts";
import type { Statement } from "./nft.ts";
import { assignSlots } from "./slots.ts";

export interface RulesetOptions {
  /** CIDRs of the pods and of the Services. */
  readonly podRange: string;
  readonly serviceRange: string;
  /** The address where dns listens on each node: never changed, and open for port 53 only. */
  readonly clusterDns: string | undefined;
  /** The bridge of this node's pods: what stays on it keeps its source. */
  readonly bridge: string;
  /** CIDRs of the node's addresses on which node ports are; absent or empty: all but loopback. */
  readonly nodePortAddresses?: readonly string[];
}

/** One thing in the table. Two services may want the same one; `content` tells whether they mean the same by it. */
export type Item = { readonly id: string; readonly content: string } & (
  | { readonly kind: "element"; readonly set: string; readonly key: unknown; readonly value?: unknown }
  | ChainItem
  | { readonly kind: "set"; readonly declaration: NftObject }
);

export interface ChainItem {
  readonly kind: "chain";
  readonly name: string;
  readonly hook?: NftObject;
  readonly rules: readonly (readonly Statement[])[];
}

/** What one service adds to the table. */
export interface Contribution {
  readonly items: readonly Item[];
  /** Which endpoint is in which slot, by port and scope: the next contribution moves as few as it can. */
  readonly slots: ReadonlyMap<string, readonly Endpoint[]>;
  /** UDP destinations and the endpoints behind them: connections that the kernel must forget when one goes. */
  readonly udp: readonly UdpFlow[];
}

export interface UdpFlow {
  /** Undefined: a port of the node. */
  readonly address: string | undefined;
  readonly port: number;
  readonly endpoint: string;
}

/** Marks of ours are `SLOT_MARK + slot`, for as long as the packet is in the nat hook. */
export const SLOT_MARK = 0x5048_0000;
const SLOT_MASK = 0xffff_0000;
export const MAX_SLOTS = 0xffff;

const BEFORE_ROUTING = -100;
const AFTER_CHANGING = -99;
const SOURCE = 100;

const toAddressAndPort = nft.concat(nft.destinationAddress, nft.protocol, nft.destinationPort);
const toPort = nft.concat(nft.protocol, nft.destinationPort);
const wasForPort = nft.concat(nft.protocol, nft.originalPort);
const wasForAddressAndPort = nft.concat(nft.originalAddress, nft.protocol, nft.originalPort);

const ADDRESS_AND_PORT = ["ipv4_addr", "inet_proto", "inet_service"] as const;
const PORT = ["inet_proto", "inet_service"] as const;

/** The two kinds of destination that a service can be reached by. */
const FRONTENDS = {
  ip: {
    verdicts: "service-ips",
    balance: "balance",
    addresses: "endpoint-addresses",
    ports: "endpoint-ports",
    masquerade: "masquerade-ips",
    closed: "closed-ips",
    type: ADDRESS_AND_PORT,
    slotKey: nft.concat(nft.destinationAddress, nft.protocol, nft.destinationPort, nft.mark),
  },
  nodePort: {
    verdicts: "node-ports",
    balance: "balance-node-port",
    addresses: "node-port-addresses",
    ports: "node-port-ports",
    masquerade: "masquerade-node-ports",
    closed: "closed-node-ports",
    type: PORT,
    slotKey: nft.concat(nft.protocol, nft.destinationPort, nft.mark),
  },
} as const;

type FrontendKind = keyof typeof FRONTENDS;

/** What the table holds whatever services there are. */
export function frame(options: RulesetOptions): readonly Item[] {
  return [
    ...Object.values(FRONTENDS).flatMap(({ verdicts, addresses, ports, masquerade, closed, type }) => [
      setItem({ name: verdicts, type, map: "verdict" }),
      setItem({ name: addresses, type: [...type, "mark"], map: "ipv4_addr" }),
      setItem({ name: ports, type: [...type, "mark"], map: "inet_service" }),
      setItem({ name: masquerade, type }),
      setItem({ name: closed, type }),
    ]),
    setItem({ name: "hairpins", type: ["ipv4_addr", "ipv4_addr"] }),
    chainItem("services", servicesRules(options)),
    chainItem("guard", guardRules(options)),
    chainItem("reject", [[nft.match(nft.protocol, "==", "tcp"), nft.rejectByReset], [nft.reject]]),
    chainItem("nat-prerouting", [[nft.jump("services")]], hook("nat", "prerouting", BEFORE_ROUTING)),
    chainItem("nat-output", [[nft.jump("services")]], hook("nat", "output", BEFORE_ROUTING)),
    chainItem("guard-prerouting", [[nft.jump("guard")]], hook("filter", "prerouting", AFTER_CHANGING)),
    chainItem("guard-output", [[nft.jump("guard")]], hook("filter", "output", AFTER_CHANGING)),
    chainItem("nat-postrouting", sourceRules(options), hook("nat", "postrouting", SOURCE)),
  ];
}

function hook(type: "nat" | "filter", name: string, prio: number): NftObject {
  return { type, hook: name, prio, policy: "accept" };
}

function servicesRules({ clusterDns, nodePortAddresses }: RulesetOptions): Statement[][] {
  const notLoopback = nft.match(nft.destinationAddress, "!=", nft.range("127.0.0.0/8"));
  const lead = nft.verdictBy(toPort, `@${FRONTENDS.nodePort.verdicts}`);
  return [
    ...(clusterDns === undefined ? [] : [[nft.match(nft.destinationAddress, "==", clusterDns), nft.leave]]),
    [nft.verdictBy(toAddressAndPort, `@${FRONTENDS.ip.verdicts}`)],
    ...placesOfNodePorts(nodePortAddresses).map((place) => [notLoopback, ...place, nft.toThisNode, lead]),
  ];
}

/** After destinations were changed and before routing: what is still for a Service has nowhere to go. */
function guardRules({ clusterDns, serviceRange, nodePortAddresses }: RulesetOptions): Statement[][] {
  const ourMark = nft.match({ "&": [nft.mark, SLOT_MASK] }, "==", SLOT_MARK);
  const dnsPort = [nft.hasPorts, nft.match(nft.destinationPort, "==", 53)];
  return [
    [ourMark, nft.setMark(0)],
    ...(clusterDns === undefined ? [] : [[nft.match(nft.destinationAddress, "==", clusterDns), ...dnsPort, nft.leave]]),
    // A client on the node itself asks from this very address: the answer goes where the question came from.
    ...(clusterDns === undefined ? [] : [[nft.match(nft.sourceAddress, "==", clusterDns), nft.leave]]),
    [nft.match(nft.destinationAddress, "==", nft.range(serviceRange)), nft.goTo("reject")],
    [nft.match(toAddressAndPort, "==", `@${FRONTENDS.ip.closed}`), nft.goTo("reject")],
    ...placesOfNodePorts(nodePortAddresses).map((place) => {
      return [...place, nft.toThisNode, nft.match(toPort, "==", `@${FRONTENDS.nodePort.closed}`), nft.goTo("reject")];
    }),
  ];
}

/** One rule for each range; one for everywhere where there are none. */
function placesOfNodePorts(ranges: readonly string[] = []): readonly (readonly Statement[])[] {
  if (ranges.length === 0) return [[]];
  return ranges.map((cidr) => [nft.match(nft.destinationAddress, "==", nft.range(cidr))]);
}

/** Sources are changed only where the answer would not come back otherwise. */
function sourceRules({ podRange, serviceRange, bridge }: RulesetOptions): Statement[][] {
  const fromPod = nft.match(nft.sourceAddress, "==", nft.range(podRange));
  const notFromPod = nft.match(nft.sourceAddress, "!=", nft.range(podRange));
  const notTo = (cidr: string): Statement => nft.match(nft.destinationAddress, "!=", nft.range(cidr));
  const wasForService = nft.match(nft.originalAddress, "==", nft.range(serviceRange));
  const fromItself = nft.match(nft.concat(nft.sourceAddress, nft.destinationAddress), "==", "@hairpins");
  const hasOriginalPort = [nft.destinationChanged, nft.hasPorts];
  return [
    [nft.destinationChanged, fromItself, nft.masquerade],
    [nft.destinationChanged, wasForService, notFromPod, nft.masquerade],
    [...hasOriginalPort, nft.match(wasForAddressAndPort, "==", `@${FRONTENDS.ip.masquerade}`), nft.masquerade],
    [...hasOriginalPort, nft.match(wasForPort, "==", `@${FRONTENDS.nodePort.masquerade}`), nft.masquerade],
    [fromPod, notTo(podRange), notTo(serviceRange), nft.match(nft.outputInterface, "!=", bridge), nft.masquerade],
  ];
}

/** What the service's ports need. `previous`: what it contributed before. */
export function contributionOf(
  service: string,
  ports: readonly ServicePortModel[],
  previous: Contribution | undefined,
): Contribution {
  const items: Item[] = [];
  const slots = new Map<string, readonly Endpoint[]>();
  const udp: UdpFlow[] = [];
  for (const port of ports) {
    for (const scope of ["internal", "external"] as const) {
      const name = `${port.id}-${scope}`;
      const places = assignSlots(previous?.slots.get(name) ?? [], port[scope].slice(0, MAX_SLOTS));
      const destinations = destinationsOf(port, scope);
      if (destinations.length === 0) continue;
      slots.set(name, places);
      const chain = `affinity/${service}/${name}`;
      if (port.affinitySeconds !== undefined && places.length > 0)
        items.push(...affinityItems(chain, port.protocol, places, port.affinitySeconds));
      for (const destination of destinations) {
        const own = port.affinitySeconds === undefined ? undefined : chain;
        items.push(...destinationItems(destination, port.protocol, places, own));
        if (port.protocol === "udp")
          udp.push(
            ...places.map(({ address }) => ({
              address: destination.address,
              port: destination.port,
              endpoint: address,
            })),
          );
      }
      items.push(...places.filter(({ maybeHere }) => maybeHere).map(({ address }) => hairpin(address)));
    }
  }
  return { items, slots, udp };
}

interface Destination {
  readonly kind: FrontendKind;
  readonly address: string | undefined;
  readonly port: number;
  readonly masquerades: boolean;
  /** Where nothing would be rejected without an entry: outside the Services' range. */
  readonly closes: boolean;
}

function destinationsOf(port: ServicePortModel, scope: "internal" | "external"): readonly Destination[] {
  if (scope === "internal")
    return [{ kind: "ip", address: port.clusterIp, port: port.port, masquerades: false, closes: false }];
  const masquerades = !port.keepsSource;
  const ips = port.externalIps.map((address) => ({
    kind: "ip" as const,
    address,
    port: port.port,
    masquerades,
    closes: true,
  }));
  if (port.nodePort === undefined) return ips;
  return [...ips, { kind: "nodePort", address: undefined, port: port.nodePort, masquerades, closes: true }];
}

function destinationItems(
  { kind, address, port, masquerades, closes }: Destination,
  protocol: Protocol,
  places: readonly Endpoint[],
  affinityChain: string | undefined,
): Item[] {
  const frontend = FRONTENDS[kind];
  const key = address === undefined ? [protocol, port] : [address, protocol, port];
  if (places.length === 0) return closes ? [element(frontend.closed, key)] : [];
  const source = masquerades ? [element(frontend.masquerade, key)] : [];
  if (affinityChain !== undefined) return [element(frontend.verdicts, key, nft.goTo(affinityChain)), ...source];
  const chain = balanceItem(kind, places.length);
  return [
    chain,
    element(frontend.verdicts, key, nft.goTo(chain.name)),
    ...places.flatMap((endpoint, slot) => [
      element(frontend.addresses, [...key, SLOT_MARK + slot], endpoint.address),
      element(frontend.ports, [...key, SLOT_MARK + slot], endpoint.port),
    ]),
    ...source,
  ];
}

/**
 * Picks one of so many slots. A packet that is between the two lookups while the endpoints become fewer finds nothing in
 * its slot: slot 0 is there as long as any is.
 */
function balanceItem(kind: FrontendKind, choices: number): Item & ChainItem {
  const { balance, addresses, ports, slotKey } = FRONTENDS[kind];
  const change = [nft.hasPorts, nft.changeDestination(nft.valueBy(slotKey, addresses), nft.valueBy(slotKey, ports))];
  const pick = choices === 1 ? [] : [[nft.setMark(nft.random(choices, SLOT_MARK))], change];
  return chainItem(`${balance}-${choices}`, [...pick, [nft.setMark(SLOT_MARK)], change]);
}

/** A client goes where it went before, if that is still there. One set of clients for each endpoint. */
function affinityItems(chain: string, protocol: Protocol, places: readonly Endpoint[], seconds: number): Item[] {
  const endpoints = places.map(({ address, port }) => ({
    address,
    port,
    // With the time in its name, another time is another set: a set cannot be changed while rules name it.
    name: `${chain}/${address}:${port}/${seconds}s`,
  }));
  const choices = endpoints.map(({ name }, choice) => [choice, nft.goTo(name)]);
  return [
    ...endpoints.flatMap(({ address, port, name }) => [
      setItem({ name, type: "ipv4_addr", flags: ["timeout"], timeout: seconds }),
      chainItem(name, [
        [nft.remember(nft.sourceAddress, name)],
        [nft.match(nft.protocol, "==", protocol), nft.changeDestination(address, port)],
      ]),
    ]),
    chainItem(chain, [
      ...endpoints.map(({ name }) => [nft.match(nft.sourceAddress, "==", `@${name}`), nft.goTo(name)]),
      [nft.verdictBy(nft.random(endpoints.length), { set: choices })],
    ]),
  ];
}

function hairpin(address: string): Item {
  return element("hairpins", [address, address]);
}

function element(set: string, key: readonly (string | number)[], value?: Statement | string | number): Item {
  const content = value === undefined ? "" : JSON.stringify(value);
  const named = {
    kind: "element",
    id: `element ${set} ${key.join(" ")}`,
    content,
    set,
    key: nft.concat(...key),
  } as const;
  return value === undefined ? named : { ...named, value };
}

function chainItem(name: string, rules: readonly (readonly Statement[])[], hook?: NftObject): Item & ChainItem {
  const chain = { kind: "chain", id: `chain ${name}`, content: JSON.stringify(rules), name, rules } as const;
  return hook ? { ...chain, hook } : chain;
}

function setItem(declaration: NftObject): Item {
  return { kind: "set", id: `set ${String(declaration["name"])}`, content: JSON.stringify(declaration), declaration };
}
