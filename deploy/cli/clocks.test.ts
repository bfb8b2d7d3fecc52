import type { ServiceSpan } from "@pilothouse/telemetry/span-listener";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { clockOffsets, onOneClock, RESOLUTION_MS } from "./clocks.ts";
import { imaginedSpan } from "./span.fixture.ts";

interface Step {
  readonly host: string;
  readonly from: number;
  readonly to: number;
  readonly below?: string;
  readonly kind?: ServiceSpan["kind"];
}

/** Spans by id, at true times; each machine's clock shows them with its own offset. */
function told(steps: Readonly<Record<string, Step>>, clocks: Readonly<Record<string, number>> = {}): ServiceSpan[] {
  return Object.entries(steps).map(([id, { host, from, to, below, kind }]) => {
    const aheadMs = clocks[host] ?? 0;
    return imaginedSpan(id, from + aheadMs, to + aheadMs, { host, below, kind: kind ?? "internal" });
  });
}

test("a server's span comes to lie in the middle of its client's", () => {
  const spans = told(
    {
      call: { host: "worker-1", from: 0, to: 100, kind: "client" },
      serve: { host: "master-2", from: 40, to: 60, below: "call", kind: "server" },
    },
    { "master-2": 350 },
  );
  const offsets = clockOffsets(spans);
  expect(offsets).toEqual(new Map([["master-2", 350]]));
  expect(onOneClock(spans, offsets).map(({ startTimeMs, endTimeMs }) => [startTimeMs, endTimeMs])).toEqual([
    [0, 100],
    [40, 60],
  ]);
});

test("clocks that contradict nothing are left alone, however unlikely they look", () => {
  const spans = told({
    call: { host: "worker-1", from: 0, to: 100, kind: "client" },
    serve: { host: "master-2", from: 0, to: 1, below: "call", kind: "server" },
    later: { host: "master-3", from: 5_000, to: 5_001, below: "serve" },
  });
  expect(clockOffsets(spans)).toEqual(new Map());
  expect(onOneClock(spans, new Map())).toBe(spans);
});

test("the machine that is alone with its time is the wrong one, even if all began there", () => {
  const spans = told(
    {
      root: { host: "master-1", from: 0, to: 10, kind: "server" },
      a: { host: "master-2", from: 20, to: 60, below: "root", kind: "client" },
      "a to 3": { host: "master-3", from: 21, to: 59, below: "a", kind: "server" },
      b: { host: "master-3", from: 70, to: 90, below: "root", kind: "client" },
      "b to 1": { host: "master-1", from: 71, to: 89, below: "b", kind: "server" },
    },
    { "master-1": 500 },
  );
  expect([...clockOffsets(spans).keys()]).toEqual(["master-1"]);
  expect(clockOffsets(spans).get("master-1")).toBeCloseTo(500, -1);
});

test("what is only known to be later is not put earlier than its cause", () => {
  const spans = told(
    {
      write: { host: "master-1", from: 0, to: 10, kind: "server" },
      sync: { host: "worker-1", from: 30, to: 40, below: "write", kind: "consumer" },
    },
    { "worker-1": -80 },
  );
  const [write, sync] = onOneClock(spans, clockOffsets(spans)) as [ServiceSpan, ServiceSpan];
  expect(sync.startTimeMs).toBeGreaterThanOrEqual(write.startTimeMs - RESOLUTION_MS);
});

test("a client that gave up before the server was done says only when the server can have begun", () => {
  const spans = told({
    call: { host: "worker-1", from: 0, to: 10, kind: "client" },
    serve: { host: "master-1", from: 5, to: 500, below: "call", kind: "server" },
  });
  expect(clockOffsets(spans)).toEqual(new Map());
});

test("a clock that was set in the middle of a trace does not keep it from being drawn", () => {
  const before = told({
    call: { host: "worker-1", from: 0, to: 10, kind: "client" },
    serve: { host: "master-1", from: 2, to: 8, below: "call", kind: "server" },
  });
  const after = told(
    {
      again: { host: "worker-1", from: 20, to: 30, kind: "client" },
      served: { host: "master-1", from: 22, to: 28, below: "again", kind: "server" },
    },
    { "master-1": 1_000 },
  );
  expect([...clockOffsets([...before, ...after]).values()].every(Number.isFinite)).toBe(true);
});

test("whatever the clocks are, afterwards every effect lies where its cause allows it", () => {
  const HOSTS = ["m1", "m2", "m3", "w1", "w2"];
  const clock = fc.integer({ min: -100_000, max: 100_000 });
  const child = fc.record({
    host: fc.constantFrom(...HOSTS),
    below: fc.nat(),
    awaited: fc.boolean(),
    from: fc.double({ min: 0, max: 1, noNaN: true }),
    length: fc.double({ min: 0, max: 1, noNaN: true }),
    pause: fc.integer({ min: 0, max: 5_000 }),
  });
  const story = fc.record({
    clocks: fc.tuple(clock, clock, clock, clock, clock),
    children: fc.array(child, { minLength: 1, maxLength: 40 }),
  });
  fc.assert(
    fc.property(story, ({ clocks, children }) => {
      const steps: Record<string, Step> = { "0": { host: "m1", from: 0, to: 1_000.5, kind: "server" } };
      for (const [n, { host, below, awaited, from, length, pause }] of children.entries()) {
        const parentId = String(below % (n + 1));
        const parent = steps[parentId] as Step;
        const parentMs = parent.to - parent.from;
        const startMs = awaited ? parent.from + from * parentMs : parent.from + pause;
        const endMs = awaited ? startMs + length * (parent.to - startMs) : startMs + length * 100;
        steps[String(n + 1)] = {
          host,
          below: parentId,
          from: startMs,
          to: endMs,
          kind: awaited ? "server" : "consumer",
        };
      }
      const skewed = told(steps, Object.fromEntries(HOSTS.map((host, n) => [host, clocks[n] as number]))).map(
        (span) => ({ ...span, startTimeMs: Math.floor(span.startTimeMs), endTimeMs: Math.floor(span.endTimeMs) }),
      );
      const right = new Map(onOneClock(skewed, clockOffsets(skewed)).map((span) => [span.context.spanId, span]));
      for (const span of right.values()) {
        const parent = span.parent && right.get(span.parent.spanId);
        if (!parent || parent.host === span.host) continue;
        expect(span.startTimeMs).toBeGreaterThanOrEqual(parent.startTimeMs - RESOLUTION_MS - 1e-6);
        if (span.kind === "server" && span.endTimeMs - span.startTimeMs <= parent.endTimeMs - parent.startTimeMs)
          expect(span.endTimeMs).toBeLessThanOrEqual(parent.endTimeMs + RESOLUTION_MS + 1e-6);
      }
    }),
    { numRuns: 300 },
  );
});

test("the more both sides tell of each other, the nearer the estimate", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: -5_000, max: 5_000 }),
      fc.array(fc.nat({ max: 50 }), { minLength: 8, maxLength: 8 }),
      (aheadMs, ways) => {
        const steps: Record<string, Step> = {};
        // Each request has a way there and a way back; at least one way in either direction takes 1 ms.
        for (const [n, wayMs] of [1, ...ways].entries())
          for (const [m, backMs] of [1, ...ways.toReversed()].entries()) {
            const startMs = (n * 10 + m) * 1_000;
            steps[`call ${n} ${m}`] = { host: "a", from: startMs, to: startMs + wayMs + 5 + backMs, kind: "client" };
            steps[`serve ${n} ${m}`] = {
              host: "b",
              from: startMs + wayMs,
              to: startMs + wayMs + 5,
              below: `call ${n} ${m}`,
              kind: "server",
            };
          }
        const estimateMs = clockOffsets(told(steps, { b: aheadMs })).get("b") ?? 0;
        expect(Math.abs(estimateMs - aheadMs)).toBeLessThanOrEqual(2 + RESOLUTION_MS);
      },
    ),
  );
});
