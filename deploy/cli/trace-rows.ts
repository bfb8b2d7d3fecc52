/** A trace in the order in which it is read: depth first, with a row for each wait between a cause and its effect. Pure. */
import type { ServiceSpan } from "@pilothouse/telemetry/span-listener";

export interface Row {
  readonly depth: number;
  /** The span; of a wait: the one that came after it. */
  readonly span: ServiceSpan;
  /** What was waited for; undefined where the row is the span itself. */
  readonly wait: string | undefined;
  readonly startMs: number;
  readonly endMs: number;
}

/** Shorter ones are no more than what clocks cannot tell apart. */
const SHOWN_WAIT_MS = 2;

/** What lies between the end of a cause and the start of its effect, by where they are; the first that fits. */
interface WaitRule {
  readonly fits: (gap: Gap) => boolean;
  readonly name: (to: ServiceSpan) => string;
}

interface Gap {
  readonly parent: ServiceSpan;
  readonly child: ServiceSpan;
  /** What the child's process did last for the same cause. */
  readonly before: ServiceSpan | undefined;
}

/** Queues' own waits are spans (`… queue`): only what no process sees is left for this table. */
const WAITS: readonly WaitRule[] = [
  { fits: ({ before }) => before !== undefined, name: ({ service }) => `${service} waits for more news` },
  {
    fits: ({ parent, child }) => isSameProcess(parent, child),
    name: ({ service }) => `waits for its turn in ${service}`,
  },
  { fits: () => true, name: ({ service }) => `news on its way to ${service}` },
];

/** Children stand in the order of their start. */
export function inTree(spans: readonly ServiceSpan[]): readonly Row[] {
  const byId = new Map(spans.map((span) => [span.context.spanId, span]));
  const children = Map.groupBy(spans, ({ parent }) => (parent && byId.has(parent.spanId) ? parent.spanId : ""));
  const rows: Row[] = [];
  const seen = new Set<string>();
  const visit = (parent: ServiceSpan | undefined, depth: number): void => {
    const below = [...(children.get(parent?.context.spanId ?? "") ?? [])].sort((a, b) => a.startTimeMs - b.startTimeMs);
    const done: ServiceSpan[] = [];
    for (const span of below) {
      if (seen.has(span.context.spanId)) continue;
      seen.add(span.context.spanId);
      const wait = parent && waitBetween(parent, span, done);
      if (wait) rows.push({ ...wait, depth, span });
      rows.push({ depth, span, wait: undefined, startMs: span.startTimeMs, endMs: span.endTimeMs });
      done.push(span);
      visit(span, depth + 1);
    }
  };
  visit(undefined, 0);
  return rows;
}

/** From when its cause, and what the same process did for the same cause, was over. Within a running parent nobody waits. */
function waitBetween(
  parent: ServiceSpan,
  child: ServiceSpan,
  siblings: readonly ServiceSpan[],
): Pick<Row, "wait" | "startMs" | "endMs"> | undefined {
  const before = siblings.findLast((sibling) => isSameProcess(sibling, child));
  const startMs = Math.max(parent.endTimeMs, before?.endTimeMs ?? 0);
  const endMs = child.startTimeMs;
  if (endMs - startMs < SHOWN_WAIT_MS) return undefined;
  const rule = WAITS.find(({ fits }) => fits({ parent, child, before })) as WaitRule;
  return { wait: rule.name(child), startMs, endMs };
}

function isSameProcess(a: ServiceSpan, b: ServiceSpan): boolean {
  return a.service === b.service && a.instance === b.instance && a.host === b.host;
}
