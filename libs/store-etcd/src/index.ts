/**
 * The etcd adapter of the store port.
 *
 * Purpose: etcd's v3 API over etcd3's transport: its protocol definition, service clients and `Host`; not its watch, lease,
 * retries or election, which skip events, repeat writes and wait for ever.
 * Promises: each call ends within its deadline; a read goes on at the next endpoint while its deadline lasts; a transaction is
 * sent at most once, and what is not surely undone is `outcome: "unknown"` (C3); a watch resumes after the last whole revision
 * that it handed over, at another endpoint where there is one (C4).
 * Does not promise: load balance. The first endpoint is preferred (a master's own etcd), the others stand by.
 * Limits: revisions below 2^53; keys are UTF-8; values handed out may be views into a larger message: copy what you keep.
 * A bundle must ship etcd3's `proto/` folder: etcd3 reads `../proto/rpc.proto` beside itself at start.
 */
import type { Clock } from "@pilothouse/clock";
import type { Store, StoreEntry, Transaction, TransactionResult, WatchOptions } from "@pilothouse/store";
import { StoreUnavailable } from "@pilothouse/store";
import { checkKey, checkStartRevision, checkTransaction, cutPage, storeLimits } from "@pilothouse/store/limits";
import type { IRangeResponse, ITxnResponse } from "etcd3";
import { Calls } from "./calls.ts";
import { channelCredentials } from "./connection.ts";
import type { TlsFiles } from "./connection.ts";
import { isAnswerTooLarge } from "./errors.ts";
import { keepAliveOnce } from "./lease.ts";
import { compareRequest, operationRequest, rangeRequest, safeNumber, toEntry } from "./messages.ts";
import { PageSize } from "./page-size.ts";
import { EtcdWatch } from "./watch.ts";

export type { TlsFiles } from "./connection.ts";
export { etcdMember } from "./member.ts";
export type { EtcdMember, EtcdMemberEntry, EtcdMemberOptions, EtcdMemberStatus } from "./member.ts";

export interface EtcdStoreOptions {
  /** `https://host:port` each, in the order of preference. */
  readonly endpoints: readonly string[];
  readonly tls?: TlsFiles;
  readonly clock: Clock;
}

const READ = { deadlineMs: 5_000, repeatable: true } as const;

export interface EtcdStore extends Store {
  /**
   * New content of the files. New connections are made with it beside the old ones, which are left when the new ones stand:
   * no call fails and no watch breaks. While a member refuses it, the old connection to that member is used on.
   */
  renew(tls: TlsFiles): void;
}

/** A store that dials when it is first used, and then keeps its connections until `close`. */
export function etcdStore({ endpoints, tls, clock }: EtcdStoreOptions): EtcdStore {
  if (endpoints.length === 0) throw new RangeError("etcd needs at least one endpoint");
  let channel = channelCredentials(tls);
  let held = tls;
  const calls = new Calls(endpoints, channel, clock);
  const watches = new Set<EtcdWatch>();
  const pageSize = new PageSize();
  let closed = false;

  const range = (request: object, serializable = false, signal?: AbortSignal): Promise<IRangeResponse> =>
    calls.run({ service: "KV", method: "range", request, leaderless: serializable, signal }, READ);

  return {
    async revision(signal) {
      // A count of a key that cannot exist: the cheapest linearizable question there is.
      const answer = await range({ key: Buffer.from("\0"), count_only: true }, false, signal);
      return safeNumber(answer.header.revision);
    },

    async get(key, options = {}) {
      checkKey(key);
      const answer = await range(rangeRequest(key, options), options.serializable, options.signal);
      const [kv] = answer.kvs;
      return { entry: kv && toEntry(kv), revision: safeNumber(answer.header.revision) };
    },

    async range(keys, options = {}) {
      checkKey(keys.from);
      const maxBytes = options.maxBytes ?? storeLimits.pageBytes;
      const request = {
        ...rangeRequest(keys, options),
        keys_only: options.keysOnly ?? false,
        count_only: options.countOnly ?? false,
      };
      let limit = Math.min(options.limit || Infinity, pageSize.entriesFor(maxBytes));
      for (;;) {
        try {
          const answer = await range({ ...request, limit }, options.serializable, options.signal);
          const entries = answer.kvs.map(toEntry);
          if (!options.keysOnly) pageSize.seen(entries.length, sizeBytes(entries));
          const page = cutPage(entries, maxBytes);
          return {
            entries: page,
            count: safeNumber(answer.count),
            more: !options.countOnly && (answer.more || page.length < entries.length),
            revision: safeNumber(answer.header.revision),
          };
        } catch (error) {
          if (!isAnswerTooLarge(error) || limit === 1) throw error;
          limit = Math.ceil(limit / 4);
        }
      }
    },

    async txn(txn: Transaction): Promise<TransactionResult> {
      checkTransaction(txn);
      const request = {
        compare: txn.compares.map(compareRequest),
        success: txn.then.map(operationRequest),
        failure: (txn.otherwise ?? []).map(operationRequest),
      };
      const deadlineMs = txn.deadlineMs ?? storeLimits.transactionDeadlineMs;
      const answer = await calls.run<ITxnResponse>(
        { service: "KV", method: "txn", request },
        { deadlineMs, repeatable: false },
      );
      const ran = answer.succeeded ? txn.then : (txn.otherwise ?? []);
      return {
        succeeded: answer.succeeded,
        revision: safeNumber(answer.header.revision),
        gets: ran.flatMap((operation, i) => (operation.op === "get" ? [firstFound(answer, i)] : [])),
      };
    },

    watch(options: WatchOptions) {
      checkStartRevision(options.startRevision);
      if (closed) throw new StoreUnavailable("the store is closed", "none");
      const watch: EtcdWatch = new EtcdWatch({ endpoints, channel: () => channel, clock }, options, () =>
        watches.delete(watch),
      );
      watches.add(watch);
      return watch;
    },

    async compact(revision) {
      await calls.run({ service: "KV", method: "compact", request: { revision } }, { ...READ, repeatable: false });
    },

    async grantLease(ttlSeconds) {
      // A repeated grant leaves one lease behind that nobody uses; it ends by itself.
      const request = { TTL: ttlSeconds, ID: 0 };
      const answer = await calls.run<{ ID: string; TTL: string }>(
        { service: "Lease", method: "leaseGrant", request },
        READ,
      );
      return { leaseId: answer.ID, ttlSeconds: safeNumber(answer.TTL) };
    },

    keepLeaseAlive: (leaseId) =>
      calls.attempt("Lease", READ, undefined, (connection, deadlineMs) =>
        keepAliveOnce(connection, clock, leaseId, deadlineMs),
      ),

    async revokeLease(leaseId) {
      await calls.run(
        { service: "Lease", method: "leaseRevoke", request: { ID: leaseId } },
        { ...READ, repeatable: false },
      );
    },

    renew(renewed) {
      if (closed || (held && isSame(held, renewed))) return;
      held = renewed;
      channel = channelCredentials(renewed);
      calls.renew(channel);
      for (const watch of watches) watch.moveOver();
    },

    async close() {
      closed = true;
      for (const watch of watches) watch.end({ reason: "closed" });
      calls.close();
    },
  };
}

function firstFound(answer: ITxnResponse, operation: number): StoreEntry | undefined {
  const kv = answer.responses[operation]?.response_range?.kvs[0];
  return kv && toEntry(kv);
}

function isSame(one: TlsFiles, other: TlsFiles): boolean {
  return (["ca", "cert", "key"] as const).every((part) => Buffer.compare(one[part], other[part]) === 0);
}

function sizeBytes(entries: readonly StoreEntry[]): number {
  return entries.reduce((bytes, entry) => bytes + entry.key.length + entry.value.length, 0);
}
