/**
 * Histories of an imagined server that keeps every promise, with clients and watchers at the same time: what judges must
 * pass, and what a test then spoils. Written without the judges' own model, so that both cannot be wrong in the same way.
 */
import { seededRandom } from "@pilothouse/clock/seeded";
import type { Random } from "@pilothouse/clock";
import {
  MARK,
  type Change,
  type Fields,
  type History,
  type List,
  type Operation,
  type Outcome,
  type Request,
  type Version,
  type WatchEvent,
  type WatchStream,
} from "./history.ts";

export interface Imagined {
  readonly seed: number;
  readonly operations: number;
  readonly clients?: number;
  readonly keys?: number;
  /** How many of a thousand answers get lost. */
  readonly lost?: number;
  readonly watchers?: number;
  readonly withTruth?: boolean;
}

const NAMESPACE = "default";
const COLORS = ["red", "blue"] as const;

export function imagine(options: Imagined): History {
  return new ImaginedServer(options).history();
}

/** The stored text of an object of these fields. */
export function textOf(key: string, { uid, fields }: Pick<Version, "uid" | "fields">): string {
  const under = (prefix: string): Fields =>
    Object.fromEntries(
      Object.entries(fields).flatMap(([name, value]) =>
        name.startsWith(`${prefix}.`) ? [[name.slice(prefix.length + 1), value]] : [],
      ),
    );
  const [namespace, name] = key.split("/");
  return JSON.stringify({
    kind: "ConfigMap",
    apiVersion: "v1",
    metadata: { name, namespace, uid, labels: under("labels") },
    data: under("data"),
  });
}

interface Caller {
  readonly name: string;
  call: { readonly key: string; readonly request: Request; readonly invokedMs: number; outcome?: Outcome } | undefined;
  known: Map<string, Version>;
}

interface Watcher {
  readonly stream: Omit<WatchStream, "events" | "endedMs" | "end">;
  readonly events: WatchEvent[];
  readonly view: Map<string, string>;
  behind: Change[];
}

class ImaginedServer {
  readonly #options: Required<Imagined>;
  readonly #random: Random;
  readonly #objects = new Map<string, Version>();
  readonly #operations: Operation[] = [];
  readonly #lists: List[] = [];
  readonly #changes: Change[] = [];
  readonly #watchers: Watcher[] = [];
  /** Requests whose askers have gone: they may still be carried out. */
  readonly #late: { readonly key: string; readonly request: Request }[] = [];
  #nowMs = 0;
  #revision = 100;
  #ids = 0;

  constructor(options: Imagined) {
    this.#options = { clients: 4, keys: 3, lost: 50, watchers: 3, withTruth: true, ...options };
    this.#random = seededRandom(`imagined ${options.seed}`);
  }

  history(): History {
    const { clients, operations, watchers, withTruth } = this.#options;
    const callers = Array.from({ length: clients }, (_, i): Caller => ({
      name: `c${i}`,
      call: undefined,
      known: new Map(),
    }));
    while (this.#operations.length < operations) {
      this.#step(this.#pick(callers));
      if (this.#watchers.length < watchers && this.#random.next() < 0.1) this.#openWatch();
      for (const watcher of this.#watchers) if (this.#random.next() < 0.3) this.#deliver(watcher);
      const late = this.#random.next() < 0.1 ? this.#late.pop() : undefined;
      if (late) this.#carryOut(late.key, late.request);
    }
    for (const caller of callers) if (caller.call) this.#answer(caller, { result: "unknown", why: "the end" });
    this.#watchers.forEach((watcher) => this.#deliver(watcher));
    return {
      operations: this.#operations,
      lists: this.#lists,
      watches: this.#watchers.map(({ stream, events }) => ({
        ...stream,
        events,
        endedMs: this.#tick(),
        end: "client",
      })),
      ...(withTruth ? { truth: { changes: this.#changes, head: this.#revision } } : {}),
    };
  }

  /** A call begins, takes effect, or is answered. */
  #step(caller: Caller): void {
    const { call } = caller;
    if (!call) {
      const key = `${NAMESPACE}/o${Math.floor(this.#random.next() * this.#options.keys)}`;
      caller.call = { key, request: this.#request(caller.known.get(key)), invokedMs: this.#tick() };
    } else if (this.#random.next() * 1_000 < this.#options.lost) {
      if (!call.outcome && this.#random.next() < 0.5) this.#late.push(call);
      this.#answer(caller, { result: "unknown", why: "no answer" });
    } else if (call.outcome) this.#answer(caller, call.outcome);
    else call.outcome = this.#carryOut(call.key, call.request);
  }

  #answer(caller: Caller, outcome: Outcome): void {
    const { key, request, invokedMs } = caller.call as NonNullable<Caller["call"]>;
    caller.call = undefined;
    if (outcome.result === "done" && outcome.version) caller.known.set(key, outcome.version);
    const answeredMs = this.#tick();
    this.#operations.push({
      id: ++this.#ids,
      client: caller.name,
      server: "imagined",
      key,
      request,
      invokedMs,
      answeredMs,
      outcome,
    });
    if (outcome.result !== "unknown" && this.#random.next() < 0.1) this.#list(caller.name);
  }

  #request(known: Version | undefined): Request {
    const fields = { [MARK]: `m${++this.#ids}`, "labels.color": this.#pick(COLORS) };
    const kind = this.#random.next();
    if (kind < 0.3) return { verb: "get" };
    if (kind < 0.5) return { verb: "create", fields: { ...fields, "data.made": "yes" } };
    if (kind < 0.6) return { verb: "patch", fields };
    if (kind < 0.7) return { verb: "patch", fields: { [MARK]: fields[MARK] } };
    if (kind < 0.8) return { verb: "update", fields };
    if (kind < 0.9) return { verb: "update", fields, ...(known ? { revision: known.revision } : {}) };
    if (!known || kind < 0.95) return { verb: "delete" };
    return { verb: "delete", uid: known.uid, revision: known.revision };
  }

  #carryOut(key: string, request: Request): Outcome {
    const object = this.#objects.get(key);
    if (request.verb === "create") {
      if (object) return { result: "refused", code: 409, reason: "AlreadyExists" };
      return this.#write(key, { uid: `uid${++this.#ids}`, fields: request.fields });
    }
    if (!object) return { result: "refused", code: 404, reason: "NotFound" };
    if (request.verb === "get") return { result: "done", version: object };
    if (request.verb === "patch")
      return this.#write(key, { ...object, fields: { ...object.fields, ...request.fields } });
    const isOther = request.revision !== undefined && request.revision !== object.revision;
    if (isOther || ("uid" in request && request.uid !== object.uid))
      return { result: "refused", code: 409, reason: "Conflict" };
    if (request.verb === "update") return this.#write(key, { ...object, fields: request.fields });
    this.#objects.delete(key);
    this.#changed(key, undefined);
    return { result: "done" };
  }

  #write(key: string, { uid, fields }: Pick<Version, "uid" | "fields">): Outcome {
    const version = { uid, fields, revision: this.#changed(key, textOf(key, { uid, fields })) };
    this.#objects.set(key, version);
    return { result: "done", version };
  }

  #changed(key: string, object: string | undefined): number {
    // Other keys' writes take revisions too.
    this.#revision += this.#random.next() < 0.2 ? 2 : 1;
    const change = { key, revision: this.#revision, object };
    this.#changes.push(change);
    for (const watcher of this.#watchers) watcher.behind.push(change);
    return change.revision;
  }

  #list(client: string): void {
    const invokedMs = this.#tick();
    const items = Object.fromEntries(this.#objects);
    const read = { invokedMs, answeredMs: this.#tick(), pages: 1, revision: this.#revision, items };
    this.#lists.push({ id: ++this.#ids, client, server: "imagined", namespace: NAMESPACE, ...read });
  }

  #openWatch(): void {
    const initial = this.#random.next() < 0.5;
    const from = Math.floor(this.#random.next() * (this.#changes.length + 1));
    const revision = initial ? undefined : (this.#changes[from]?.revision ?? this.#revision);
    const selection = this.#random.next() < 0.5 ? {} : { labels: { color: this.#pick(COLORS) } };
    const id = ++this.#ids;
    const request = { namespace: NAMESPACE, initial, selection, ...(revision === undefined ? {} : { revision }) };
    const stream = { id, watcher: `w${id}`, server: "imagined", request, openedMs: this.#tick() };
    const watcher: Watcher = { stream, events: [], view: new Map(), behind: [] };
    for (const change of this.#changes) {
      if (revision !== undefined && change.revision > revision) watcher.behind.push(change);
      else if (change.object !== undefined && isSelected(change.object, selection))
        watcher.view.set(change.key, change.object);
      else watcher.view.delete(change.key);
    }
    if (initial) {
      for (const [key, object] of watcher.view) {
        const { revision } = this.#changes.findLast((change) => change.key === key) as Change;
        watcher.events.push({ type: "ADDED", atMs: this.#tick(), key, revision, object });
      }
      if (this.#random.next() < 0.5)
        watcher.events.push({ type: "BOOKMARK", atMs: this.#tick(), revision: this.#revision, endsInitial: true });
    }
    this.#watchers.push(watcher);
  }

  #deliver({ stream, events, view, behind }: Watcher): void {
    for (const { key, revision, object } of behind.splice(0)) {
      const before = view.get(key);
      const isIn = object !== undefined && isSelected(object, stream.request.selection);
      if (isIn) view.set(key, object);
      else view.delete(key);
      if (!isIn && before === undefined) continue;
      const type = isIn ? (before === undefined ? "ADDED" : "MODIFIED") : "DELETED";
      events.push({ type, atMs: this.#tick(), key, revision, object: isIn ? object : (before as string) });
    }
    if (this.#random.next() < 0.2)
      events.push({ type: "BOOKMARK", atMs: this.#tick(), revision: this.#revision, endsInitial: false });
  }

  #tick(): number {
    return ++this.#nowMs;
  }

  #pick<T>(all: readonly T[]): T {
    return all[Math.floor(this.#random.next() * all.length)] as T;
  }
}

function isSelected(object: string, { labels }: WatchStream["request"]["selection"]): boolean {
  return labels === undefined || object.includes(`"color":"${labels["color"]}"`);
}
