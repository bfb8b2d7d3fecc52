/** Between etcd's messages and the store's types. */
import type { Compare, KeyRange, ReadOptions, StoreChange, StoreEntry, StoreOp } from "@pilothouse/store";
import { CompareResult, CompareTarget } from "etcd3";
import type { ICompare, IEvent, IKeyValue, IRangeRequest, IRequestOp } from "etcd3";

/** A 64-bit number of etcd as ours. Throws rather than lose a digit. */
export function safeNumber(text: string | number): number {
  const number = Number(text);
  if (!Number.isSafeInteger(number)) throw new RangeError(`etcd sent a number that we cannot hold exactly: ${text}`);
  return number;
}

export function toEntry(kv: IKeyValue): StoreEntry {
  return {
    key: kv.key.toString("utf8"),
    value: kv.value,
    createRevision: safeNumber(kv.create_revision),
    modRevision: safeNumber(kv.mod_revision),
    version: safeNumber(kv.version),
    ...(kv.lease === "0" ? {} : { leaseId: kv.lease }),
  };
}

export function toChange(event: IEvent): StoreChange {
  // etcd leaves the previous value away where it is compacted or never was; protobuf then gives null.
  const previous = event.prev_kv ? toEntry(event.prev_kv) : undefined;
  // The wire spells `PUT` and `DELETE`, unlike etcd3's type.
  if (event.type.toUpperCase() === "PUT") return { type: "put", entry: toEntry(event.kv), previous };
  return {
    type: "delete",
    key: event.kv.key.toString("utf8"),
    modRevision: safeNumber(event.kv.mod_revision),
    previous,
  };
}

export function rangeRequest(range: KeyRange | string, options: ReadOptions): IRangeRequest {
  const keys =
    typeof range === "string"
      ? { key: Buffer.from(range) }
      : { key: Buffer.from(range.from), range_end: Buffer.from(range.to) };
  return { ...keys, revision: options.revision ?? 0, serializable: options.serializable ?? false };
}

export function compareRequest(compare: Compare): ICompare {
  const key = Buffer.from(compare.key);
  return compare.target === "modRevision"
    ? { key, result: CompareResult.Equal, target: CompareTarget.Mod, mod_revision: compare.equals }
    : { key, result: CompareResult.Equal, target: CompareTarget.Create, create_revision: compare.equals };
}

export function operationRequest(operation: StoreOp): IRequestOp {
  const key = Buffer.from(operation.key);
  switch (operation.op) {
    case "get":
      return { request_range: { key } };
    case "delete":
      return { request_delete_range: { key } };
    case "put":
      return { request_put: { key, value: asBuffer(operation.value), lease: operation.leaseId ?? 0 } };
  }
}

/** The same bytes as a Buffer, without a copy. */
function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
