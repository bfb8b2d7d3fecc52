import { manualClock } from "@pilothouse/clock/manual";
import { seededRandom } from "@pilothouse/clock/seeded";
import { memoryTelemetry } from "@pilothouse/telemetry/memory";
import { expect, test } from "vitest";
import { HealthChecks } from "./health-checks.ts";
import { memoryHealthDoor } from "./memory-health-door.ts";

function rig() {
  const door = memoryHealthDoor();
  const { log } = memoryTelemetry({ clock: manualClock(), random: seededRandom("checks") });
  const state: { problem: string | undefined } = { problem: undefined };
  return { door, state, checks: new HealthChecks({ door, log, problem: () => state.problem }) };
}

test("a load balancer hears how many endpoints this node has, as they come and go, and whether the rules are there", async () => {
  const { door, state, checks } = rig();
  checks.set("default/web", { port: 30100, localEndpoints: 2 });
  await checks.sync();
  expect(door.ask(30100)).toEqual({
    status: 200,
    headers: {
      "content-type": "application/json",
      "x-content-type-options": "nosniff",
      "x-load-balancing-endpoint-weight": "2",
    },
    body: '{\n\t"service": {\n\t\t"namespace": "default",\n\t\t"name": "web"\n\t},\n\t"localEndpoints": 2,\n\t"serviceProxyHealthy": true\n}',
  });
  state.problem = "the kernel refused the rules";
  expect(door.ask(30100)?.status).toBe(503);
  state.problem = undefined;
  checks.set("default/web", { port: 30100, localEndpoints: 0 });
  await checks.sync();
  expect(door.ask(30100)?.status).toBe(503);
});

test("ports follow their Services: two may swap theirs, one that is taken is had later, none stays open", async () => {
  const { door, checks } = rig();
  door.taken.add(30102);
  const want = (ports: Readonly<Record<string, number>>): Promise<void> => {
    for (const [name, port] of Object.entries(ports)) checks.set(name, { port, localEndpoints: 1 });
    return checks.sync();
  };
  await want({ "default/a": 30100, "default/b": 30101, "default/c": 30102 });
  expect(door.ports).toEqual([30100, 30101]);
  door.taken.clear();
  await want({ "default/a": 30101, "default/b": 30100 });
  expect(door.ports).toEqual([30100, 30101, 30102]);
  expect(door.ask(30100)?.body).toContain('"name": "b"');
  checks.set("default/a", undefined);
  await checks.sync();
  expect(door.ports).toEqual([30100, 30102]);
  await checks.close();
  expect(door.ports).toEqual([]);
});
