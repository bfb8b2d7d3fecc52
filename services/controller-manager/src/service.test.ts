import { memoryBroker } from "@pilothouse/bus/memory";
import { createApiClient, resources, type TransportRequest } from "@pilothouse/client";
import { memoryApiserver } from "@pilothouse/client/memory";
import { manualClock } from "@pilothouse/clock/manual";
import { seededIds, seededRandom } from "@pilothouse/clock/seeded";
import { Scope } from "@pilothouse/lifecycle";
import { memoryStore } from "@pilothouse/store/memory";
import { memoryTelemetry } from "@pilothouse/telemetry/memory";
import { expect, it } from "vitest";
import { start } from "./service.ts";

it("one leads, under its fence; when it stops, the other goes on where it was", async () => {
  const clock = manualClock();
  const random = seededRandom("service");
  const ids = seededIds(random);
  const broker = memoryBroker();
  const store = memoryStore({ clock });
  const telemetry = memoryTelemetry({ clock, random });
  const server = memoryApiserver({ clock, ids, bus: broker.connect() });
  const pass = async (ms: number): Promise<void> => {
    for (let passed = 0; passed < ms; passed += 100) {
      server.bookmark();
      await clock.advance(100);
    }
  };
  const startOne = (identity: string) => {
    const scope = new Scope(identity, () => {});
    const bus = broker.connect();
    const service = start(
      {
        clock,
        random,
        ids,
        store,
        bus,
        telemetry,
        scope,
        identity,
        healthAddress: undefined,
        openApi: (fence) => createApiClient({ transports: [server.transport], userAgent: identity, fence }),
      },
      { clusterCidr: "198.18.0.0/16", rootCa: () => "CA" },
    );
    return { service, scope };
  };
  const user = createApiClient({ transports: [server.transport], userAgent: "user" });
  const isPodCreate = ({ method, path }: TransportRequest): boolean => method === "POST" && path.includes("/pods");
  const fences = (): (string | undefined)[] =>
    server.requests.filter(isPodCreate).map(({ headers }) => headers["pilothouse-fence"]);

  const [first, second] = [startOne("first"), startOne("second")];
  await pass(2_000);
  expect([first, second].map(({ service }) => service.leading()).filter(Boolean)).toHaveLength(1);
  const [leader, standby] = first.service.leading() ? [first, second] : [second, first];
  expect([...leader.service.problems(), ...standby.service.problems()]).toEqual([]);

  const template = { metadata: { labels: { app: "web" } }, spec: { containers: [{ name: "web", image: "web" }] } };
  await user.create(resources.replicaSets, {
    metadata: { name: "web", namespace: "default" },
    spec: { replicas: 2, selector: { matchLabels: { app: "web" } }, template },
  });
  await pass(1_000);
  expect(server.list("pods")).toHaveLength(2);
  await leader.scope.close();
  await pass(3_000);
  expect(standby.service.leading()).toBe(true);
  const patch = { type: "application/merge-patch+json", body: { spec: { replicas: 3 } } } as const;
  await user.patch(resources.replicaSets, "default", "web", patch);
  await pass(1_000);
  expect(server.list("pods")).toHaveLength(3);
  const [one, two, three] = fences();
  expect([one, two]).toEqual([expect.stringMatching(/^kube-controller-manager\/\d+$/), one]);
  expect(Number(three?.split("/")[1])).toBeGreaterThan(Number(one?.split("/")[1]));
  await standby.scope.close();
  expect(clock.pending()).toBe(0);
});
