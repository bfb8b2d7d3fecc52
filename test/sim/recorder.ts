/** What clients of a world asked and were told, and what really happened, as a history that test/history can judge. */
import type { ConfigMap } from "@pilothouse/api/types/core-v1";
import { StatusError } from "@pilothouse/errors";
import type { Change, History, List, Operation, Outcome, Request, Version, WatchStream } from "../history/history.ts";
import { verdictText, judge } from "../history/judge.ts";
import { fieldsOf } from "../history/truth.ts";
import { changedKey, revisionOf, type Commit } from "./store.ts";
import { Violation, type World } from "./world.ts";

/** ConfigMaps of this namespace whose names begin so are the recorded ones. */
export const RECORDED = { namespace: "default", prefix: "recorded-" } as const;

const CONFIG_MAPS = "/registry/core/configmaps/";
const KEYS = `${CONFIG_MAPS}${RECORDED.namespace}/${RECORDED.prefix}`;

/** A stream being recorded. */
export type OpenStream = {
  -readonly [K in keyof WatchStream]: WatchStream[K] extends readonly (infer E)[] ? E[] : WatchStream[K];
};

export class Recorder {
  readonly lists: List[] = [];
  readonly #operations: Operation[] = [];
  readonly #streams: OpenStream[] = [];
  readonly #changes: Change[] = [];
  readonly #world: World;
  #head = 0;
  #instants = 0;
  #ids = 0;

  constructor(world: World) {
    this.#world = world;
  }

  /** Now, as no other instant of this world. */
  instant(): number {
    return this.#world.nowMs + ++this.#instants * INSTANT_MS;
  }

  id(): number {
    return ++this.#ids;
  }

  committed({ revision, changes, objects }: Commit): void {
    this.#head = revision;
    for (const change of changes) {
      const key = changedKey(change);
      if (!key.startsWith(KEYS)) continue;
      const object = objects.get(key);
      const text = object && JSON.stringify(object);
      this.#changes.push({ key: key.replace(CONFIG_MAPS, ""), revision: revisionOf(change), object: text });
    }
  }

  /** Runs a request and keeps its outcome; errors are outcomes too. */
  async operation(
    who: Pick<Operation, "client" | "server" | "key">,
    request: Request,
    work: () => Promise<ConfigMap | void>,
  ): Promise<Outcome> {
    const id = this.id();
    const invokedMs = this.instant();
    const outcome = await work().then(doneOf, refusedOf);
    this.#world.count(`operation ${outcome.result}`);
    this.#operations.push({ ...who, id, request, invokedMs, answeredMs: this.instant(), outcome });
    return outcome;
  }

  stream(opened: Pick<WatchStream, "watcher" | "server" | "request">): OpenStream {
    const atMs = this.instant();
    const stream: OpenStream = { ...opened, id: this.id(), openedMs: atMs, endedMs: atMs, events: [], end: "client" };
    this.#streams.push(stream);
    return stream;
  }

  /** Throws the first promise that was broken. */
  judge(): void {
    const nowMs = this.instant();
    const watches = this.#streams.map((stream) => (stream.end === "client" ? { ...stream, endedMs: nowMs } : stream));
    const truth = { changes: this.#changes, head: this.#head };
    const history: History = { operations: this.#operations, lists: this.lists, watches, truth };
    const violations = judge(history);
    if (violations.length > 0) throw new Violation(`I9: ${verdictText(violations, 3)}`);
  }
}

/** So small that all instants of a world are less than the next tick of its time. */
const INSTANT_MS = 2 ** -30;

export function versionOf(object: ConfigMap): Version {
  const { uid = "", resourceVersion } = object.metadata;
  return { uid, revision: Number(resourceVersion), fields: fieldsOf(object) };
}

/** As the store has it: without what a reader is told beside it. */
export function storedText(object: ConfigMap): string {
  const { resourceVersion: _, ...metadata } = object.metadata;
  return JSON.stringify({ ...object, metadata });
}

function doneOf(answer: ConfigMap | void): Outcome {
  return answer ? { result: "done", version: versionOf(answer) } : { result: "done" };
}

const SURELY_REFUSED: readonly number[] = [400, 403, 404, 409, 410, 422, 429];

function refusedOf(error: unknown): Outcome {
  if (!(error instanceof StatusError) || !SURELY_REFUSED.includes(error.code))
    return { result: "unknown", why: error instanceof Error ? error.message : String(error) };
  return { result: "refused", code: error.code, reason: error.status.reason ?? "" };
}
