/** `pilot trace tail` and `pilot trace show`. */
import { systemClock, systemIds } from "@pilothouse/clock/system";
import type { Scope } from "@pilothouse/lifecycle";
import { followSpans, replaySpans, type ServiceSpan } from "@pilothouse/telemetry/span-listener";
import { ExplainedError } from "../cluster/errors.ts";
import type { ClusterAccess } from "./cluster-access.ts";
import { spanLine, subjectOf, waterfall, type WaterfallOptions } from "./waterfall.ts";

export interface TailFilter {
  readonly service?: string;
  readonly machine?: string;
  readonly trace?: string;
  readonly text?: string;
  readonly minMs?: number;
  readonly errors?: boolean;
}

export function passes(span: ServiceSpan, filter: TailFilter): boolean {
  if (filter.service !== undefined && span.service !== filter.service) return false;
  if (filter.machine !== undefined && span.host !== filter.machine) return false;
  if (filter.trace !== undefined && !span.context.traceId.startsWith(filter.trace)) return false;
  if (filter.minMs !== undefined && span.endTimeMs - span.startTimeMs < filter.minMs) return false;
  if (filter.errors && span.error === undefined) return false;
  return filter.text === undefined || `${span.name}${subjectOf(span)}`.includes(filter.text);
}

export interface TailView {
  readonly print: (line: string) => void;
  /** Told when the bus is lost and found again: what happened between is not shown. */
  readonly remark: (line: string) => void;
  readonly color: boolean;
  /** Whether lines say which machine. */
  readonly withHost: boolean;
}

/** Prints spans as they come, until the scope closes: over one NATS server after the other, if they fail. */
export async function tail(access: ClusterAccess, scope: Scope, filter: TailFilter, view: TailView): Promise<void> {
  const bus = await access.bus();
  const forget = bus.onStatus((connected) =>
    view.remark(connected ? "… listening again" : "… NATS is gone; looking for another server"),
  );
  scope.defer(forget);
  followSpans(bus, systemClock, scope, (span) => {
    if (passes(span, filter)) view.print(spanLine(span, view.color, view.withHost));
  });
}

/** `pods/web` (or `pod/web`, `deployment/web`) with its namespace, or a trace id: the waterfall of its creation. */
export async function show(
  access: ClusterAccess,
  what: string,
  namespace: string,
  view: WaterfallOptions,
): Promise<readonly string[]> {
  const spans = await replaySpans({ bus: await access.bus(), clock: systemClock, ids: systemIds });
  const traceId = /^[0-9a-f]{8,32}$/.test(what) ? what : traceOfObject(spans, what, namespace);
  const ofTrace = spans.filter(({ context }) => context.traceId.startsWith(traceId));
  if (ofTrace.length === 0) throw forgotten(what);
  return waterfall(ofTrace, view);
}

/** The trace in which the object was created: the first write of it that an apiserver remembers. */
export function traceOfObject(spans: readonly ServiceSpan[], what: string, namespace: string): string {
  const [type = "", name = ""] = what.split("/");
  const isType = (resource: unknown): boolean =>
    resource === type || resource === `${type}s` || resource === `${type}es`;
  const writes = spans.filter(
    ({ attributes }) =>
      isType(attributes["k8s.resource"]) &&
      attributes["k8s.name"] === name &&
      (attributes["k8s.namespace"] ?? "") === (attributes["k8s.namespace"] ? namespace : "") &&
      ["create", "update", "patch"].includes(String(attributes["k8s.verb"])),
  );
  const first = writes.find(({ attributes }) => attributes["k8s.verb"] === "create") ?? writes[0];
  if (!first) throw forgotten(what);
  return first.context.traceId;
}

function forgotten(what: string): ExplainedError {
  return new ExplainedError("PH-170", `No trace of ${what} is remembered.`);
}
