/**
 * Repairs what is held for Services: at start, when an IPAddress is taken away by hand, and every three minutes.
 *
 * Promises: a step is carried out in one transaction that compares all it rests on; so two apiservers that repair at once, or a
 * Service that is written meanwhile, undo nothing. An event tells of a step that was carried out, or that nobody can.
 */
import { sleep } from "@pilothouse/clock";
import { fnv32 } from "@pilothouse/kinds/fnv";
import { isStatus } from "@pilothouse/errors";
import type { Event } from "@pilothouse/api/types/core-v1";
import type { ApiObject, KindDefinition } from "@pilothouse/kinds/kind";
import type { Scope } from "@pilothouse/lifecycle";
import { prefixRange, StoreUnavailable, type Compare, type Store, type StoreOp } from "@pilothouse/store";
import type { Span, Telemetry } from "@pilothouse/telemetry";
import { storeKey } from "../../core/model.ts";
import { planRepair, type Holder, type Holdings, type RepairEvent, type RepairStep } from "../../core/repair-plan.ts";
import { ALLOCATIONS, holderValue } from "../../core/service-addresses.ts";
import { known } from "../../registry/known.ts";
import { createObject } from "../writes/create.ts";
import { ipAddressKey, ipAddressValue } from "../writes/hold-address.ts";
import type { WriteDeps } from "../writes/write-deps.ts";
import { internalContext } from "./internal-context.ts";

const INTERVAL_MS = 3 * 60_000;
/** What is taken away by hand is missed this much later: the Service may be going as well. */
const SETTLE_MS = 1_000;

export interface RepairDeps extends WriteDeps {
  readonly store: Store;
  readonly rvBase: number;
  /** Calls back for each IPAddress that goes, until it is called off. */
  readonly onAddressGone: (hear: (address: string) => void) => () => void;
}

/** Repairs until the scope closes. */
export function keepRepaired(deps: RepairDeps, telemetry: Telemetry, scope: Scope): void {
  const { clock } = deps.time;
  const repairOrLog = async (signal: AbortSignal): Promise<void> => {
    try {
      await repair(deps, telemetry, signal);
    } catch (error) {
      if (!(error instanceof StoreUnavailable)) telemetry.log.warn("allocations were not repaired", { error });
    }
  };
  const gone = new Set<string>();
  scope.defer(
    deps.onAddressGone((address) => {
      gone.add(address);
      if (gone.size > 1) return;
      scope.run("repair an address", async (signal) => {
        await sleep(clock, SETTLE_MS, signal);
        const isMissed = [...gone].some((one) => isHeld(deps, one));
        gone.clear();
        if (isMissed) await repairOrLog(signal);
      });
    }),
  );
  scope.run("repair allocations", async (signal) => {
    for (;;) {
      await repairOrLog(signal);
      await sleep(clock, INTERVAL_MS, signal);
    }
  });
}

function isHeld({ cached }: RepairDeps, address: string): boolean {
  return cached.cache.list(known.services.kind, "").entries.some(({ fields }) => fields["spec.clusterIP"] === address);
}

export async function repair(deps: RepairDeps, telemetry: Telemetry, signal: AbortSignal): Promise<void> {
  await deps.cached.cache.waitUntilCurrent(signal);
  const seen = await look(deps);
  const steps = planRepair(seen.holdings);
  if (steps.length === 0) return;
  const span = telemetry.tracer.start("repair allocations");
  try {
    for (const step of steps) {
      if (step.do !== "tell" && !(await carryOut(deps, seen, step, span))) continue;
      if ("event" in step && step.event) await tell(deps, step.event, span, signal);
    }
  } finally {
    span.end();
  }
}

interface Seen {
  readonly holdings: Holdings;
  /** By key, as the store counts them; absent: there was none. */
  readonly revisions: ReadonlyMap<string, number>;
}

/** All of one revision: the cache's. */
async function look({ cached, store, rvBase }: RepairDeps): Promise<Seen> {
  const revisions = new Map<string, number>();
  const all = <T>(type: { readonly kind: KindDefinition; readonly object?: T }): readonly T[] =>
    cached.cache.list(type.kind, "").entries.map((entry) => {
      revisions.set(entry.key, entry.revision - rvBase);
      return cached.parsed<T>(type, entry);
    });
  const objects = {
    services: all(known.services),
    ipAddresses: all(known.ipAddresses),
    serviceCidrs: all(known.serviceCidrs),
  };
  const revision = cached.cache.revision() - rvBase;
  const keys = new Map<string, Holder>();
  const range = prefixRange(ALLOCATIONS);
  for (let from: string | undefined = range.from; from !== undefined;) {
    const { entries, more } = await store.range({ from, to: range.to }, { revision });
    for (const { key, value, modRevision } of entries) {
      keys.set(key, holderOf(value));
      revisions.set(key, modRevision);
    }
    const last = entries.at(-1);
    from = more && last ? `${last.key}\0` : undefined;
  }
  return { holdings: { ...objects, keys }, revisions };
}

/** Of what cannot be read, nobody. */
function holderOf(value: Uint8Array): Holder {
  try {
    const { namespace, name } = JSON.parse(Buffer.from(value).toString("utf8")) as Partial<Holder>;
    return { namespace: namespace ?? "", name: name ?? "" };
  } catch {
    return { namespace: "", name: "" };
  }
}

/** False when something that it rests on has changed: the next look will tell. */
async function carryOut(
  deps: RepairDeps,
  { revisions }: Seen,
  step: Exclude<RepairStep, { do: "tell" }>,
  span: Span,
): Promise<boolean> {
  const asSeen = (key: string): Compare => ({ key, target: "modRevision", equals: revisions.get(key) ?? 0 });
  const serviceKey = ({ namespace = "", name = "" }: { namespace?: string; name?: string }): string =>
    storeKey(known.services.kind, namespace, name);
  const run = async (keys: readonly string[], then: readonly StoreOp[]): Promise<boolean> =>
    (await deps.store.txn({ compares: keys.map(asSeen), then })).succeeded;
  switch (step.do) {
    case "hold": {
      const value = holderValue(step.service);
      return run([serviceKey(step.service.metadata), step.key], [{ op: "put", key: step.key, value }]);
    }
    case "make address": {
      const key = ipAddressKey(step.address);
      const value = ipAddressValue(deps, step.address, step.service, span.context);
      return run([serviceKey(step.service.metadata), key], [{ op: "put", key, value }]);
    }
    case "drop address": {
      // What finalizers hold is theirs to let go.
      if ((step.ipAddress.metadata.finalizers ?? []).length > 0) return false;
      const key = ipAddressKey(step.ipAddress.metadata.name ?? "");
      return run([key, ...(step.parent ? [serviceKey(step.parent)] : [])], [{ op: "delete", key }]);
    }
    case "release":
      return run([step.key, serviceKey(step.holder)], [{ op: "delete", key: step.key }]);
  }
}

/** An event of the same name is there already while the trouble lasts; it goes with the other events, and is told again. */
async function tell(
  deps: RepairDeps,
  { about, component, reason, message }: RepairEvent,
  span: Span,
  signal: AbortSignal,
): Promise<void> {
  const { kind } = known.events;
  const { name = "", namespace, uid = "", resourceVersion = "" } = about.metadata;
  const now = new Date(deps.time.clock.now()).toISOString().replace(/\.\d+Z$/, "Z");
  const home = namespace ?? "default";
  const event: Event = {
    apiVersion: "v1",
    kind: "Event",
    metadata: { name: `${name}.${fnv32(`${uid} ${reason} ${message}`).toString(16)}`, namespace: home },
    involvedObject: {
      apiVersion: about.apiVersion ?? "",
      kind: about.kind ?? "",
      name,
      ...(namespace === undefined ? {} : { namespace }),
      uid,
      resourceVersion,
    },
    reason,
    message,
    type: "Warning",
    source: { component },
    reportingComponent: component,
    reportingInstance: "",
    firstTimestamp: now,
    lastTimestamp: now,
    count: 1,
  };
  const context = internalContext(span, kind, home, event.metadata.name ?? "", signal);
  try {
    await createObject(deps, context, kind, event as unknown as ApiObject, {
      dryRun: false,
      fieldManager: "kube-apiserver",
    });
  } catch (error) {
    if (!isStatus(error, "AlreadyExists")) throw error;
  }
}
