/** A form in which cached objects are read: how entries become bytes, and what stands around them. Pure. */
import { jsonWatchFrame, type WatchEventType } from "@pilothouse/api/codec/watch-frame";
import type { Status } from "@pilothouse/errors";
import type { ApiObject } from "@pilothouse/kinds/kind";
import type { CacheEntry } from "../model.ts";

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
  readonly list: ListForm;
  /** One frame of a watch. `isFirst`: nothing but bookmarks came before it. */
  event(type: WatchEventType, shown: Shown, isFirst: boolean): Uint8Array;
  bookmark(resourceVersion: string, initialEventsEnd: boolean): Uint8Array;
  error(status: Status): Uint8Array;
}

/** How a list is put around its elements, so that it is sent as it is made. */
export interface ListForm {
  /**
   * True when the size is to be known before the first byte is sent: because elements are at hand as they are sent, or
   * because the head tells it; then they are made once to be measured and again to be sent, rather than kept.
   */
  readonly isMeasured: boolean;
  /** Stands before an element; `index` from 0. */
  lead(item: Uint8Array, index: number): Uint8Array;
  /** `itemsBytes`: of all elements, leads included; 0 when they are not measured. */
  around(meta: ListMeta, count: number, itemsBytes: number): { readonly head: Uint8Array; readonly tail: Uint8Array };
}

/** A JSON list: what `startOf` gives, and then its elements under the name `items`. */
export function jsonList(startOf: (meta: ListMeta) => object, items: "items" | "rows", isMeasured: boolean): ListForm {
  return {
    isMeasured,
    lead: (_item, index) => (index === 0 ? NOTHING : COMMA),
    around: (meta) => ({
      head: Buffer.from(`${JSON.stringify(startOf(meta)).slice(0, -1)},"${items}":[`),
      tail: JSON_TAIL,
    }),
  };
}

/** Marks the end of the initial events (wire trap 14). */
export const INITIAL_EVENTS_END = "k8s.io/initial-events-end";

export const NOTHING: Uint8Array = new Uint8Array();
const COMMA: Uint8Array = Buffer.from(",");
const JSON_TAIL: Uint8Array = Buffer.from("]}\n");

export function jsonError(status: Status): Uint8Array {
  return jsonWatchFrame("ERROR", Buffer.from(JSON.stringify(status)));
}

export function parsed({ bytes }: Shown): ApiObject {
  return JSON.parse(textOf(bytes)) as ApiObject;
}

function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("utf8");
}
