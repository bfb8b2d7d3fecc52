/** A form in which cached objects are read: how entries become bytes, and what stands around them. Pure. */
import { jsonWatchFrame, type WatchEventType } from "@pilothouse/api/codec/watch-frame";
import type { Status } from "@pilothouse/errors";
import type { ApiObject } from "@pilothouse/kinds/kind";
import type { CacheEntry } from "./model.ts";

/** What a form needs of an object. */
export type Shown = Pick<CacheEntry, "bytes"> & Partial<Pick<CacheEntry, "trace">>;

export interface ListMeta {
  readonly resourceVersion: string;
  readonly continue?: string;
  readonly remainingItemCount?: number;
}

export interface Form {
  /** Tells this form of an object from others: what bytes are shared by. Undefined: they cost nothing, or differ. */
  readonly shareKey: string | undefined;
  /** The same for frames of changes, which many watchers send at once. */
  readonly changeShareKey: string | undefined;
  readonly contentType: string;
  readonly watchContentType: string;
  /** The body of a GET. */
  object(shown: Shown): Uint8Array;
  /** One element of a list. */
  item(shown: Shown): Uint8Array;
  /** What stands around the elements: streamed when the parts are known beforehand, else made of all elements. */
  readonly list:
    | {
        readonly kind: "streamed";
        parts(meta: ListMeta): { readonly head: Uint8Array; readonly separator: Uint8Array; readonly tail: Uint8Array };
      }
    | { readonly kind: "whole"; make(meta: ListMeta, items: readonly Uint8Array[]): Uint8Array };
  /** One frame of a watch. `isFirst`: nothing but bookmarks came before it. */
  event(type: WatchEventType, shown: Shown, isFirst: boolean): Uint8Array;
  bookmark(resourceVersion: string, initialEventsEnd: boolean): Uint8Array;
  error(status: Status): Uint8Array;
}

/** Marks the end of the initial events (wire trap 14). */
export const INITIAL_EVENTS_END = "k8s.io/initial-events-end";

export const COMMA: Uint8Array = Buffer.from(",");

export function jsonError(status: Status): Uint8Array {
  return jsonWatchFrame("ERROR", Buffer.from(JSON.stringify(status)));
}

export function parsed({ bytes }: Shown): ApiObject {
  return JSON.parse(textOf(bytes)) as ApiObject;
}

function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("utf8");
}
