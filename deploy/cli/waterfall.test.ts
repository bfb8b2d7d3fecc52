import type { ServiceSpan } from "@pilothouse/telemetry/span-listener";
import { expect, test } from "vitest";
import { spanLine, waterfall } from "./waterfall.ts";

function span(
  service: string,
  id: string,
  name: string,
  startTimeMs: number,
  endTimeMs: number,
  more: Partial<ServiceSpan> & { below?: string } = {},
): ServiceSpan {
  const context = (spanId: string): ServiceSpan["context"] => ({
    traceId: "abc".padEnd(32, "0"),
    spanId,
    sampled: true,
  });
  return {
    service,
    instance: "m",
    name,
    context: context(id),
    parent: more.below === undefined ? undefined : context(more.below),
    links: [],
    kind: "internal",
    startTimeMs,
    endTimeMs,
    attributes: {},
    events: [],
    error: undefined,
    ...more,
  };
}

test("a trace reads as a tree on one time axis", () => {
  const spans = [
    span("kubelet", "3", "start container", 600, 1000, { below: "2", error: "no such image" }),
    span("apiserver", "1", "create pods", 0, 20, { attributes: { "k8s.namespace": "default", "k8s.name": "web" } }),
    span("scheduler", "2", "schedule", 20, 30, { below: "1" }),
    span("proxy", "9", "program", 900, 950, { below: "lost" }),
  ];
  expect(waterfall(spans, { barWidth: 20, color: false })).toEqual([
    "trace abc00000000000000000000000000000 · 4 spans in 4 processes · 1.00 s",
    "apiserver create pods default/web   +0.0 ms    20 ms █",
    "scheduler   schedule                 +20 ms    10 ms █",
    "kubelet       start container       +600 ms   400 ms             ████████ ✘ no such image",
    "proxy     program                   +900 ms    50 ms                   █",
  ]);
});

test("a span is one line in the tail", () => {
  expect(spanLine(span("dns", "1", "answer", 0, 5), false)).toBe(
    "00:00:00.005 dns                  5.0 ms answer abc00000",
  );
});
