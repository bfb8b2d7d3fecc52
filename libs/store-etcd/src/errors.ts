/** What etcd's answers mean to us, as one table: first row that fits wins. */
import { status } from "@grpc/grpc-js";
import type { ServiceError } from "@grpc/grpc-js";
import { RevisionCompacted, RevisionInFuture, StoreRefused, StoreUnavailable } from "@pilothouse/store";
import type { RefusalReason } from "@pilothouse/store";

interface Row {
  readonly says: RegExp;
  readonly means: (error: ServiceError) => Error;
}

/** etcd's own words; they come only from a member that has understood the request and has not carried it out. */
const rows: readonly Row[] = [
  { says: /required revision has been compacted/, means: () => new RevisionCompacted(0) },
  { says: /required revision is a future revision/, means: (error) => new RevisionInFuture(error.details) },
  { says: /requested lease not found/, means: (error) => refused("leaseNotFound", error) },
  { says: /duplicate key given/, means: (error) => refused("duplicateKey", error) },
  { says: /request is too large/, means: (error) => refused("tooLarge", error) },
  { says: /too many operations/, means: (error) => refused("tooManyOperations", error) },
  { says: /database space exceeded/, means: (error) => refused("noSpace", error) },
  {
    says: /too many requests|etcdserver: no leader|etcdserver: not capable/,
    means: (error) => unavailable("none", error),
  },
];

/** Codes with which a server refuses a request before doing it. */
const refusals = new Set<status>([
  status.INVALID_ARGUMENT,
  status.NOT_FOUND,
  status.ALREADY_EXISTS,
  status.PERMISSION_DENIED,
  status.UNAUTHENTICATED,
  status.FAILED_PRECONDITION,
  status.OUT_OF_RANGE,
  status.UNIMPLEMENTED,
]);

/** The store's error for a call that was sent and failed. */
export function storeError(error: ServiceError): Error {
  const row = rows.find(({ says }) => says.test(error.details));
  if (row) return row.means(error);
  if (refusals.has(error.code)) return refused("invalid", error);
  return unavailable("unknown", error);
}

/** True if our own limit, not etcd, has refused the answer: a smaller page will do. */
export function isAnswerTooLarge(error: unknown): boolean {
  return error instanceof StoreUnavailable && /Received message larger than max/.test(error.message);
}

function refused(reason: RefusalReason, error: ServiceError): StoreRefused {
  return new StoreRefused(reason, error.details, { cause: error });
}

function unavailable(outcome: "none" | "unknown", error: ServiceError): StoreUnavailable {
  return new StoreUnavailable(`etcd: ${error.details}`, outcome, { cause: error });
}
