/**
 * The apiserver: the Kubernetes API over etcd.
 *
 * Purpose: one `handle(request)` behind every door; main.ts puts HTTPS before it, the simulation calls it directly.
 * Promises: holds no state that a restart would lose; every answer is Kubernetes' own; every write is one fenced transaction.
 * Does not promise: anything while etcd is away but reads of what the cache holds.
 * Limits: bodies of 3 MiB (the door's), `maxInFlight` requests at once beside watches.
 */
import type { Bus } from "@pilothouse/bus";
import { sleep, type Clock, type TimeAndChance } from "@pilothouse/clock";
import type { Crypto } from "@pilothouse/crypto";
import { StatusError } from "@pilothouse/errors";
import { kinds, views, type KindDefinition } from "@pilothouse/kinds";
import { Scope } from "@pilothouse/lifecycle";
import { StoreUnavailable, type Store } from "@pilothouse/store";
import { readRvBase } from "@pilothouse/store/rv-base";
import type { Logger, Telemetry } from "@pilothouse/telemetry";
import { Encodings } from "./cache/encodings.ts";
import { WatchCache } from "./cache/watch-cache.ts";
import type { ObjectStore, StoredObject, WriteOutcome } from "./core/model.ts";
import { discovery } from "./core/openapi/discovery.ts";
import { openApi } from "./core/openapi/openapi.ts";
import { addressRange } from "./core/service-addresses.ts";
import { createAllocations } from "./flows/writes/allocate.ts";
import { createBeside } from "./flows/writes/beside.ts";
import { createCharges } from "./flows/writes/charge.ts";
import { createAuthenticator } from "./flows/access/authenticate.ts";
import { createAuthorizer } from "./flows/access/authorizer.ts";
import { bootstrap } from "./flows/upkeep/bootstrap.ts";
import { keepClientCa } from "./flows/upkeep/client-ca.ts";
import { createAdmission } from "./flows/admission/admission.ts";
import { ADMISSION_PLUGINS } from "./flows/admission/plugins.ts";
import { createCachedObjects } from "./flows/reads/cached.ts";
import { startCompacting } from "./flows/upkeep/compact.ts";
import { createHandler, type Handler } from "./flows/handle.ts";
import { listFlow } from "./flows/reads/list.ts";
import type { NodeProxy } from "./flows/node-proxy.ts";
import { createObjectStore } from "./flows/writes/object-store.ts";
import { keepDefaultServiceCidr } from "./flows/upkeep/default-service-cidr.ts";
import { keepRepaired, type RepairDeps } from "./flows/upkeep/repair.ts";
import { keepOwnEndpoints } from "./flows/upkeep/own-endpoints.ts";
import { startPublishing } from "./flows/bus/publish.ts";
import { getFlow } from "./flows/reads/read.ts";
import { VERSION } from "./flows/system-paths.ts";
import { Turns } from "./flows/turns.ts";
import { watchFlow } from "./flows/reads/watch.ts";
import { known } from "./registry/known.ts";
import { virtualKinds } from "./registry/virtual-kinds.ts";

export interface ApiserverPorts {
  readonly time: TimeAndChance;
  readonly store: Store;
  readonly bus: Bus;
  readonly crypto: Crypto;
  readonly telemetry: Telemetry;
  readonly nodeProxy: NodeProxy;
}

export interface ApiserverConfig {
  /** Unique among the apiservers: names this one's bus feed. */
  readonly name: string;
  /** Under which the other machines reach it. */
  readonly advertiseAddress: string;
  readonly securePort: number;
  /** Default 198.19.0.0/16: .1 is the `kubernetes` Service, .10 the cluster DNS. */
  readonly serviceClusterIpRange?: string;
  /** Default https://kubernetes.default.svc.cluster.local. */
  readonly serviceAccountIssuer?: string;
  /** Default false: bootstrap tokens are nobody's. */
  readonly enableBootstrapTokenAuth?: boolean;
  /** Default 400. */
  readonly maxInFlight?: number;
  /** Between two compactions of etcd; history of twice as long is kept. Default 5 minutes. */
  readonly compactionIntervalMs?: number;
  /** Default true. */
  readonly withClusterDns?: boolean;
  /** PEM of the authorities of client certificates, as the ConfigMap extension-apiserver-authentication publishes it. */
  readonly clientCaPem?: string;
}

export interface ApiserverService extends Handler {
  /** True once the cache is loaded and the cluster's own objects exist. */
  ready(): boolean;
  /** Makes the OpenAPI documents that every kubectl asks for first, a step at a time; else the first to ask waits for all. */
  warmUp(): void;
  /** The keys of values at rest have changed: what could not be read is read again. */
  rereadUnreadable(): void;
  /** Authorities of client certificates have come or gone: the ConfigMap follows. */
  clientCaChanged(pem: string): void;
  /** Ends watches, answers what is in flight as it can, and gives its endpoint up. */
  close(): Promise<void>;
}

export const DEFAULT_SERVICE_RANGE = "198.19.0.0/16";
export const DEFAULT_ISSUER = "https://kubernetes.default.svc.cluster.local";
const ENCODINGS_BYTES = 32 << 20;

/** Resolves when it can serve: the cache is loaded, the bootstrap objects exist. */
export async function start(ports: ApiserverPorts, config: ApiserverConfig): Promise<ApiserverService> {
  const { time, store, bus, crypto, telemetry } = ports;
  const { clock, random } = time;
  const log = telemetry.log.with({ apiserver: config.name });
  const scope = new Scope("apiserver", (task, error) => log.error("a background task failed", { task, error }));
  const issuer = config.serviceAccountIssuer ?? DEFAULT_ISSUER;
  const serviceRange = addressRange(config.serviceClusterIpRange ?? DEFAULT_SERVICE_RANGE);

  const rvBase = await onceStoreAnswers({ clock, log }, scope, () => readRvBase(store));
  const cache = new WatchCache({ store, clock, ids: time.ids, log }, { kinds, rvBase });
  const objects = learning(createObjectStore({ store, clock, ids: time.ids }, rvBase), cache);
  await cache.start(scope);
  const cached = createCachedObjects(cache);
  const authorizer = createAuthorizer(cached);
  const beside = createBeside(time.ids, rvBase);
  const writes = {
    objects,
    cached,
    time,
    allocations: createAllocations({ store, cached, time: { ...time, random: random.fork("allocations") }, rvBase }),
    beside,
    charges: createCharges({ cached, clock, beside }),
    turns: new Turns(),
    admission: createAdmission({ cached, objects, time }, ADMISSION_PLUGINS),
    judgeSigner: (...asked: Parameters<typeof authorizer.judgeSigner>) => authorizer.judgeSigner(...asked),
    judgeEscalation: (...asked: Parameters<typeof authorizer.judgeEscalation>) => authorizer.judgeEscalation(...asked),
  };
  const encodings = new Encodings(ENCODINGS_BYTES);
  const reads = {
    cache,
    objects,
    store,
    clock,
    encodings,
    apiserver: config.name,
    rvBase,
    random: random.fork("watch"),
  };
  const sha256Hex = (bytes: Uint8Array): string => crypto.sha256Hex(bytes);
  const served = [...kinds, ...views, ...virtualKinds];
  const documents = openApi({ kinds: served, version: VERSION.gitVersion, sha256Hex });
  let isBootstrapped = false;

  const handler = createHandler({
    ...writes,
    get: getFlow(reads),
    list: listFlow(reads),
    watch: watchFlow(reads),
    authenticator: createAuthenticator(
      { crypto, clock, cached },
      { issuer, withBootstrapTokens: config.enableBootstrapTokenAuth ?? false },
    ),
    authorizer,
    audiences: [issuer],
    issuer,
    crypto,
    cache,
    telemetry,
    metrics: telemetry.metrics,
    nodeProxy: ports.nodeProxy,
    discovery: discovery({
      kinds: served,
      sha256Hex,
      serverAddress: `${config.advertiseAddress}:${config.securePort}`,
    }),
    openApi: documents,
    readyChecks: { "watch-cache": () => cache.ready(), "poststarthook/bootstrap": () => isBootstrapped },
    name: config.name,
    maxInFlight: config.maxInFlight ?? 400,
    closing: scope.signal,
  });

  const clusterObjects = {
    serviceRange,
    securePort: config.securePort,
    withClusterDns: config.withClusterDns ?? true,
  };
  let clientCaPem = config.clientCaPem;
  const publishClientCa = (pem: string): Promise<void> =>
    onceStoreAnswers({ clock, log }, scope, () => keepClientCa(writes, telemetry, pem, scope.signal));
  await onceStoreAnswers({ clock, log }, scope, () => bootstrap(writes, telemetry, clusterObjects, scope.signal));
  if (clientCaPem !== undefined) await publishClientCa(clientCaPem);
  isBootstrapped = true;
  startPublishing({ bus, cache, clock }, { apiserver: config.name, kinds }, scope);
  startCompacting({ store, clock, log }, scope, config.compactionIntervalMs);
  keepDefaultServiceCidr(writes, telemetry, serviceRange, scope);
  keepRepaired({ ...writes, store, rvBase, onAddressGone: hearGone(cache, known.ipAddresses.kind) }, telemetry, scope);
  keepOwnEndpoints(
    { ...writes, store },
    telemetry,
    { name: config.name, address: config.advertiseAddress, port: config.securePort },
    scope,
  );
  return {
    ...handler,
    ready: () => isBootstrapped && cache.ready(),
    warmUp: () =>
      scope.run("openapi", async () => {
        for (const _ of documents.warmUp()) {
          if (scope.signal.aborted) return;
          await clock.turn();
        }
      }),
    rereadUnreadable: () => cache.rereadUnreadable(),
    clientCaChanged(pem) {
      if (pem === clientCaPem) return;
      clientCaPem = pem;
      scope.run("client-ca", () => publishClientCa(pem));
    },
    close: () => scope.close(),
  };
}

const STORE_RETRY_MS = 500;

/** At start the store may not be there yet: that is waited for, and said. */
async function onceStoreAnswers<T>(
  { clock, log }: { clock: Clock; log: Logger },
  scope: Scope,
  work: () => Promise<T>,
): Promise<T> {
  for (;;) {
    try {
      return await work();
    } catch (error) {
      const isAway = error instanceof StoreUnavailable || (error instanceof StatusError && error.code >= 500);
      if (!isAway) throw error;
      log.warn("the store does not answer yet", { error });
    }
    await sleep(clock, STORE_RETRY_MS, scope.signal);
  }
}

/** Tells the name of each object of a kind that is deleted. */
function hearGone(cache: WatchCache, wanted: KindDefinition): RepairDeps["onAddressGone"] {
  return (hear) =>
    cache.listen({
      onChanges(kind, changes) {
        if (kind !== wanted) return;
        for (const { type, entry } of changes) if (type === "DELETED") hear(entry.name);
      },
      onEpoch() {},
    });
}

/** The cache hears of every revision written or found here: a stream that misses one is broken (C7). */
function learning(objects: ObjectStore, cache: WatchCache): ObjectStore {
  const learnt = <T extends { readonly revision: number } | undefined>(stored: T): T => {
    if (stored) cache.learn(stored.revision);
    return stored;
  };
  const learntOf = <T extends Pick<StoredObject, "revision">>(outcome: WriteOutcome<T>): WriteOutcome<T> => {
    learnt(outcome.kind === "written" ? outcome.stored : outcome.found);
    return outcome;
  };
  return {
    read: (...args) => objects.read(...args),
    create: async (...args) => learnt(await objects.create(...args)),
    replace: async (...args) => learntOf(await objects.replace(...args)),
    remove: async (...args) => learntOf(await objects.remove(...args)),
  };
}
