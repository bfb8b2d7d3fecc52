import { memoryBroker } from "@pilothouse/bus/memory";
import { manualClock } from "@pilothouse/clock/manual";
import { seededIds, seededRandom } from "@pilothouse/clock/seeded";
import { Scope } from "@pilothouse/lifecycle";
import { afterEach, describe, expect, it } from "vitest";
import type { TraceContext } from "./index.ts";
import { jsonLogger } from "./logger.ts";
import { memoryTelemetry } from "./memory.ts";
import { otelTelemetry } from "./otel.ts";
import { batchedTo } from "./otlp.ts";
import { followSpans, replaySpans, type ServiceSpan } from "./span-listener.ts";

const scopes: Scope[] = [];
afterEach(async () => {
  for (const scope of scopes.splice(0)) await scope.close();
});

async function setUp() {
  const clock = manualClock(5_000);
  const scope = newScope();
  const broker = memoryBroker();
  const telemetry = await otelTelemetry({
    service: "scheduler",
    instance: "m1",
    host: "machine-1",
    clock,
    random: seededRandom("otel"),
    scope,
    bus: broker.connect(),
  });
  return { clock, scope, broker, ...telemetry };
}

function newScope(): Scope {
  const scope = new Scope("test", (task, error) => {
    throw new Error(task, { cause: error });
  });
  scopes.push(scope);
  return scope;
}

describe("spans on the bus", () => {
  it("reach a listener with parent, times, attributes and error, and only while it listens", async () => {
    const { clock, broker, tracer } = await setUp();
    const listening = newScope();
    const heard: ServiceSpan[] = [];
    followSpans(broker.connect(), clock, listening, (span) => heard.push(span));
    await clock.advance(1);
    const root = tracer.start("bind", { attributes: { pod: "default/a" }, kind: "client" });
    const child = tracer.start("write", { parent: root.context, startTimeMs: 4_000 });
    child.fail(new Error("conflict"));
    child.end();
    root.end(5_050);
    await clock.advance(60);
    expect(heard).toHaveLength(2);
    expect(heard[0]).toMatchObject({ service: "scheduler", instance: "m1", host: "machine-1" });
    expect(heard[0]).toMatchObject({ name: "write", startTimeMs: 4_000, error: "conflict" });
    expect(heard[0]?.parent).toEqual(root.context);
    expect(heard[1]).toMatchObject({ kind: "client", endTimeMs: 5_050, attributes: { pod: "default/a" } });

    await listening.close();
    await clock.advance(20_000);
    const later: ServiceSpan[] = [];
    broker.connect().subscribe("telemetry.spans.>", () => later.push(heard[0] as ServiceSpan));
    tracer.start("unheard").end();
    await clock.advance(1_000);
    expect(later).toEqual([]);
  });

  it("are remembered, so that a trace can be asked for afterwards", async () => {
    const { clock, broker, tracer } = await setUp();
    const wanted = tracer.start("apply");
    for (let i = 0; i < 3; i++) tracer.start(`step ${i}`, { parent: wanted.context, startTimeMs: 6_000 - i }).end();
    tracer.start("other").end();
    const ids = seededIds(seededRandom("ids"));
    const traceId = wanted.context.traceId;
    const answer = replaySpans({ bus: broker.connect(), clock, ids, traceId, quietMs: 100 });
    await clock.advance(100);
    expect((await answer).map(({ name }) => name)).toEqual(["step 2", "step 1", "step 0"]);
  });

  it("are told on at once when the bus is back", async () => {
    const { clock, broker, tracer } = await setUp();
    const heard: string[] = [];
    followSpans(broker.connect(), clock, newScope(), ({ name }) => heard.push(name));
    broker.setUp(false);
    await clock.advance(11_000);
    broker.setUp(true);
    await clock.advance(1);
    tracer.start("takeover").end();
    await clock.advance(60);
    expect(heard).toEqual(["takeover"]);
  });

  it("are awaited as long as answers keep coming", async () => {
    const { clock, broker } = await setUp();
    const slow = broker.connect();
    const answers = ["first", "second"].map((name) => new TextEncoder().encode(JSON.stringify([{ name }])));
    slow.subscribe("telemetry.listeners", ({ headers }) => {
      const reply = headers["Ph-Reply"] as string;
      for (const [n, answer] of answers.entries()) clock.setTimer(80 * (n + 1), () => slow.publish(reply, answer));
    });
    const ids = seededIds(seededRandom("ids"));
    const answer = replaySpans({ bus: broker.connect(), clock, ids, quietMs: 100 });
    await clock.advance(300);
    expect((await answer).map(({ name }) => name)).toEqual(["first", "second"]);
  });

  it("link the causes of one piece of work", async () => {
    const { clock, broker, tracer } = await setUp();
    const causes = ["a", "b"].map((name) => tracer.start(name).context);
    tracer.start("reconcile", { links: causes }).end();
    const ids = seededIds(seededRandom("ids"));
    const answer = replaySpans({ bus: broker.connect(), clock, ids, quietMs: 10 });
    await clock.advance(10);
    expect((await answer)[0]?.links).toEqual(causes);
  });

  it("are counted as dropped when the collector does not answer", async () => {
    const clock = manualClock();
    const { metrics, metric } = bound(memoryTelemetry({ clock, random: seededRandom("otlp") }));
    const dropped = metrics.counter("dropped", "", ["to"]);
    const processor = batchedTo({ export: () => new Promise(() => {}) }, { clock, scope: newScope(), dropped });
    const { tracer } = await setUp();
    for (let i = 0; i < 5_000; i++)
      processor.onEnd(tracer.start("x") as unknown as Parameters<typeof processor.onEnd>[0]);
    expect(metric("dropped", { to: "otlp" })).toBe(5_000 - 4_096);
    await clock.advance(1_000 + 10_000);
    expect(metric("dropped", { to: "otlp" })).toBe(5_000 - 4_096 + 512);
  });
});

describe("log lines", () => {
  it("are JSON with trace ids, and without secrets", () => {
    const lines: string[] = [];
    const { log } = jsonLogger({
      clock: manualClock(0),
      base: { service: "dns" },
      write: (line) => lines.push(line),
    });
    const trace: TraceContext = { traceId: "a".repeat(32), spanId: "b".repeat(16), sampled: true };
    log
      .with({ zone: "cluster.local" })
      .warn("slow", { trace, token: "s3cret", request: { authorization: "Bearer s3cret" } });
    log.debug("not asked for");
    expect(lines).toHaveLength(1);
    expect(JSON.parse(lines[0] as string)).toEqual({
      level: "warn",
      time: "1970-01-01T00:00:00.000Z",
      service: "dns",
      zone: "cluster.local",
      msg: "slow",
      trace_id: trace.traceId,
      span_id: trace.spanId,
      token: "[redacted]",
      request: { authorization: "[redacted]" },
    });
  });
});

describe("log lines in a hurry", () => {
  it("wait for each other, but not when something is wrong", () => {
    const written: string[] = [];
    const { log, flush } = jsonLogger({ clock: manualClock(0), base: {}, write: (lines) => written.push(lines) });
    log.info("one");
    log.info("two");
    expect(written).toEqual([]);
    log.error("three");
    const [together = ""] = written;
    const messages = together
      .trimEnd()
      .split("\n")
      .map((line) => (JSON.parse(line) as { msg: string }).msg);
    expect(messages).toEqual(["one", "two", "three"]);
    log.info("four");
    flush();
    expect(written).toHaveLength(2);
  });
});

describe("metrics", () => {
  it("are exposed as Prometheus text, those of the process among them", async () => {
    const { metrics } = await setUp();
    metrics.counter("binds_total", "Pods bound.", ["node"]).add({ node: "n1" }, 2);
    metrics.counter("binds_total", "Pods bound.", ["node"]).add({ node: "n1" });
    metrics.histogram("bind_seconds", "How long.", [0.1, 1]).observe(0.5);
    const text = await metrics.expose();
    expect(text).toContain('binds_total{node="n1",service="scheduler"} 3');
    expect(text).toContain('bind_seconds_bucket{le="1",service="scheduler"} 1');
    expect(text).toContain("process_resident_memory_bytes");
  });
});

/** The same, safe to take apart. */
function bound(telemetry: ReturnType<typeof memoryTelemetry>) {
  return {
    metrics: telemetry.metrics,
    metric: (...args: Parameters<typeof telemetry.metric>) => telemetry.metric(...args),
  };
}
