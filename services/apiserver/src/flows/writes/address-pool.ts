/** Where a Service's address comes from: the ranges of all ServiceCIDRs in use, and which of their addresses are free. */
import type { Service } from "@pilothouse/api/types/core-v1";
import type { ServiceCIDR } from "@pilothouse/api/types/networking-v1";
import { internalError, invalid, StatusError, type FieldError } from "@pilothouse/errors";
import { storeKey } from "../../core/model.ts";
import {
  ADDRESS_ALLOCATIONS,
  addressAt,
  addressKey,
  dynamicOffset,
  isInUse,
  rangesOf,
  type AddressRange,
} from "../../core/service-addresses.ts";
import { known } from "../../registry/known.ts";
import type { Alongside } from "./beside.ts";
import { DRAWS, takenUnder, type AllocationPorts } from "./allocation-keys.ts";

/** An address, and the range that lets a Service have it. */
export interface Chosen {
  readonly address: string;
  readonly from: ServiceCIDR;
}

export interface AddressPool {
  /** One that is free, as far as one can see. @throws StatusError 500 when all ranges are full */
  draw(signal?: AbortSignal): Promise<Chosen>;
  /** The one that a user asks for. @throws StatusError 422 when it is in no range */
  find(service: Service, address: string, signal?: AbortSignal): Promise<Chosen>;
}

interface PoolRange {
  readonly range: AddressRange;
  readonly from: ServiceCIDR;
}

export function addressPool({ store, cached, time }: AllocationPorts): AddressPool {
  const ranges = (): readonly PoolRange[] =>
    [...cached.list(known.serviceCidrs, "")]
      .filter(isInUse)
      .flatMap((from) => rangesOf(from).map((range) => ({ range, from })));
  const hasObject = (address: string): boolean => cached.cache.get(known.ipAddresses.kind, "", address) !== undefined;

  const drawFrom = async ({ range }: PoolRange): Promise<string | undefined> => {
    for (let i = 0; i < DRAWS; i++) {
      const drawn = addressAt(range, dynamicOffset(range, time.random.next()));
      if (!hasObject(drawn) && (await store.get(addressKey(drawn))).entry === undefined) return drawn;
    }
    const taken = await takenUnder(store, ADDRESS_ALLOCATIONS);
    // From above, for the lower band is for addresses that are chosen by hand.
    for (let offset = range.size - 2; offset >= 1; offset--) {
      const address = addressAt(range, offset);
      if (!taken.has(address) && !hasObject(address)) return address;
    }
    return undefined;
  };

  return {
    draw: (signal) =>
      judgedTwice(signal, async () => {
        for (const one of ranges()) {
          const address = await drawFrom(one);
          if (address !== undefined) return { address, from: one.from };
        }
        throw internalError("failed to allocate a serviceIP: range is full");
      }),
    find: (service, address, signal) =>
      judgedTwice(signal, () => {
        const found = ranges().find(({ range }) => range.holds(address));
        if (found) return Promise.resolve({ address, from: found.from });
        const problem = refusedAddress(service, address, "the provided network does not match the current range");
        throw invalid({ group: "", kind: "Service" }, service.metadata.name ?? "", [problem]);
      }),
  };

  /** A range that this apiserver's cache does not know yet is no reason to refuse (C7). */
  async function judgedTwice<T>(signal: AbortSignal | undefined, attempt: () => Promise<T>): Promise<T> {
    try {
      return await attempt();
    } catch (error) {
      if (!(error instanceof StatusError)) throw error;
    }
    await cached.cache.waitUntilCurrent(signal);
    return attempt();
  }
}

/** The range must be as it was read: one that is on its way out since then gives nothing away any more. */
export function inRange({ from }: Chosen, rvBase: number): Alongside {
  const { name = "", resourceVersion = "" } = from.metadata;
  const key = storeKey(known.serviceCidrs.kind, "", name);
  return { compares: [{ key, target: "modRevision", equals: Number(resourceVersion) - rvBase }], ops: [] };
}

export function takenAddress(service: Service, address: string): FieldError {
  return refusedAddress(service, address, "provided IP is already allocated");
}

function refusedAddress({ spec }: Service, address: string, why: string): FieldError {
  const detail = `failed to allocate IP ${address}: ${why}`;
  return { type: "FieldValueInvalid", field: "spec.clusterIPs", value: spec.clusterIPs ?? [address], detail };
}
