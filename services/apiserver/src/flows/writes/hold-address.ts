/**
 * An address that a Service has: a key that says so, and the IPAddress object that everybody may read. Both are written and
 * deleted in the transaction that writes or deletes the Service, so there is never one without the other.
 *
 * The key is what makes it exact. An IPAddress is an object like others: a user may delete it while the Service still has the
 * address, and the key keeps the address from a second Service until the object is made anew (upkeep/repair.ts).
 */
import type { Service } from "@pilothouse/api/types/core-v1";
import type { IPAddress } from "@pilothouse/api/types/networking-v1";
import { atOnce } from "@pilothouse/api/steps";
import type { TimeAndChance } from "@pilothouse/clock";
import type { ApiObject } from "@pilothouse/kinds/kind";
import type { TraceContext } from "@pilothouse/telemetry";
import { planDelete, wholeSeconds } from "../../core/delete-rules.ts";
import { storeKey } from "../../core/model.ts";
import { recordUpdate } from "../../core/ownership.ts";
import { addressKey, holderValue, ipAddressOf, parentService } from "../../core/service-addresses.ts";
import { encodeObject, storedValue } from "../../core/stored/stored.ts";
import { known } from "../../registry/known.ts";
import type { CachedObjects } from "../reads/cached.ts";
import type { Alongside } from "./beside.ts";

const { kind: IP_ADDRESS } = known.ipAddresses;
const MANAGER = "kube-apiserver";

export const ipAddressKey = (address: string): string => storeKey(IP_ADDRESS, "", address);

export interface HoldPorts {
  readonly cached: CachedObjects;
  readonly time: TimeAndChance;
  /** What a resourceVersion is ahead of the store's revision (C8). */
  readonly rvBase: number;
}

/** The key and the object, provided that there is neither. */
export function holdAddress(ports: HoldPorts, address: string, service: Service, trace: TraceContext): Alongside {
  const [key, objectKey] = [addressKey(address), ipAddressKey(address)];
  return {
    compares: [
      { key, target: "modRevision", equals: 0 },
      { key: objectKey, target: "modRevision", equals: 0 },
    ],
    ops: [
      { op: "put", key, value: holderValue(service) },
      { op: "put", key: objectKey, value: ipAddressValue(ports, address, service, trace) },
    ],
  };
}

/** The stored value of a new IPAddress. */
export function ipAddressValue(
  { time }: Pick<HoldPorts, "time">,
  address: string,
  service: Service,
  trace: TraceContext,
): Uint8Array {
  const object = ipAddressOf(address, service) as unknown as ApiObject;
  const now = wholeSeconds(time.clock.now());
  Object.assign(object.metadata, { uid: time.ids.uuid(), creationTimestamp: now, generation: 1 });
  atOnce(recordUpdate(object, undefined, { kind: IP_ADDRESS, manager: MANAGER, subresource: "", time: now }));
  return storedValue(encodeObject(object), time.ids.uuid(), trace);
}

/**
 * Gives an address back: the key goes, and the object as a delete would take it away (it stays while finalizers hold it),
 * provided that it is as the cache has it. One that stands for something else is left alone.
 */
export function releaseAddress(ports: HoldPorts, address: string, service: Service, trace: TraceContext): Alongside {
  const dropKey = { op: "delete", key: addressKey(address) } as const;
  const key = ipAddressKey(address);
  const entry = ports.cached.cache.get(IP_ADDRESS, "", address);
  const compares = [{ key, target: "modRevision", equals: entry ? entry.revision - ports.rvBase : 0 }] as const;
  if (!entry) return { compares, ops: [dropKey] };
  const object = ports.cached.parsed<IPAddress>(known.ipAddresses, entry);
  if (!isOf(object, service)) return { compares: [], ops: [dropKey] };
  const plan = planDelete(IP_ADDRESS, object as unknown as ApiObject, {}, ports.time.clock.now());
  switch (plan.action) {
    case "remove":
      return { compares, ops: [dropKey, { op: "delete", key }] };
    case "pending":
      return { compares, ops: [dropKey] };
    case "mark": {
      const value = storedValue(encodeObject(plan.object), ports.time.ids.uuid(), trace);
      return { compares, ops: [dropKey, { op: "put", key, value }] };
    }
  }
}

function isOf(object: IPAddress, { metadata }: Service): boolean {
  const parent = parentService(object);
  return parent?.name === metadata.name && parent?.namespace === metadata.namespace;
}
