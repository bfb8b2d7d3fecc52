import { expect, test } from "vitest";
import { reigns, reportHtml } from "./html.ts";
import type { SoakOutcome } from "./outcome.ts";
import { barPlot, linePlot } from "./plot.ts";
import { summaryOf } from "./summary.ts";

const outcome: SoakOutcome = {
  seed: "<7>",
  begun: "2026-01-01T00:00:00Z",
  lastedMs: 60_000,
  findings: [],
  figures: { api: { asked: 2, failed: 1 } },
  faults: [{ fault: "pause", machine: "master-1", text: "10 s: pause, master-1", fromMs: 10_000, untilMs: 15_000 }],
  samples: [
    { probe: "api", atMs: 1_000, tookMs: 4, ok: true },
    { probe: "api", atMs: 12_000, tookMs: 2_500, ok: false, why: "503" },
  ],
  processes: [
    { machine: "master-1", process: "etcd", pid: 1, atMs: 0, rssBytes: 2 ** 20, handles: 4 },
    { machine: "master-1", process: "etcd", pid: 1, atMs: 10_000, rssBytes: 2 ** 21, handles: 4 },
    { machine: "master-1", process: "etcd", pid: 2, atMs: 20_000, rssBytes: 2 ** 20, handles: 4 },
  ],
  slopes: [],
  leaders: [
    { atMs: 0, election: "kube-scheduler", identity: "master-1-x" },
    { atMs: 1_000, election: "kube-scheduler", identity: "master-1-x" },
    { atMs: 2_000, election: "kube-scheduler", identity: "master-2-y" },
    { atMs: 30_000, election: "kube-scheduler", identity: "master-2-y" },
  ],
};

test("the report is one file: it names no other, and shows what it was given as text", () => {
  const html = reportHtml(outcome);
  expect(html).toContain("every promise was kept");
  expect(html).toContain("&lt;7&gt;");
  expect(html).not.toMatch(/(src|href)=|url\(|@import|<script/);
  expect(html.match(/<svg /g)).toHaveLength(6);
});

test("findings come first, with all of their words", () => {
  const html = reportHtml({ ...outcome, findings: [{ checker: "orphans", message: "a <mount>\n    more" }] });
  expect(html).toContain(`<span class="bad">1 finding</span>`);
  expect(html).toContain("a &lt;mount&gt;\n    more");
});

test("a leader is a bar until another is seen, or nobody for a while", () => {
  expect(reigns(outcome.leaders).map(({ label, fromMs, untilMs }) => [label, fromMs, untilMs])).toEqual([
    ["master-1", 0, 1_000],
    ["master-2", 2_000, 2_000],
    ["master-2", 30_000, 30_000],
  ]);
});

test("what is kept of a soak are minutes and reigns, and all of its findings, faults and figures", () => {
  const { minutes, reigns: bars, ...rest } = summaryOf(outcome);
  expect(minutes).toEqual({ api: [{ atMs: 0, asked: 2, failed: 1, medianMs: 4, worstMs: 4 }] });
  expect(bars).toHaveLength(3);
  const { seed, begun, lastedMs, findings, figures, faults, slopes } = outcome;
  expect(rest).toEqual({ seed, begun, lastedMs, findings, figures, faults, slopes });
});

test("a process has as many points as can be seen, and each of its restarts is a gap", () => {
  const sampled = (count: number) =>
    Array.from({ length: count }, (_, i) => ({
      machine: "master-1",
      process: "etcd",
      pid: i < count / 2 ? 1 : 2,
      atMs: i * 10,
      rssBytes: 2 ** 20,
      handles: 4,
    }));
  const html = reportHtml({ ...outcome, processes: sampled(2_000) });
  expect(html.length).toBeLessThan(reportHtml({ ...outcome, processes: sampled(400) }).length * 1.5);
  const memory = html.split("<svg").find((plot) => plot.includes("master-1: memory")) ?? "";
  expect(/<path class="line"[^>]* d="([^"]*)"/.exec(memory)?.[1]?.match(/M/g)).toHaveLength(2);
});

test("a line breaks where there is no value, and a fault is a band of its time", () => {
  const points = [
    { x: 0, y: 0 },
    { x: 50, y: undefined },
    { x: 100, y: 10 },
  ];
  const bands = [{ fromMs: 50, untilMs: 100, text: "pause" }];
  const svg = linePlot([{ name: "a", points }], { title: "t", unit: "ms", lastedMs: 100, bands });
  expect(svg).toContain(`d="M120 166M950 26"`);
  expect(svg).toMatch(/<rect class="band" x="535" y="26" width="415" height="140"><title>pause<\/title>/);
  expect(barPlot([], { title: "t", lastedMs: 100, bands })).toContain("pause");
});

test("where usual and worst are far apart the axis has powers of ten, and both are seen", () => {
  const points = [
    { x: 0, y: 0.2 },
    { x: 50, y: 10 },
    { x: 100, y: 900 },
  ];
  const svg = linePlot([{ name: "a", points }], {
    title: "t",
    unit: "ms",
    lastedMs: 100,
    bands: [],
    isLogarithmic: true,
  });
  expect([...svg.matchAll(/>(\d+) ms</g)].map(([, mark]) => mark)).toEqual(["1", "10", "100", "1000"]);
  expect(svg).toContain(`d="M120 166L535 119.3L950 28.1"`);
});

test("no two processes of a machine look alike", () => {
  const series = Array.from({ length: 11 }, (_, i) => ({ name: `p${i}`, points: [] }));
  const svg = linePlot(series, { title: "t", unit: "", lastedMs: 100, bands: [] });
  expect(new Set([...svg.matchAll(/stroke="(#\w+)"/g)].map(([, color]) => color)).size).toBe(11);
});
