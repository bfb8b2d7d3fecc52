/**
 * Users whose every request is recorded and judged by test/history (I9): two write the same ConfigMaps, each now through one
 * apiserver and now through the other; one lists them slowly, page by page; two watch them. And one whose writes alternate
 * between the apiservers, each undoing the one before.
 */
import type { ConfigMap } from "@pilothouse/api/types/core-v1";
import { resources, type ApiClient } from "@pilothouse/client";
import { sleep } from "@pilothouse/clock";
import { isStatus } from "@pilothouse/errors";
import { configMaps, NAMESPACE } from "../history/config-maps.ts";
import type { Change, History } from "../history/history.ts";
import { judge, verdictText } from "../history/judge.ts";
import { Recorder } from "../history/recorder.ts";
import { runWatcher } from "../history/watchers.ts";
import { Writer, type Door } from "../history/writers.ts";
import type { Life } from "./machine.ts";
import { changedKey, revisionOf, type Commit } from "./store.ts";
import { Violation } from "./world.ts";

/** Of the namespace's ConfigMaps those are recorded whose names begin so. */
const PREFIX = "recorded-";
const NAMES = ["a", "b", "c", "d"].map((name) => `${PREFIX}${name}`);
const WRITE_PAUSE_MS = 3_000;
const LIST_PAUSE_MS = 6_000;
const PAGE_PAUSE_MS = 3_000;
/** So long that some streams are open when an apiserver loads its cache anew. */
const STREAM_SECONDS = { least: 5, most: 40 };
const RETRY_MS = 500;

export class Users {
  readonly #life: Life;
  readonly #doors: readonly Door[];
  readonly #recorder: Recorder;
  readonly #changes: Change[] = [];
  #head = 0;

  constructor(life: Life, doors: readonly Door[]) {
    this.#life = life;
    this.#doors = doors;
    this.#recorder = new Recorder(life.clock);
  }

  /** To be told of every commit: the truth that they are judged by. */
  committed({ revision, changes, objects }: Commit): void {
    this.#head = revision;
    for (const change of changes) {
      const key = changedKey(change);
      if (!key.startsWith(configMaps.storePrefix + PREFIX)) continue;
      const object = objects.get(key);
      const text = object && JSON.stringify(object);
      this.#changes.push({
        key: keyOf(key.slice(configMaps.storePrefix.length)),
        revision: revisionOf(change),
        object: text,
      });
    }
  }

  /** They ask until `untilMs`; resolves when the last answer has come. */
  async run(untilMs: number): Promise<void> {
    const { clock, machine } = this.#life;
    const end = new AbortController();
    clock.setTimer(untilMs - machine.world.nowMs, () => end.abort(new Error("the users go home")));
    const { signal } = end;
    const lister = this.#writer("lister", () => this.#pause("lister", PAGE_PAUSE_MS));
    await Promise.all([
      this.#writer("writer-1").run(signal, WRITE_PAUSE_MS),
      this.#writer("writer-2").run(signal, WRITE_PAUSE_MS),
      this.#list(lister, signal),
      this.#watch("watcher-1", signal),
      this.#watch("watcher-2", signal),
    ]);
  }

  /** Throws the first promises that were broken. */
  judge(): void {
    const { operations, lists, watches } = this.#recorder.history();
    const { world } = this.#life.machine;
    for (const { outcome } of operations) world.count(`request ${outcome.result}`);
    for (const { pages } of lists) if (pages > 1) world.count("list of pages");
    for (const { events } of watches)
      for (const event of events) world.count(event.type === "ERROR" ? `watch ended by ${event.code}` : "watch event");
    const history: History = {
      operations,
      lists: lists.map(({ items, ...list }) => ({ ...list, items: onlyRecorded(items) })),
      watches: watches.map(({ events, ...stream }) => ({
        ...stream,
        events: events.filter((event) => !("key" in event) || event.key.startsWith(keyOf(PREFIX))),
      })),
      truth: { changes: this.#changes, head: this.#head },
    };
    const violations = judge(history);
    if (violations.length > 0) throw new Violation(`I9: ${verdictText(violations, 3)}`);
  }

  #writer(name: string, betweenPages?: () => Promise<void>): Writer {
    const random = this.#life.random.fork(name);
    const { clock } = this.#life;
    const own = {
      name,
      collection: configMaps,
      doors: this.#doors,
      recorder: this.#recorder,
      clock,
      random,
      names: NAMES,
    };
    return new Writer({ ...own, ...(betweenPages ? { betweenPages } : {}) });
  }

  async #list(lister: Writer, signal: AbortSignal): Promise<void> {
    for (let round = 0; !signal.aborted; round++) {
      await lister.list(this.#doors[round % this.#doors.length] as Door);
      await this.#pause("lists", LIST_PAUSE_MS);
    }
  }

  #watch(name: string, signal: AbortSignal): Promise<void> {
    const random = this.#life.random.fork(name);
    const own = { name, doors: this.#doors, recorder: this.#recorder, clock: this.#life.clock, random };
    const asked = { collection: configMaps, selection: {}, begins: "initial", streamSeconds: STREAM_SECONDS } as const;
    return runWatcher({ ...own, ...asked }, signal);
  }

  #pause(what: string, meanMs: number): Promise<void> {
    const luck = this.#life.random.fork(`${what} ${this.#life.machine.world.nowMs}`).next();
    return sleep(this.#life.clock, Math.round(2 * meanMs * luck));
  }
}

function keyOf(name: string): string {
  return `${NAMESPACE}/${name}`;
}

function onlyRecorded<T>(items: Readonly<Record<string, T>>): Readonly<Record<string, T>> {
  return Object.fromEntries(Object.entries(items).filter(([key]) => key.startsWith(keyOf(PREFIX))));
}

/**
 * Each patch takes back what the one before did, by the other apiserver: to a stale one it looks like a patch that changes
 * nothing, and must not be answered so (C2).
 */
export async function toggle(life: Life, clients: readonly [ApiClient, ApiClient], untilMs: number): Promise<void> {
  const { world } = life.machine;
  const random = life.random.fork("toggle");
  const name = "toggled";
  let acknowledged = 0;
  await untilAnswered(life, async () => {
    const fresh: ConfigMap = { metadata: { name, namespace: NAMESPACE } };
    const created = await clients[0].create(resources.configMaps, fresh).catch((error: unknown) => {
      if (!isStatus(error, "AlreadyExists")) throw error;
      return clients[0].get(resources.configMaps, NAMESPACE, name);
    });
    acknowledged = Number(created.metadata.resourceVersion);
  });
  for (let round = 0; world.nowMs < untilMs; round++) {
    const body = { data: { side: round % 2 === 0 ? "left" : "right" } };
    const patch = { type: "application/merge-patch+json", body } as const;
    const client = round % 2 === 0 ? clients[0] : clients[1];
    await untilAnswered(life, async () => {
      const answer = await client.patch(resources.configMaps, NAMESPACE, name, patch).catch((error: unknown) => {
        if (isStatus(error, "NotFound")) world.fail(new Violation(`I7: ${name} was acknowledged, and is not found`));
        throw error;
      });
      const revision = Number(answer.metadata.resourceVersion);
      if (revision <= acknowledged)
        world.fail(
          new Violation(`I7: a patch that changes ${name} is answered with ${revision} after ${acknowledged}`),
        );
      acknowledged = revision;
    });
    // Now and then at once, sooner than an apiserver that is late can know.
    await sleep(life.clock, random.next() < 0.5 ? 10 : Math.round(random.next() * 10_000));
  }
}

/** Again until there is an answer. */
async function untilAnswered(life: Life, work: () => Promise<void>): Promise<void> {
  for (;;) {
    try {
      return await work();
    } catch {
      await sleep(life.clock, RETRY_MS);
    }
  }
}
