/** A change as a bus message tells it. */
import { changeHeaders, type BusMessage } from "@pilothouse/bus";
import type { KubernetesObject } from "@pilothouse/client";
import { parseTraceparent, type TraceContext } from "@pilothouse/telemetry";
import type { ChainStep } from "./chain.ts";

export interface ChangeMessage extends ChainStep {
  readonly event: "ADDED" | "MODIFIED" | "DELETED" | "BOOKMARK";
  readonly epoch: string;
  /** `namespace/name`, or `name`; "" on a bookmark. */
  readonly key: string;
  readonly trace: TraceContext | undefined;
  /** Of a bookmark: when the next one comes at the latest. */
  readonly intervalMs: number | undefined;
  /** Undefined when the payload was too large or secret to travel. */
  object(): KubernetesObject | undefined;
}

const decoder = new TextDecoder();
const EVENTS = ["ADDED", "MODIFIED", "DELETED", "BOOKMARK"] as const;

/** Undefined for what is no change at all; the sender is then ignored. */
export function readChange({ headers, payload }: BusMessage): ChangeMessage | undefined {
  const event = EVENTS.find((name) => name === headers[changeHeaders.type]);
  const revision = Number(headers[changeHeaders.revision]);
  const previous = Number(headers[changeHeaders.previous]);
  if (!event || !Number.isSafeInteger(revision) || !Number.isSafeInteger(previous)) return undefined;
  const interval = Number(headers[changeHeaders.interval]);
  return {
    event,
    type: event === "BOOKMARK" ? "bookmark" : "change",
    revision,
    previous,
    part: partOf(headers[changeHeaders.part]),
    epoch: headers[changeHeaders.epoch] ?? "",
    key: headers[changeHeaders.key] ?? "",
    trace: parseTraceparent(headers[changeHeaders.traceparent]),
    intervalMs: interval > 0 ? interval : undefined,
    object: () => (payload.length === 0 ? undefined : (JSON.parse(decoder.decode(payload)) as KubernetesObject)),
  };
}

function partOf(text: string | undefined): ChainStep["part"] {
  const match = /^(\d+)\/(\d+)$/.exec(text ?? "");
  return match ? { number: Number(match[1]), of: Number(match[2]) } : { number: 1, of: 1 };
}
