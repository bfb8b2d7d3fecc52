/**
 * dns: answers the cluster DNS address on the node itself. Reads Services and EndpointSlices, writes nothing.
 *
 * Promises: nothing is answered before the first lists are in; a change is in the zone as soon as it is heard; questions about
 * our zone and ranges never leave the node; questions about the rest of the world, and the answers, pass as they came.
 * Does not promise: an answer for the rest of the world when no upstream server gives one (SERVFAIL, after two seconds for
 * each that is silent); caching; DNSSEC.
 */
import type { Bus } from "@pilothouse/bus";
import { resources, type ApiClient } from "@pilothouse/client";
import type { Clock, Random } from "@pilothouse/clock";
import { allSynced, keyOf, startInformer } from "@pilothouse/informer";
import type { Scope } from "@pilothouse/lifecycle";
import type { Telemetry } from "@pilothouse/telemetry";
import { Zone } from "./core/zone.ts";
import { responder, type Responder, type Upstream } from "./flows/respond.ts";

export interface DnsPorts {
  readonly client: ApiClient;
  readonly bus: Bus | undefined;
  readonly clock: Clock;
  readonly random: Random;
  readonly telemetry: Telemetry;
  readonly scope: Scope;
  readonly upstream: Upstream;
  /** Begins to listen, and keeps trying until the address is there; each query is handed to `respond`. */
  readonly listen: (respond: Responder, signal: AbortSignal) => Promise<void>;
}

export interface DnsConfig {
  /** `cluster.local` */
  readonly domain: string;
  /** The pods' and Services' ranges: reverse questions about them are ours alone. */
  readonly ranges: readonly string[];
}

export interface DnsService {
  problems(): readonly string[];
}

/** Starts in the background; ends with the scope. */
export function start(ports: DnsPorts, { domain, ranges }: DnsConfig): DnsService {
  const zone = new Zone(domain, ranges);
  // The zone's version, for the SOA record: one more with each change.
  let serial = 1;
  let serving = false;
  const services = startInformer(ports, { type: resources.services });
  const slices = startInformer(ports, { type: resources.endpointSlices });
  services.onChange(({ type, object }) => {
    serial++;
    if (type === "deleted") zone.removeService(keyOf(object));
    else zone.setService(object);
  });
  slices.onChange(({ type, object }) => {
    serial++;
    if (type === "deleted") zone.removeSlice(keyOf(object));
    else zone.setSlice(object);
  });
  const respond = responder(ports, zone, () => serial);
  ports.scope.run("dns", async (signal) => {
    await allSynced([services, slices], signal);
    await ports.listen(respond, signal);
    serving = true;
  });
  return { problems: () => (serving ? [] : ["not listening yet: waits for the API, or for its address on this node"]) };
}
