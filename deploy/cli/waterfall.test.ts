import type { ServiceSpan } from "@pilothouse/telemetry/span-listener";
import { expect, test } from "vitest";
import { imaginedSpan, type ImaginedSpan } from "./span.fixture.ts";
import { spanLine, waterfall } from "./waterfall.ts";

function span(
  service: string,
  id: string,
  name: string,
  from: number,
  to: number,
  more: ImaginedSpan = {},
): ServiceSpan {
  return imaginedSpan(id, from, to, { service, name, ...more });
}

const PLAIN = { barWidth: 20, color: false };

test("a trace reads as a tree on one time axis, and each wait has a name", () => {
  const spans = [
    span("kubelet", "3", "start container", 600, 1000, { below: "2", error: "no such image" }),
    span("apiserver", "1", "create pods", 0, 20, { attributes: { "k8s.namespace": "default", "k8s.name": "web" } }),
    span("scheduler", "2", "schedule", 20, 30, { below: "1" }),
    span("proxy", "9", "program", 900, 950, { below: "lost" }),
  ];
  expect(waterfall(spans, PLAIN)).toEqual([
    "trace abc00000000000000000000000000000 · 4 spans in 4 processes · 1.00 s",
    "apiserver create pods default/web            +0.0 ms    20 ms █",
    "scheduler   schedule                          +20 ms    10 ms █",
    "kubelet       · news on its way to kubelet    +30 ms   570 ms ░░░░░░░░░░░",
    "kubelet       start container                +600 ms   400 ms             ████████ ✘ no such image",
    "proxy     program                            +900 ms    50 ms                   █",
  ]);
});

test("a process that comes back to the same cause waited for more news; within a running span nobody waits", () => {
  const spans = [
    span("apiserver", "1", "bind", 0, 10),
    span("kubelet", "2", "sync", 10, 50, { below: "1" }),
    span("kubelet", "3", "pull", 30, 40, { below: "2" }),
    span("kubelet", "4", "sync", 90, 100, { below: "1" }),
    span("kubelet", "5", "clean up", 105, 110, { below: "4" }),
  ];
  expect(waterfall(spans, PLAIN).map((line) => line.slice(0, 46).trimEnd())).toEqual([
    "trace abc00000000000000000000000000000 · 5 spa",
    "apiserver bind",
    "kubelet     sync",
    "kubelet       pull",
    "kubelet     · kubelet waits for more news",
    "kubelet     sync",
    "kubelet       · waits for its turn in kubelet",
    "kubelet       clean up",
  ]);
});

test("machines are named, and their clocks brought together, where there are several", () => {
  const spans = [
    span("controller-manager", "1", "create pods", 0, 100, { host: "master-1", kind: "client" }),
    span("apiserver", "2", "create pods", 45, 125, { host: "master-2", kind: "server", below: "1" }),
    span("kubelet", "3", "sync", 150, 200, { host: "worker-1", below: "2" }),
  ];
  expect(waterfall(spans, PLAIN)).toEqual([
    "trace abc00000000000000000000000000000 · 3 spans in 3 processes on 3 machines · 200 ms",
    "clock of master-2 +35 ms",
    "controller-manager@master-1 create pods                        +0.0 ms   100 ms ██████████",
    "apiserver@master-2            create pods                       +10 ms    80 ms  ████████",
    "kubelet@worker-1                · news on its way to kubelet    +90 ms    60 ms          ░░░░░░",
    "kubelet@worker-1                sync                           +150 ms    50 ms                █████",
  ]);
});

test("a span is one line in the tail", () => {
  const answer = span("dns", "1", "answer", 0, 5, { host: "worker-1" });
  expect(spanLine(answer, false)).toBe("00:00:00.005 dns                  5.0 ms answer abc00000");
  expect(spanLine(answer, false, true)).toBe("00:00:00.005 dns@worker-1                   5.0 ms answer abc00000");
});
