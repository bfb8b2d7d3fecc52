/**
 * Cluster IPs and node ports of Services. Each is held in the transaction that writes the Service and given back in the one
 * that deletes it: no two apiservers can give the same one away, and none is ever lost.
 */
import type { Service } from "@pilothouse/api/types/core-v1";
import { internalError, invalid, type FieldError, type StatusError } from "@pilothouse/errors";
import type { Compare, StoreOp } from "@pilothouse/store";
import type { TraceContext } from "@pilothouse/telemetry";
import type { WriteCause } from "../../core/model.ts";
import {
  addressKey,
  heldAddresses,
  heldPorts,
  holderValue,
  NODE_PORTS,
  PORT_ALLOCATIONS,
  portKey,
  wantsClusterIp,
  wantsHealthCheckPort,
  wantsNodePorts,
} from "../../core/service-addresses.ts";
import { addressPool, inRange, takenAddress, type Chosen } from "./address-pool.ts";
import { DRAWS, takenUnder, type AllocationPorts } from "./allocation-keys.ts";
import { together } from "./beside.ts";
import { holdAddress, ipAddressKey, releaseAddress } from "./hold-address.ts";

/** What a write of a Service holds and releases beside the object. */
export interface Reservation {
  readonly alongside: WriteCause["alongside"];
  /** The error when the transaction found this key taken; undefined when it was our choice, or a guess: reserve again. */
  refusal(key: string): StatusError | undefined;
  /** Takes out of the Service what was drawn for it, so that it is drawn anew. In place. */
  forget(): void;
}

/** For whom, and by what cause. */
export interface Allocating {
  readonly trace: TraceContext;
  readonly signal?: AbortSignal;
}

export interface Allocations {
  /** Sets the Service's cluster IP and node ports in place. */
  reserve(service: Service, old: Service | undefined, by: Allocating): Promise<Reservation>;
  /** For a delete. */
  release(service: Service, by: Allocating): WriteCause["alongside"];
}

export function createAllocations(ports: AllocationPorts): Allocations {
  const pool = addressPool(ports);
  const portOf = portDrawer(ports);
  return {
    async reserve(service, old, by) {
      const given = { addresses: new Set(heldAddresses(service)), ports: new Set(heldPorts(service)) };
      const before = new Set(old ? heldAddresses(old) : []);
      const problems = portRangeProblems(service);
      if (problems.length > 0) throw invalidService(service, problems);
      let chosen: Chosen | undefined;
      if (wantsClusterIp(service)) {
        const { clusterIP } = service.spec;
        if (!clusterIP) chosen = await pool.draw(by.signal);
        else if (!before.has(clusterIP)) chosen = await pool.find(service, clusterIP, by.signal);
        if (chosen) service.spec.clusterIP = chosen.address;
        if ((service.spec.clusterIPs ?? []).length === 0) service.spec.clusterIPs = [service.spec.clusterIP ?? ""];
      } else if (service.spec.clusterIP === "None") service.spec.clusterIPs = ["None"];
      if (service.spec.type !== "ExternalName") {
        service.spec.ipFamilies ??= ["IPv4"];
        service.spec.ipFamilyPolicy ??= "SingleStack";
      }
      await fillPorts(service, portOf);
      const after = new Set(heldAddresses(service));
      const alongside = together(
        ...[...after].filter((at) => !before.has(at)).map((at) => holdAddress(ports, at, service, by.trace)),
        ...(old ? [...before].filter((at) => !after.has(at)) : []).map((at) =>
          releaseAddress(ports, at, old as Service, by.trace),
        ),
        chosen && inRange(chosen, ports.rvBase),
        portChanges(service, old),
      );
      return {
        alongside,
        refusal: (key) => {
          const problem = takenProblem(service, key, given);
          return problem && invalidService(service, [problem]);
        },
        forget: () => forgetDrawn(service, given),
      };
    },

    release: (service, { trace }) =>
      together(
        ...heldAddresses(service).map((address) => releaseAddress(ports, address, service, trace)),
        portChanges(undefined, service),
      ),
  };
}

/** What the user asked for by number. */
interface Given {
  readonly addresses: ReadonlySet<string>;
  readonly ports: ReadonlySet<number>;
}

function forgetDrawn({ spec }: Service, given: Given): void {
  if (spec.clusterIP && spec.clusterIP !== "None" && !given.addresses.has(spec.clusterIP)) {
    delete spec.clusterIP;
    delete spec.clusterIPs;
  }
  for (const port of spec.ports ?? []) if (!given.ports.has(port.nodePort ?? 0)) delete port.nodePort;
  if (!given.ports.has(spec.healthCheckNodePort ?? 0)) delete spec.healthCheckNodePort;
}

type DrawPort = (used: ReadonlySet<number>) => Promise<number>;

function portDrawer({ store, time }: AllocationPorts): DrawPort {
  const { random } = time;
  const count = NODE_PORTS.last - NODE_PORTS.first + 1;
  return async (used) => {
    for (let i = 0; i < DRAWS; i++) {
      const drawn = NODE_PORTS.first + Math.floor(random.next() * count);
      if (!used.has(drawn) && (await store.get(portKey(drawn))).entry === undefined) return drawn;
    }
    const taken = await takenUnder(store, PORT_ALLOCATIONS);
    for (let port: number = NODE_PORTS.first; port <= NODE_PORTS.last; port++) {
      if (!used.has(port) && !taken.has(String(port))) return port;
    }
    throw internalError("failed to allocate a nodePort: range is full");
  };
}

async function fillPorts(service: Service, drawPort: DrawPort): Promise<void> {
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

/** Holds what is new, and gives back what is no longer needed. */
function portChanges(service: Service | undefined, old: Service | undefined): WriteCause["alongside"] {
  const before = new Set(old ? heldPorts(old) : []);
  const after = new Set(service ? heldPorts(service) : []);
  const added = [...after].filter((port) => !before.has(port)).map(portKey);
  const released = [...before].filter((port) => !after.has(port)).map(portKey);
  return {
    compares: added.map((key): Compare => ({ key, target: "modRevision", equals: 0 })),
    ops: [
      ...added.map((key): StoreOp => ({ op: "put", key, value: holderValue(service as Service) })),
      ...released.map((key): StoreOp => ({ op: "delete", key })),
    ],
  };
}

function portRangeProblems(service: Service): FieldError[] {
  if (!wantsNodePorts(service)) return [];
  const problems: FieldError[] = [];
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

/** Undefined for a key that the user did not ask for. */
function takenProblem(service: Service, key: string, given: Given): FieldError | undefined {
  const name = key.slice(key.lastIndexOf("/") + 1);
  const detail = "provided port is already allocated";
  if (key === portKey(name)) {
    const taken = Number(name);
    if (!given.ports.has(taken)) return undefined;
    const index = (service.spec.ports ?? []).findIndex(({ nodePort }) => nodePort === taken);
    const field = index < 0 ? "spec.healthCheckNodePort" : `spec.ports[${index}].nodePort`;
    return { type: "FieldValueInvalid", field, value: taken, detail };
  }
  const isAddress = key === addressKey(name) || key === ipAddressKey(name);
  return isAddress && given.addresses.has(name) ? takenAddress(service, name) : undefined;
}

function invalidService(service: Service, problems: readonly FieldError[]): StatusError {
  return invalid({ group: "", kind: "Service" }, service.metadata.name ?? "", problems);
}
