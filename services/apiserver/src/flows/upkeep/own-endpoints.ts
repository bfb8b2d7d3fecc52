/**
 * The endpoints of the `kubernetes` Service: every apiserver that lives. Each holds a leased key; each writes the endpoints
 * from all keys, so that a dead apiserver's address is gone a lease after its last beat.
 */
import type { EndpointSlice } from "@pilothouse/api/types/discovery-v1";
import { sleep } from "@pilothouse/clock";
import { kindOf } from "@pilothouse/kinds";
import type { ApiObject, KindDefinition } from "@pilothouse/kinds/kind";
import type { Scope } from "@pilothouse/lifecycle";
import { prefixRange, StoreUnavailable, type Store } from "@pilothouse/store";
import type { Telemetry } from "@pilothouse/telemetry";
import { internalContext } from "./internal-context.ts";
import { change } from "../writes/update.ts";
import type { WriteDeps } from "../writes/write-deps.ts";

const APISERVERS = "/pilothouse/apiservers/";
const LEASE_SECONDS = 15;
const INTERVAL_MS = 5_000;
const OPTIONS = { dryRun: false, fieldManager: "kube-apiserver", fieldValidation: "Ignore", force: undefined } as const;

export interface OwnEndpointsOptions {
  readonly name: string;
  readonly address: string;
  readonly port: number;
}

export interface OwnEndpointsDeps extends WriteDeps {
  readonly store: Store;
}

/** Announces this apiserver and keeps the endpoints true until the scope closes. */
export function keepOwnEndpoints(
  deps: OwnEndpointsDeps,
  telemetry: Telemetry,
  { name, address, port }: OwnEndpointsOptions,
  scope: Scope,
): void {
  const { store, time } = deps;
  let leaseId: string | undefined;

  const announce = async (): Promise<void> => {
    if (leaseId !== undefined && (await store.keepLeaseAlive(leaseId)) > 0) return;
    ({ leaseId } = await store.grantLease(LEASE_SECONDS));
    const value = Buffer.from(JSON.stringify({ address, port }));
    await store.txn({ compares: [], then: [{ op: "put", key: `${APISERVERS}${name}`, value, leaseId }] });
  };

  scope.run("own endpoints", async (signal) => {
    for (;;) {
      try {
        await announce();
        await writeEndpoints(deps, telemetry, await livingAddresses(store), port, signal);
      } catch (error) {
        if (!(error instanceof StoreUnavailable))
          telemetry.log.warn("the kubernetes endpoints were not written", { error });
      }
      await sleep(time.clock, INTERVAL_MS, signal);
    }
  });
  scope.defer(async () => {
    if (leaseId !== undefined) await store.revokeLease(leaseId);
  });
}

async function livingAddresses(store: Store): Promise<readonly string[]> {
  const { entries } = await store.range(prefixRange(APISERVERS));
  const addresses = entries.map(
    ({ value }) => (JSON.parse(Buffer.from(value).toString()) as { address: string }).address,
  );
  return [...new Set(addresses)].sort();
}

async function writeEndpoints(
  deps: WriteDeps,
  telemetry: Telemetry,
  addresses: readonly string[],
  port: number,
  signal: AbortSignal,
): Promise<void> {
  const ensure = async (kind: KindDefinition, wanted: ApiObject): Promise<void> => {
    const stored = await deps.objects.read(kind, "default", "kubernetes");
    if (stored && holds(stored.object, wanted)) return;
    const span = telemetry.tracer.start("write the kubernetes endpoints");
    const context = internalContext(span, kind, "default", "kubernetes", signal);
    try {
      await change(deps, context, kind, {
        options: OPTIONS,
        mayCreate: true,
        fresh: () => wanted,
        next: (copied) => {
          const old = copied();
          return { ...old, ...wanted, metadata: { ...old.metadata, labels: wanted.metadata.labels ?? {} } };
        },
      });
    } finally {
      span.end();
    }
  };
  await ensure(required("", "endpoints"), endpointsOf(addresses, port));
  await ensure(required("discovery.k8s.io", "endpointslices"), sliceOf(addresses, port));
}

/** True when every field wanted is as it is wanted; the server's own fields do not count. */
function holds(object: ApiObject, wanted: ApiObject): boolean {
  return ["subsets", "endpoints", "ports"].every(
    (field) => JSON.stringify(sorted(object[field])) === JSON.stringify(sorted(wanted[field])),
  );
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, member]) => [key, sorted(member)]),
  );
}

function endpointsOf(addresses: readonly string[], port: number): ApiObject {
  return {
    apiVersion: "v1",
    kind: "Endpoints",
    metadata: {
      name: "kubernetes",
      namespace: "default",
      labels: { "endpointslice.kubernetes.io/skip-mirror": "true" },
    },
    subsets: [{ addresses: addresses.map((ip) => ({ ip })), ports: [{ name: "https", port, protocol: "TCP" }] }],
  };
}

function sliceOf(addresses: readonly string[], port: number): ApiObject {
  const slice: EndpointSlice = {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { name: "kubernetes", namespace: "default", labels: { "kubernetes.io/service-name": "kubernetes" } },
    addressType: "IPv4",
    endpoints: addresses.map((address) => ({ addresses: [address], conditions: { ready: true } })),
    ports: [{ name: "https", port, protocol: "TCP" }],
  };
  return slice as unknown as ApiObject;
}

function required(group: string, resource: string): KindDefinition {
  const kind = kindOf(group, "v1", resource);
  if (!kind) throw new Error(`${resource} are not served`);
  return kind;
}
