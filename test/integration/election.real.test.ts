/** Elections on a real etcd: what the memory store cannot show is how long things take. */
import { memoryBroker } from "@pilothouse/bus/memory";
import type { Bus } from "@pilothouse/bus";
import { sleep } from "@pilothouse/clock";
import { systemClock, systemRandom } from "@pilothouse/clock/system";
import { runElection } from "@pilothouse/election";
import type { Leadership } from "@pilothouse/election";
import { Scope } from "@pilothouse/lifecycle";
import { prefixRange } from "@pilothouse/store";
import { etcdStore } from "@pilothouse/store-etcd";
import { afterAll, expect, test } from "vitest";
import { expectNoLeaks, startEtcd, tcpProxy, until } from "../harness/index.ts";

afterAll(expectNoLeaks);

test("a leader that vanishes from etcd, bus and health port is replaced within four seconds", async () => {
  const etcd = await startEtcd();
  const proxy = await tcpProxy(etcd.port);
  const broker = memoryBroker();
  const network = { up: true };
  const a = startCandidate("a", `http://${proxy.address}`, busBehind(network, broker.connect()), network);
  await until("a leads", () => a.leaderships.length === 1);
  const b = startCandidate("b", etcd.endpoint, broker.connect(), network);
  await sleep(systemClock, 1_500);

  const startMs = systemClock.monotonicMs();
  network.up = false;
  proxy.freeze();
  await until("b leads", () => b.leaderships.length === 1);
  expect(systemClock.monotonicMs() - startMs).toBeLessThan(4_000);
  const [before, after] = [a.leaderships[0], b.leaderships[0]] as [Leadership, Leadership];
  expect(after.createRevision).toBeGreaterThan(before.createRevision);

  network.up = true;
  proxy.thaw();
  await until("a knows that it has lost", () => before.signal.aborted);
  await Promise.all([a.stop(), b.stop()]);
  const store = etcdStore({ endpoints: [etcd.endpoint], clock: systemClock });
  expect((await store.range(prefixRange("/pilothouse/elections/"))).count).toBe(0);
  await store.close();
  await proxy.close();
  await etcd.stop();
});

interface Candidate {
  readonly leaderships: readonly Leadership[];
  stop(): Promise<void>;
}

function startCandidate(identity: string, endpoint: string, bus: Bus, network: { up: boolean }): Candidate {
  const leaderships: Leadership[] = [];
  const scope = new Scope(identity, () => undefined);
  const store = etcdStore({ endpoints: [endpoint], clock: systemClock });
  const probeLeader = async (): Promise<boolean> => network.up;
  const options = { name: "test", identity, store, bus, clock: systemClock, random: systemRandom, scope, probeLeader };
  const ended = runElection(options, (leadership) => {
    leaderships.push(leadership);
    return new Promise((resolve) => leadership.signal.addEventListener("abort", () => resolve(), { once: true }));
  });
  return {
    leaderships,
    async stop() {
      await Promise.all([scope.close(), ended]);
      await store.close();
    },
  };
}

/** A bus connection on which nothing is published while the network is down. */
function busBehind(network: { readonly up: boolean }, bus: Bus): Bus {
  return {
    maxPayloadBytes: bus.maxPayloadBytes,
    publish: (subject, payload, headers) => network.up && bus.publish(subject, payload, headers),
    subscribe: (pattern, handle) => bus.subscribe(pattern, handle),
    connected: () => network.up,
    onStatus: (notify) => bus.onStatus(notify),
    close: () => bus.close(),
  };
}
