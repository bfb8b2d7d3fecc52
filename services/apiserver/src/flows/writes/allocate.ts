/**
 * Cluster IPs and node ports of Services. Each is a key in the store, put in the transaction that writes the Service and
 * deleted in the one that deletes it: no two apiservers can give the same one away, and none is ever lost.
 */
import type { Service } from "@pilothouse/api/types/core-v1";
import type { Random } from "@pilothouse/clock";
import { internalError, invalid, type FieldError, type StatusError } from "@pilothouse/errors";
import type { Compare, Store, StoreOp } from "@pilothouse/store";
import { prefixRange } from "@pilothouse/store";
import type { WriteCause } from "../../core/model.ts";
import {
  ADDRESS_ALLOCATIONS,
  addressAt,
  dynamicOffset,
  heldKeys,
  NODE_PORTS,
  PORT_ALLOCATIONS,
  wantsClusterIp,
  wantsHealthCheckPort,
  wantsNodePorts,
  type AddressRange,
} from "../../core/service-addresses.ts";

/** What a write of a Service holds and releases beside the object. */
export interface Reservation {
  readonly alongside: WriteCause["alongside"];
  /** The error when the transaction found this key taken; undefined when it was our choice: reserve again. */
  refusal(key: string): StatusError | undefined;
}

export interface Allocations {
  /** Sets the Service's cluster IP and node ports in place. */
  reserve(service: Service, old: Service | undefined): Promise<Reservation>;
  /** For a delete. */
  release(service: Service): Reservation;
}

/** After this many unlucky draws all allocations are read. */
const DRAWS = 8;

export function createAllocations(store: Store, random: Random, range: AddressRange): Allocations {
  const isFree = async (key: string): Promise<boolean> => (await store.get(key)).entry === undefined;
  const draw = async (prefix: string, candidate: (chance: number) => string, all: () => Iterable<string>) => {
    for (let i = 0; i < DRAWS; i++) {
      const drawn = candidate(random.next());
      if (await isFree(`${prefix}${drawn}`)) return drawn;
    }
    const taken = await takenUnder(store, prefix);
    for (const name of all()) if (!taken.has(name)) return name;
    return undefined;
  };
  const drawAddress = async (): Promise<string> => {
    const found = await draw(
      ADDRESS_ALLOCATIONS,
      (chance) => addressAt(range, dynamicOffset(range, chance)),
      () => allAddresses(range),
    );
    if (found === undefined) throw internalError("failed to allocate a serviceIP: range is full");
    return found;
  };
  const drawPort = async (used: ReadonlySet<number>): Promise<number> => {
    const count = NODE_PORTS.last - NODE_PORTS.first + 1;
    for (let i = 0; i < DRAWS; i++) {
      const found = await draw(
        PORT_ALLOCATIONS,
        (chance) => String(NODE_PORTS.first + Math.floor(chance * count)),
        allPorts,
      );
      if (found === undefined) break;
      if (!used.has(Number(found))) return Number(found);
    }
    throw internalError("failed to allocate a nodePort: range is full");
  };

  return {
    async reserve(service, old) {
      const given = new Set(heldKeys(service));
      const problems = rangeProblems(service, old, range);
      if (problems.length > 0) throw invalidService(service, problems);
      if (wantsClusterIp(service)) {
        service.spec.clusterIP ||= await drawAddress();
        if ((service.spec.clusterIPs ?? []).length === 0) service.spec.clusterIPs = [service.spec.clusterIP];
      } else if (service.spec.clusterIP === "None") service.spec.clusterIPs = ["None"];
      if (service.spec.type !== "ExternalName") {
        service.spec.ipFamilies ??= ["IPv4"];
        service.spec.ipFamilyPolicy ??= "SingleStack";
      }
      await fillPorts(service, drawPort);
      return reservation(service, old, given);
    },

    release: (service) => ({
      alongside: { compares: [], ops: heldKeys(service).map((key) => ({ op: "delete", key })) },
      refusal: () => undefined,
    }),
  };
}

async function fillPorts(service: Service, drawPort: (used: ReadonlySet<number>) => Promise<number>): Promise<void> {
  const used = new Set((service.spec.ports ?? []).map(({ nodePort }) => nodePort ?? 0));
  if (wantsNodePorts(service)) {
    for (const port of service.spec.ports ?? []) {
      if (port.nodePort) continue;
      // A port number open for two protocols gets one node port for both, as upstream gives it.
      const twin = service.spec.ports?.find((other) => other.port === port.port && other.nodePort);
      port.nodePort = twin?.nodePort ?? (await drawPort(used));
      used.add(port.nodePort);
    }
  }
  if (wantsHealthCheckPort(service)) service.spec.healthCheckNodePort ||= await drawPort(used);
}

function reservation(service: Service, old: Service | undefined, given: ReadonlySet<string>): Reservation {
  const before = new Set(old ? heldKeys(old) : []);
  const after = new Set(heldKeys(service));
  const added = [...after].filter((key) => !before.has(key));
  const released = [...before].filter((key) => !after.has(key));
  const { namespace = "", name = "", uid = "" } = service.metadata;
  const value = Buffer.from(JSON.stringify({ namespace, name, uid }));
  const compares = added.map((key): Compare => ({ key, target: "modRevision", equals: 0 }));
  const ops = [
    ...added.map((key): StoreOp => ({ op: "put", key, value })),
    ...released.map((key): StoreOp => ({ op: "delete", key })),
  ];
  return {
    alongside: { compares, ops },
    refusal: (key) => (given.has(key) ? invalidService(service, [takenProblem(service, key)]) : undefined),
  };
}

function rangeProblems(service: Service, old: Service | undefined, range: AddressRange): FieldError[] {
  const problems: FieldError[] = [];
  const { clusterIP } = service.spec;
  if (wantsClusterIp(service) && clusterIP && clusterIP !== old?.spec.clusterIP && !range.holds(clusterIP)) {
    problems.push({
      type: "FieldValueInvalid",
      field: "spec.clusterIPs",
      value: service.spec.clusterIPs ?? [clusterIP],
      detail:
        `failed to allocate IP ${clusterIP}: the provided IP (${clusterIP}) is not in the valid range. ` +
        `The range of valid IPs is ${range.cidr}`,
    });
  }
  if (!wantsNodePorts(service)) return problems;
  for (const [index, { nodePort }] of (service.spec.ports ?? []).entries()) {
    if (!nodePort || (nodePort >= NODE_PORTS.first && nodePort <= NODE_PORTS.last)) continue;
    problems.push({
      type: "FieldValueInvalid",
      field: `spec.ports[${index}].nodePort`,
      value: nodePort,
      detail: `provided port is not in the valid range. The range of valid ports is ${NODE_PORTS.first}-${NODE_PORTS.last}`,
    });
  }
  return problems;
}

function takenProblem(service: Service, key: string): FieldError {
  if (key.startsWith(ADDRESS_ALLOCATIONS)) {
    const address = key.slice(ADDRESS_ALLOCATIONS.length);
    const detail = `failed to allocate IP ${address}: provided IP is already allocated`;
    return { type: "FieldValueInvalid", field: "spec.clusterIPs", value: service.spec.clusterIPs ?? [address], detail };
  }
  const taken = Number(key.slice(PORT_ALLOCATIONS.length));
  const index = (service.spec.ports ?? []).findIndex(({ nodePort }) => nodePort === taken);
  const field = index < 0 ? "spec.healthCheckNodePort" : `spec.ports[${index}].nodePort`;
  return { type: "FieldValueInvalid", field, value: taken, detail: "provided port is already allocated" };
}

function invalidService(service: Service, problems: readonly FieldError[]): StatusError {
  return invalid({ group: "", kind: "Service" }, service.metadata.name ?? "", problems);
}

async function takenUnder(store: Store, prefix: string): Promise<ReadonlySet<string>> {
  const names = new Set<string>();
  const range = prefixRange(prefix);
  let from = range.from;
  for (;;) {
    const page = await store.range({ from, to: range.to }, { keysOnly: true });
    for (const { key } of page.entries) names.add(key.slice(prefix.length));
    const last = page.entries.at(-1);
    if (!page.more || !last) return names;
    from = `${last.key}\0`;
  }
}

function* allAddresses(range: AddressRange): Generator<string> {
  for (let offset = range.size - 2; offset >= 1; offset--) yield addressAt(range, offset);
}

function* allPorts(): Generator<string> {
  for (let port: number = NODE_PORTS.first; port <= NODE_PORTS.last; port++) yield String(port);
}
