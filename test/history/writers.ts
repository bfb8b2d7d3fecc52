/** Recorded clients: each asks one request after the other, at apiservers of its choice, and notes what it was told. */
import { sleep, type Clock, type Random } from "@pilothouse/clock";
import { Unreachable, type Transport } from "@pilothouse/client";
import { ask, httpRequest, listPageOf, listRequest, versionOf, type Answer } from "./config-maps.ts";
import { MARK, type Fields, type Outcome, type Request, type Version } from "./history.ts";
import type { Recorder } from "./recorder.ts";
import type { Collection } from "./watch-requests.ts";

/** An apiserver, as a client reaches it. */
export interface Door {
  readonly server: string;
  readonly transport: Transport;
}

export interface WriterOptions {
  readonly name: string;
  /** Of ConfigMaps. */
  readonly collection: Collection;
  readonly doors: readonly Door[];
  readonly recorder: Recorder;
  readonly clock: Clock;
  readonly random: Random;
  /** Names of the ConfigMaps that all clients write. */
  readonly names: readonly string[];
  /** What a lister does before it asks for the next page. Default: nothing. */
  readonly betweenPages?: () => Promise<void>;
}

/** Shorter than many a freeze: who gave up asks elsewhere, while the first request may still be carried out. */
const DEADLINE_MS = 2_500;
const PAGE = 3;
const COLORS = ["red", "blue"] as const;

export class Writer {
  readonly #options: WriterOptions;
  /** What this client was last shown. */
  readonly #known = new Map<string, Version>();

  constructor(options: WriterOptions) {
    this.#options = options;
  }

  /** Until the signal; what has been asked is waited for. */
  async run(signal: AbortSignal, pauseMs: number): Promise<void> {
    const { clock, random } = this.#options;
    while (!signal.aborted) {
      if (random.next() < 0.04) await this.list(this.#door());
      else {
        const name = this.#pick(this.#options.names);
        await this.perform(this.#door(), name, this.#request(name));
      }
      await sleep(clock, Math.round(random.next() * 2 * pauseMs), signal).catch(() => undefined);
    }
  }

  /** One request, recorded. */
  async perform({ server, transport }: Door, name: string, request: Request): Promise<Outcome> {
    const { recorder, clock, name: client, collection } = this.#options;
    const invokedMs = recorder.instant();
    const outcome = await ask(transport, clock, httpRequest(collection, name, request), DEADLINE_MS).then(
      (answer) => outcomeOf(request, answer),
      outcomeOfFailure,
    );
    const answeredMs = recorder.instant();
    if (outcome.result === "done" && outcome.version) this.#known.set(name, outcome.version);
    const key = `${collection.namespace}/${name}`;
    recorder.operation({ id: recorder.nextId(), client, server, key, request, invokedMs, answeredMs, outcome });
    return outcome;
  }

  /** A list in pages, recorded if all of them come. */
  async list({ server, transport }: Door): Promise<void> {
    const { recorder, clock, name: client, collection } = this.#options;
    const invokedMs = recorder.instant();
    let answeredMs: number | undefined;
    const items: Record<string, Version> = {};
    let token: string | undefined;
    for (let pages = 1; ; pages++) {
      const answer = await ask(transport, clock, listRequest(collection, PAGE, token), DEADLINE_MS).catch(
        () => undefined,
      );
      if (answer?.status !== 200) return;
      answeredMs ??= recorder.instant();
      const page = listPageOf(collection, answer.body);
      Object.assign(items, page.items);
      token = page.next;
      if (token !== undefined) {
        await this.#options.betweenPages?.();
        continue;
      }
      const { revision } = page;
      recorder.list({
        id: recorder.nextId(),
        client,
        server,
        namespace: collection.namespace,
        invokedMs,
        answeredMs,
        pages,
        revision,
        items,
      });
      return;
    }
  }

  #request(name: string): Request {
    const { random, recorder } = this.#options;
    const known = this.#known.get(name);
    const mark = `${this.#options.name}-${recorder.nextId()}`;
    const fields: Fields = { [MARK]: mark, "labels.color": this.#pick(COLORS), [`data.${this.#options.name}`]: mark };
    const kind = random.next();
    if (kind < 0.3) return { verb: "get" };
    if (kind < 0.45) return { verb: "create", fields };
    if (kind < 0.6) return { verb: "patch", fields };
    if (kind < 0.7) return { verb: "update", fields };
    if (kind < 0.9) return { verb: "update", fields, ...(known ? { revision: known.revision } : {}) };
    if (kind < 0.94 || !known) return { verb: "delete" };
    return { verb: "delete", uid: known.uid, ...(kind < 0.97 ? { revision: known.revision } : {}) };
  }

  #door(): Door {
    return this.#pick(this.#options.doors);
  }

  #pick<T>(all: readonly T[]): T {
    return all[Math.floor(this.#options.random.next() * all.length)] as T;
  }
}

/** By what our apiserver promises: 503 and below are surely not done, 500 and 504 are not known. */
function outcomeOf(request: Request, { status, body }: Answer): Outcome {
  if (status < 300)
    return request.verb === "delete" ? { result: "done" } : { result: "done", version: versionOf(body) };
  const { reason, message } = JSON.parse(Buffer.from(body).toString()) as {
    readonly reason?: string;
    readonly message?: string;
  };
  if (status === 500 || status >= 504) return { result: "unknown", why: `${status} ${message ?? ""}` };
  return { result: "refused", code: status, reason: reason ?? "" };
}

function outcomeOfFailure(error: unknown): Outcome {
  if (error instanceof Unreachable) return { result: "refused", code: 0, reason: error.message };
  return { result: "unknown", why: error instanceof Error ? error.message : String(error) };
}
