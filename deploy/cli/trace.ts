/** `pilot trace tail` and `pilot trace show`. */
import { systemClock, systemIds } from "@pilothouse/clock/system";
import { Scope } from "@pilothouse/lifecycle";
import { followSpans, replaySpans, type ServiceSpan } from "@pilothouse/telemetry/span-listener";
import { ExplainedError } from "../cluster/errors.ts";
import type { ClusterChoices, Layout } from "../cluster/layout.ts";
import { connectBus } from "./bus-connection.ts";
import { spanLine, subjectOf, waterfall } from "./waterfall.ts";

export interface TailFilter {
  readonly service?: string;
  readonly trace?: string;
  readonly text?: string;
  readonly minMs?: number;
  readonly errors?: boolean;
}

export function passes(span: ServiceSpan, filter: TailFilter): boolean {
  if (filter.service !== undefined && span.service !== filter.service) return false;
  if (filter.trace !== undefined && !span.context.traceId.startsWith(filter.trace)) return false;
  if (filter.minMs !== undefined && span.endTimeMs - span.startTimeMs < filter.minMs) return false;
  if (filter.errors && span.error === undefined) return false;
  return filter.text === undefined || `${span.name}${subjectOf(span)}`.includes(filter.text);
}

/** Prints spans as they come, until the process is interrupted. */
export async function tail(
  layout: Layout,
  choices: ClusterChoices,
  filter: TailFilter,
  print: (line: string) => void,
  color: boolean,
): Promise<void> {
  const scope = new Scope("pilot", (task, error) => print(`${task}: ${String(error)}`));
  const bus = await connectBus(layout, choices, scope);
  followSpans(bus, systemClock, scope, (span) => {
    if (passes(span, filter)) print(spanLine(span, color));
  });
  await new Promise<void>((resolve) => process.once("SIGINT", resolve));
  await scope.close();
}

/** `pods/web` (or `pod/web`, `deployment/web`) with its namespace, or a trace id: the waterfall of its creation. */
export async function show(
  layout: Layout,
  choices: ClusterChoices,
  what: string,
  namespace: string,
  view: { readonly barWidth: number; readonly color: boolean },
): Promise<readonly string[]> {
  const scope = new Scope("pilot", () => {});
  try {
    const bus = await connectBus(layout, choices, scope);
    const spans = await replaySpans({ bus, clock: systemClock, ids: systemIds });
    const traceId = /^[0-9a-f]{8,32}$/.test(what) ? what : traceOfObject(spans, what, namespace);
    const ofTrace = spans.filter(({ context }) => context.traceId.startsWith(traceId));
    if (ofTrace.length === 0) throw forgotten(what);
    return waterfall(ofTrace, view);
  } finally {
    await scope.close();
  }
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
