/** What an observation comes to, in figures. Pure. */
import type { Sample } from "../soak/checkers/availability.ts";

/** A write that was answered or failed, or a leader that was seen at work. */
export interface Moment {
  readonly what: "write" | "controllers" | "scheduler";
  readonly atMs: number;
  readonly ok: boolean;
  /** Of a write that was acknowledged. */
  readonly name?: string;
  readonly revision?: number;
  readonly why?: string;
}

export interface Seen {
  readonly lastedMs: number;
  readonly moments: readonly Moment[];
  /** Calls of the Service; `probe` is the machine that was called. */
  readonly samples: readonly Sample[];
  /** The writes that are there at the end. */
  readonly kept: ReadonlySet<string>;
  /** Running processes of containers, by machine. */
  readonly before: ReadonlyMap<string, ReadonlySet<string>>;
  readonly after: ReadonlyMap<string, ReadonlySet<string>>;
}

export interface Figures {
  readonly lastedMs: number;
  readonly writes: {
    readonly acknowledged: number;
    readonly failed: number;
    /** The longest time without an acknowledged one, and what was said meanwhile. */
    readonly longestGapMs: number;
    readonly reasons: readonly string[];
    readonly lost: number;
    /** Acknowledged with a resourceVersion that was not above that of the one before. */
    readonly backwards: number;
  };
  /** The longest time in which they were not seen to work. */
  readonly controllersIdleMs: number;
  readonly schedulerIdleMs: number;
  readonly service: Readonly<
    Record<string, { readonly asked: number; readonly failed: number; readonly longestGapMs: number }>
  >;
  readonly containers: { readonly before: number; readonly ended: number; readonly begun: number };
}

const MOST_REASONS = 4;

export function figuresOf({ lastedMs, moments, samples, kept, before, after }: Seen): Figures {
  const writes = moments.filter(({ what }) => what === "write");
  const acknowledged = writes.filter(({ ok }) => ok);
  const failed = writes.filter(({ ok }) => !ok);
  const idleMs = (wanted: Moment["what"]): number =>
    longestGapMs(
      moments.filter(({ what }) => what === wanted).map(({ atMs }) => atMs),
      lastedMs,
    );
  return {
    lastedMs,
    writes: {
      acknowledged: acknowledged.length,
      failed: failed.length,
      longestGapMs: longestGapMs(
        acknowledged.map(({ atMs }) => atMs),
        lastedMs,
      ),
      reasons: [...new Set(failed.map(({ why = "" }) => why.replaceAll(/write-[a-z0-9-]+/g, "…")))].slice(
        0,
        MOST_REASONS,
      ),
      lost: acknowledged.filter(({ name = "" }) => !kept.has(name)).length,
      backwards: acknowledged.filter(({ revision = 0 }, i) => i > 0 && revision <= (acknowledged[i - 1]?.revision ?? 0))
        .length,
    },
    controllersIdleMs: idleMs("controllers"),
    schedulerIdleMs: idleMs("scheduler"),
    service: Object.fromEntries(
      [...Map.groupBy(samples, ({ probe }) => probe)].map(([machine, calls]) => {
        const answered = calls.filter(({ ok }) => ok).map(({ atMs, tookMs }) => atMs + tookMs);
        const gap = longestGapMs(answered, lastedMs);
        return [machine, { asked: calls.length, failed: calls.length - answered.length, longestGapMs: gap }];
      }),
    ),
    containers: containerFigures(before, after),
  };
}

/** From the beginning to the first, between two, or from the last to the end. */
export function longestGapMs(timesMs: readonly number[], lastedMs: number): number {
  const all = [0, ...timesMs, lastedMs];
  return Math.max(...all.slice(1).map((atMs, i) => atMs - (all[i] as number)));
}

/** `<id> <pid>` of those that run, of what `ctr tasks list` says: a container that was started anew has another pid. */
export function containersOf(told: string): ReadonlySet<string> {
  return new Set(
    told
      .split("\n")
      .map((line) => /^(\S+)\s+(\d+)\s+RUNNING/.exec(line))
      .filter((match) => match !== null)
      .map(([, id, pid]) => `${id} ${pid}`),
  );
}

/** Machines that could not be asked both times are left out. */
function containerFigures(before: Seen["before"], after: Seen["after"]): Figures["containers"] {
  const figures = { before: 0, ended: 0, begun: 0 };
  for (const [machine, then] of before) {
    const now = after.get(machine);
    if (!now) continue;
    figures.before += then.size;
    figures.ended += [...then].filter((container) => !now.has(container)).length;
    figures.begun += [...now].filter((container) => !then.has(container)).length;
  }
  return figures;
}

/** A paragraph for people. */
export function tell({ lastedMs, writes, controllersIdleMs, schedulerIdleMs, service, containers }: Figures): string {
  const seconds = (ms: number): string => `${(ms / 1_000).toFixed(1)} s`;
  const { acknowledged, failed, longestGapMs: gap, lost, backwards, reasons } = writes;
  const calls = Object.entries(service).map(
    ([machine, { asked, failed, longestGapMs: silent }]) => `${machine} ${failed}/${asked} failed, ${seconds(silent)}`,
  );
  return [
    `observed for ${seconds(lastedMs)}`,
    `writes: ${acknowledged} acknowledged, ${failed} failed, longest gap ${seconds(gap)}; lost ${lost}, revisions backwards ${backwards}`,
    ...reasons.map((reason) => `  failed: ${reason}`),
    `longest without work of controllers ${seconds(controllersIdleMs)}, of the scheduler ${seconds(schedulerIdleMs)}`,
    `Service at ${calls.join("; ")}`,
    `containers: ${containers.before} before, ${containers.ended} of them ended, ${containers.begun} begun`,
  ].join("\n");
}
