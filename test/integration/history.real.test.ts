/**
 * Clients and watchers on a whole control plane, while connections break, etcd's leader and apiservers die or freeze; then
 * every answer and every event that anybody got is judged.
 *
 * `PILOTHOUSE_SEED=<seed>` draws the same faults and requests again, `PILOTHOUSE_HISTORY_SECONDS=600` lasts longer. A history
 * that breaks a promise is kept under .cache/histories; `node test/history/judge-file.ts <file>` judges it again.
 */
import { mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { sleep } from "@pilothouse/clock";
import { seededRandom } from "@pilothouse/clock/seeded";
import { systemClock } from "@pilothouse/clock/system";
import { afterAll, afterEach, expect, test } from "vitest";
import { startControlPlane, type ControlPlane } from "../harness/control-plane.ts";
import { expectNoLeaks } from "../harness/index.ts";
import { configMaps } from "../history/config-maps.ts";
import { describeOperation } from "../history/describe.ts";
import { EtcdTruth } from "../history/etcd-truth.ts";
import { etcdAt } from "../history/etcd-reader.ts";
import { describeFault, planFaults } from "../history/fault-plan.ts";
import { writeHistory, type History } from "../history/history.ts";
import { inflict } from "../history/inflict.ts";
import { judge, verdictText } from "../history/judge.ts";
import { Recorder } from "../history/recorder.ts";
import { runWatcher, type WatcherOptions } from "../history/watchers.ts";
import { Writer, type Door } from "../history/writers.ts";

const SECONDS = Number(process.env["PILOTHOUSE_HISTORY_SECONDS"] ?? 25);
const SEED = process.env["PILOTHOUSE_SEED"] ?? String(systemClock.now());
const KEPT = join(dirname(dirname(import.meta.dirname)), ".cache/histories", `${SEED}.jsonl`);
/** Start, end and judgement beside the run itself. */
const REST_MS = 150_000;
/** Within the ten minutes of history that etcd keeps. */
const TRUTH_EVERY_MS = 60_000;

const NAMES = ["a", "b", "c", "d", "e", "f", "g", "h"];
const WRITERS = 12;
const PAUSE_MS = 15;
/** For watchers to see the last changes. */
const LAST_NEWS_MS = 1_000;

let plane: ControlPlane | undefined;
afterEach(() => plane?.stop());
afterAll(expectNoLeaks);

test(`whatever breaks, every promise is kept (seed ${SEED})`, { timeout: SECONDS * 2_000 + REST_MS }, async () => {
  plane = await startControlPlane();
  const random = seededRandom(SEED);
  const plan = planFaults(random.fork("faults"), SECONDS * 1_000);
  const history = await recordedRun(plane, random, plan);
  const violations = judge(history);
  if (violations.length > 0) {
    await mkdir(dirname(KEPT), { recursive: true });
    await writeHistory(KEPT, history);
  }
  expect(verdictText(violations), `${KEPT}\n${plan.map(describeFault).join("\n")}`).toBe("");
  expectLife(history);
});

async function recordedRun(
  plane: ControlPlane,
  random: ReturnType<typeof seededRandom>,
  plan: ReturnType<typeof planFaults>,
): Promise<History> {
  const clock = systemClock;
  const recorder = new Recorder(clock);
  const truth = new EtcdTruth(configMaps);
  const transports = plane.apiservers.map((apiserver) => apiserver.connect());
  const doors: Door[] = plane.apiservers.map(({ name }, i) => ({
    server: name,
    transport: transports[i] as Door["transport"],
  }));
  const common = { doors, recorder, clock, collection: configMaps };
  const writers = Array.from(
    { length: WRITERS },
    (_, i) => new Writer({ ...common, name: `c${i}`, names: NAMES, random: random.fork(`writer ${i}`) }),
  );
  const writing = new AbortController();
  const watching = new AbortController();
  const watched = Promise.all(
    watchersOf(plane).map((options, i) =>
      runWatcher({ ...common, ...options, name: `w${i}`, random: random.fork(`watcher ${i}`) }, watching.signal),
    ),
  );
  const written = Promise.all(writers.map((writer) => writer.run(writing.signal, PAUSE_MS)));
  const read = readTruthNowAndThen(truth, plane, writing.signal);
  try {
    await inflict(plane, plan, clock);
    await Promise.all(plane.apiservers.map((apiserver) => apiserver.untilReady()));
    writing.abort();
    await Promise.all([written, read]);
    await readEverything(new Writer({ ...common, name: "last", names: NAMES, random: random.fork("last") }), doors);
    await sleep(clock, LAST_NEWS_MS);
  } finally {
    writing.abort();
    watching.abort();
    await Promise.all([written, watched, read]);
    await Promise.all(transports.map((transport) => transport.close()));
  }
  await truth.readOn(etcdAt((plane.etcd[0] as ControlPlane["etcd"][number]).endpoint, systemClock));
  return recorder.history({ changes: truth.changes, head: truth.head });
}

/** What is left at the end, at each apiserver. */
async function readEverything(reader: Writer, doors: readonly Door[]): Promise<void> {
  for (const door of doors) {
    await reader.list(door);
    for (const name of NAMES) await reader.perform(door, name, { verb: "get" });
  }
}

type Watched = Pick<WatcherOptions, "streamSeconds" | "selection" | "begins">;

function watchersOf({ apiservers }: ControlPlane): Watched[] {
  const everything = {};
  const watched: Pick<Watched, "selection" | "begins">[] = [
    { selection: everything, begins: "initial" },
    { selection: everything, begins: { revision: 1 } },
    { selection: { labels: { color: "red" } }, begins: "initial" },
    { selection: { labels: { color: "blue" } }, begins: { revision: 1 } },
    { selection: { name: "a" }, begins: "initial" },
    { selection: { name: "b", labels: { color: "red" } }, begins: { revision: 1 } },
    ...apiservers.map(() => ({ selection: everything, begins: "initial" }) as const),
  ];
  const streamSeconds = { least: 3, most: 8 };
  return watched.map((each) => ({ ...each, streamSeconds }));
}

async function readTruthNowAndThen(truth: EtcdTruth, { etcd }: ControlPlane, signal: AbortSignal): Promise<void> {
  for (let turn = 0; ; turn++) {
    await sleep(systemClock, TRUTH_EVERY_MS, signal).catch(() => undefined);
    if (signal.aborted) return;
    const { endpoint } = etcd[turn % etcd.length] as ControlPlane["etcd"][number];
    // That member may be the one that is down: the next turn asks another one.
    await truth.readOn(etcdAt(endpoint, systemClock)).catch(() => undefined);
  }
}

/** A run in which nothing happened would keep every promise. */
function expectLife({ operations, lists, watches, truth }: History): void {
  const count = (result: string): number => operations.filter(({ outcome }) => outcome.result === result).length;
  const events = watches.flatMap(({ events }) => events);
  const figures = {
    done: count("done"),
    refused: count("refused"),
    unreachable: operations.filter(({ outcome }) => outcome.result === "refused" && outcome.code === 0).length,
    unavailable: operations.filter(({ outcome }) => outcome.result === "refused" && outcome.code === 503).length,
    unknown: count("unknown"),
    changes: truth?.changes.length ?? 0,
    lists: lists.length,
    streams: watches.length,
    broken: watches.filter(({ end }) => end === "broken").length,
    events: events.filter(({ type }) => type !== "BOOKMARK").length,
    bookmarks: events.filter(({ type }) => type === "BOOKMARK").length,
  };
  const failed = operations.filter(({ outcome }) => outcome.result === "unknown" && outcome.why.startsWith("500"));
  expect(failed.map(describeOperation), "no fault outside is an error inside").toEqual([]);
  process.stdout.write(`seed ${SEED}, ${SECONDS} s: ${JSON.stringify(figures)}\n`);
  expect(figures.done).toBeGreaterThan(SECONDS * 3);
  expect(figures.events).toBeGreaterThan(SECONDS * 6);
  expect(figures.lists).toBeGreaterThan(1);
  expect(figures.broken).toBeGreaterThan(1);
}
