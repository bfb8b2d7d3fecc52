/** The report as one HTML file that opens without a network: its plots are in it. Pure. */
import { buckets } from "../checkers/availability.ts";
import type { ProcessSample, Slope } from "../checkers/slopes.ts";
import { verdictOf } from "../finding.ts";
import type { LeaderSeen } from "../workload/leaders.ts";
import type { SoakOutcome } from "./outcome.ts";
import { barPlot, escapeText, linePlot, type Bar, type Series } from "./plot.ts";

const BUCKETS = 240;
const LEAST_BUCKET_MS = 1_000;
/** Longer than between two looks: nobody led, or nobody could be asked. */
const UNSEEN_MS = 5_000;
const MB = 2 ** 20;

const STYLE = `
body { font: 14px/1.5 system-ui, sans-serif; max-width: 1140px; margin: 2rem auto; padding: 0 1rem; color: #222; background: #fff }
h1 { font-size: 1.4rem } h2 { font-size: 1.1rem; margin-top: 2rem }
table { border-collapse: collapse } td, th { padding: 2px 10px; border-bottom: 1px solid #ddd; text-align: left; vertical-align: top }
td.number { text-align: right; font-variant-numeric: tabular-nums } pre { white-space: pre-wrap; margin: 0 }
.bad { color: #b00020; font-weight: 600 } .good { color: #1b7f3b; font-weight: 600 }
svg { display: block; width: 100%; margin: 1rem 0 } .title { font-weight: 600; font-size: 13px } .tick { font-size: 11px; fill: #555 }
.legend { font-size: 11px } .line { fill: none; stroke-width: 1.3 } .grid { stroke: #e3e3e3 } .band { fill: #f4c7a1; fill-opacity: 0.45 }
`;

export function reportHtml(outcome: SoakOutcome): string {
  const { seed, begun, lastedMs, findings, faults } = outcome;
  const verdict = `<span class="${findings.length === 0 ? "good" : "bad"}">${verdictOf(findings)}</span>`;
  return `<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Soak ${escapeText(seed)}</title><style>${STYLE}</style>
<h1>Soak: ${verdict}</h1>
<p>Begun ${escapeText(begun)}, lasted ${(lastedMs / 60_000).toFixed(1)} minutes, seed <code>${escapeText(seed)}</code>,
${faults.length} faults. Bands in the plots are faults; point at one to read which.</p>
${
  findings.length === 0
    ? ""
    : `<h2>Findings</h2>${table(
        ["checker", "what"],
        findings.map(({ checker, message }) => [checker, pre(message)]),
      )}`
}
<h2>Requests</h2>
${requestPlots(outcome)}
<h2>Leaders</h2>
${leaderPlot(outcome)}
<h2>Figures</h2>
${figureTable(outcome)}
<h2>Faults</h2>
${table(
  ["from", "until", "what", ""],
  faults.map(({ fromMs, untilMs, text, failure }) => [
    seconds(fromMs),
    seconds(untilMs),
    escapeText(text),
    failure ? `<span class="bad">${escapeText(failure)}</span>` : "",
  ]),
)}
<h2>Memory and handles</h2>
${processPlots(outcome)}
${slopeTable(outcome.slopes)}
</html>
`;
}

function requestPlots({ samples, lastedMs, faults }: SoakOutcome): string {
  const widthMs = Math.max(LEAST_BUCKET_MS, lastedMs / BUCKETS);
  const byProbe = [...Map.groupBy(samples, ({ probe }) => probe)].map(
    ([probe, some]) => [probe, buckets(some, widthMs)] as const,
  );
  const success = byProbe.map(([name, stretches]): Series => ({
    name,
    points: stretches.map(({ atMs, asked, failed }) => ({ x: atMs, y: ((asked - failed) / asked) * 100 })),
  }));
  const times = (which: "medianMs" | "worstMs"): Series[] =>
    byProbe.map(([name, stretches]) => ({ name, points: stretches.map((it) => ({ x: it.atMs, y: it[which] })) }));
  const common = { lastedMs, bands: faults };
  return [
    linePlot(success, { ...common, title: "Answered, of all that asked", unit: "%", range: [0, 100] }),
    linePlot(times("medianMs"), { ...common, title: "Time to the answer, median", unit: "ms", isLogarithmic: true }),
    linePlot(times("worstMs"), { ...common, title: "Time to the answer, worst", unit: "ms", isLogarithmic: true }),
  ].join("\n");
}

function leaderPlot({ leaders, lastedMs, faults }: SoakOutcome): string {
  return barPlot(reigns(leaders), { title: "Who leads", lastedMs, bands: faults });
}

/** Consecutive sights of one leader as one bar. */
export function reigns(leaders: readonly LeaderSeen[]): Bar[] {
  const bars: Bar[] = [];
  const last = new Map<string, { -readonly [Name in keyof Bar]: Bar[Name] }>();
  for (const { atMs, election, identity } of leaders) {
    const before = last.get(election);
    if (before?.text === identity && atMs - before.untilMs <= UNSEEN_MS) before.untilMs = atMs;
    else {
      const bar = {
        row: election.replace("kube-", ""),
        label: machineOf(identity),
        text: identity,
        fromMs: atMs,
        untilMs: atMs,
      };
      last.set(election, bar);
      bars.push(bar);
    }
  }
  return bars;
}

/** An identity is of one incarnation: the machine's name, then what makes it its own. */
function machineOf(identity: string): string {
  return /^[a-z]+-\d+/.exec(identity)?.[0] ?? identity;
}

function processPlots({ processes, lastedMs, faults }: SoakOutcome): string {
  const byMachine = Map.groupBy(processes, ({ machine }) => machine);
  return [...byMachine]
    .sort(([one], [other]) => (one < other ? -1 : 1))
    .flatMap(([machine, samples]) => {
      const bands = faults.filter((fault) => fault.machine === machine);
      const plot = (title: string, unit: string, valueOf: (sample: ProcessSample) => number): string =>
        linePlot(seriesOf(samples, valueOf), { title: `${machine}: ${title}`, unit, lastedMs, bands });
      return [plot("memory", "MB", ({ rssBytes }) => rssBytes / MB), plot("handles", "", ({ handles }) => handles)];
    })
    .join("\n");
}

/** A restart is a gap. */
function seriesOf(samples: readonly ProcessSample[], valueOf: (sample: ProcessSample) => number): Series[] {
  return [...Map.groupBy(samples, ({ process }) => process)]
    .sort(([one], [other]) => (one < other ? -1 : 1))
    .map(([name, some]) => ({
      name,
      points: thinned(some).flatMap((sample, i, all) => {
        const isAnother = i > 0 && all[i - 1]?.pid !== sample.pid;
        const point = { x: sample.atMs, y: valueOf(sample) };
        return isAnother ? [{ x: sample.atMs, y: undefined }, point] : [point];
      }),
    }));
}

/** About as many as a plot can show; the first and the last of each incarnation stay. */
function thinned(samples: readonly ProcessSample[]): readonly ProcessSample[] {
  const every = Math.ceil(samples.length / BUCKETS);
  return samples.filter(({ pid }, i) => i % every === 0 || samples[i - 1]?.pid !== pid || samples[i + 1]?.pid !== pid);
}

function figureTable({ figures }: SoakOutcome): string {
  const rows = Object.entries(figures).flatMap(([part, all]) =>
    Object.entries(all).map(([name, value]) => [escapeText(part), escapeText(name), number(value)]),
  );
  return table(["part", "figure", ""], rows);
}

function slopeTable(slopes: readonly Slope[]): string {
  const rows = slopes.map(({ machine, process, hours, rssBytes, rssPercentPerHour, handles, handlesPerHour }) => [
    machine,
    process,
    number(hours, 2),
    number(rssBytes / MB, 1),
    number(rssPercentPerHour, 1),
    number(handles),
    number(handlesPerHour, 1),
  ]);
  return table(["machine", "process", "hours", "MB", "% an hour", "handles", "an hour"], rows);
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const row = (cells: readonly string[], tag: string): string =>
    `<tr>${cells.map((cell) => `<${tag}${/^-?[\d.,]+$/.test(cell) ? ` class="number"` : ""}>${cell}</${tag}>`).join("")}</tr>`;
  return `<table>${row(head, "th")}${rows.map((cells) => row(cells, "td")).join("\n")}</table>`;
}

function pre(text: string): string {
  return `<pre>${escapeText(text)}</pre>`;
}

function seconds(ms: number): string {
  return (ms / 1_000).toFixed(1);
}

function number(value: number, digits = 0): string {
  return Number.isInteger(value) ? String(value) : value.toFixed(Math.max(1, digits));
}
