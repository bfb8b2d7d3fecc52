import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { BEHAVIOURS } from "./behaviours/index.ts";
import { printed, reportLines, summary, unknownOrDoubled, type Outcome, type Upstream } from "./report.ts";

const upstream = JSON.parse(readFileSync(join(import.meta.dirname, "upstream.json"), "utf8")) as Upstream;

test("every behaviour bears one of upstream's 446 names, and no two the same", () => {
  expect(Object.values(upstream).flat()).toHaveLength(446);
  expect(unknownOrDoubled(upstream, BEHAVIOURS)).toEqual([]);
  const [one] = BEHAVIOURS;
  if (!one) throw new Error("no behaviour at all");
  expect(unknownOrDoubled(upstream, [one, one, { ...one, name: "[sig-x] of our own" }])).toEqual([
    one.name,
    "[sig-x] of our own",
  ]);
});

test("the report has a line for each name: what held, what failed and why, what waits, what nobody has written", () => {
  const names: Upstream = {
    "apps/job.go": ["Job one", "Job two", "Job three", "Jobs on two nodes"],
    "apimachinery/webhook.go": ["Webhook"],
  };
  const outcomes = new Map<string, Outcome>([
    ["Job one", { kind: "holds", seconds: 1.25 }],
    ["Job two", { kind: "fails", seconds: 60, why: "it never ended\nand more" }],
    ["Jobs on two nodes", { kind: "too small", seconds: 0.1, why: "it has one node" }],
  ]);
  const lines = reportLines(names, outcomes);
  expect(printed(lines)).toMatchInlineSnapshot(`
    "
    apps/job.go
      ✔ Job one 1.3 s
      ✘ Job two
          it never ended
          and more
        Job three (no behaviour written yet)
      – Jobs on two nodes (not on this cluster: it has one node)

    apimachinery/webhook.go
      … Webhook (waits for admission webhooks)

    5 names: 1 hold, 1 fail, 1 ask for a larger cluster, 1 wait for parts that are not served yet, 1 have no behaviour written"
  `);
  expect(summary(lines)).toContain("1 hold, 1 fail");
});
