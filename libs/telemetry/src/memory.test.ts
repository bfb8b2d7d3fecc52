import { manualClock } from "@pilothouse/clock/manual";
import { seededRandom } from "@pilothouse/clock/seeded";
import { describe, expect, it } from "vitest";
import { formatTraceparent, parseTraceparent, span } from "./index.ts";
import { memoryTelemetry } from "./memory.ts";

function telemetry() {
  const clock = manualClock(1_000);
  return { clock, ...memoryTelemetry({ clock, random: seededRandom("telemetry"), maxRecords: 3 }) };
}

describe("the memory telemetry", () => {
  it("keeps a child span in its parent's trace and times both", async () => {
    const { clock, tracer, spans } = telemetry();
    const parent = tracer.start("request");
    await span(tracer, "write", { parent: parent.context, attributes: { key: "a" } }, async (child) => {
      child.set({ revision: 7 });
      await clock.advance(20);
    });
    parent.end();
    expect(spans.map(({ name, startTimeMs, endTimeMs }) => [name, startTimeMs, endTimeMs])).toEqual([
      ["write", 1_000, 1_020],
      ["request", 1_000, 1_020],
    ]);
    expect(spans[0]?.context.traceId).toBe(spans[1]?.context.traceId);
    expect(spans[0]?.attributes).toEqual({ key: "a", revision: 7 });
  });

  it("says why a span failed and lets the error through", async () => {
    const { tracer, spans } = telemetry();
    const work = span(tracer, "write", {}, () => Promise.reject(new Error("no quorum")));
    await expect(work).rejects.toThrow("no quorum");
    expect(spans[0]?.error).toBe("no quorum");
  });

  it("draws the same ids from the same seed", () => {
    const ids = () => telemetry().tracer.start("x").context;
    expect(ids()).toEqual(ids());
    expect(parseTraceparent(formatTraceparent(ids()))).toEqual(ids());
  });

  it("forgets the oldest lines, not the newest", () => {
    const { log, logs } = telemetry();
    const named = log.with({ controller: "replicaset" });
    for (const line of ["a", "b", "c", "d"]) named.info(line);
    expect(logs.map(({ message }) => message)).toEqual(["b", "c", "d"]);
    expect(logs[0]?.fields).toEqual({ controller: "replicaset" });
  });

  it("counts by labels in any order", () => {
    const recorded = telemetry();
    const counter = recorded.metrics.counter("writes", "writes", ["verb", "code"]);
    counter.add({ verb: "create", code: "201" });
    counter.add({ code: "201", verb: "create" }, 2);
    expect(recorded.metric("writes", { verb: "create", code: "201" })).toBe(3);
  });
});
