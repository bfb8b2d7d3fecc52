/**
 * A thread that reads what an apiserver streams: a long LIST, or the events of many watches. In a thread of its own, so that
 * its work does not stand in the way of the clients that measure latencies.
 */
import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import { Worker, isMainThread, parentPort, workerData } from "node:worker_threads";
import { performance } from "node:perf_hooks";
import type { Target } from "../harness/credentials.ts";
import { connectClient, load } from "./client.ts";

export interface ListReading {
  readonly bytes: number;
  readonly firstByteMs: number;
  readonly wallMs: number;
}

export interface Watching {
  /** When each watcher had its nth event (counted from 1), in ms of the shared clock; resolves when all have it. */
  seen(nth: number): Promise<readonly number[]>;
  stop(): Promise<void>;
}

type Task =
  | { readonly task: "list"; readonly target: Target; readonly path: string; readonly slowReaders: number }
  | { readonly task: "watch"; readonly target: Target; readonly path: string; readonly watchers: number };

type Message =
  | { readonly kind: "list"; readonly reading: ListReading }
  | { readonly kind: "watching" }
  | { readonly kind: "seen"; readonly nth: number; readonly atMs: readonly number[] }
  | { readonly kind: "failed"; readonly error: string };

/** A clock that threads of one process share. */
export function sharedNowMs(): number {
  return performance.timeOrigin + performance.now();
}

/** Reads one LIST as fast as it comes, beside `slowReaders` that stop reading after the first bytes until it is done. */
export async function readList(target: Target, path: string, slowReaders = 0): Promise<ListReading> {
  const worker = startWorker({ task: "list", target, path, slowReaders });
  try {
    for (;;) {
      const message = await nextMessage(worker);
      if (message.kind === "list") return message.reading;
    }
  } finally {
    await worker.terminate();
  }
}

/** One call after the other for as long as `work` runs; their latencies in ms. */
export async function probed(
  call: (index: number) => Promise<unknown>,
  work: () => Promise<unknown>,
): Promise<readonly number[]> {
  const latenciesMs: number[] = [];
  const done = new AbortController();
  const working = work().finally(() => done.abort());
  for (let index = 0; !done.signal.aborted; index++) {
    const sentMs = performance.now();
    await call(index);
    latenciesMs.push(performance.now() - sentMs);
  }
  await working;
  return latenciesMs;
}

/** Opens `watchers` watches and resolves when all are open. */
export async function startWatching(target: Target, path: string, watchers: number): Promise<Watching> {
  const worker = startWorker({ task: "watch", target, path, watchers });
  const arrived = new Map<number, readonly number[]>();
  const waiting = new Map<number, (atMs: readonly number[]) => void>();
  await new Promise<void>((resolve, reject) => {
    worker.on("error", reject);
    worker.on("message", (message: Message) => {
      switch (message.kind) {
        case "watching":
          return resolve();
        case "failed":
          return reject(new Error(message.error));
        case "seen":
          arrived.set(message.nth, message.atMs);
          return waiting.get(message.nth)?.(message.atMs);
        case "list":
          return undefined;
      }
    });
  });
  return {
    seen: (nth) =>
      new Promise((resolve) => {
        const atMs = arrived.get(nth);
        if (atMs) resolve(atMs);
        else waiting.set(nth, resolve);
      }),
    stop: async () => void (await worker.terminate()),
  };
}

function startWorker(workerData: Task): Worker {
  return new Worker(import.meta.filename, { workerData });
}

async function nextMessage(worker: Worker): Promise<Message> {
  const [message] = (await once(worker, "message")) as [Message];
  if (message.kind === "failed") throw new Error(message.error);
  return message;
}

function tell(message: Message): void {
  parentPort?.postMessage(message);
}

async function list({ target, path, slowReaders }: Task & { task: "list" }): Promise<void> {
  const client = connectClient(target, slowReaders + 1);
  const slow = await Promise.all(Array.from({ length: slowReaders }, () => client.open({ method: "GET", path })));
  const startMs = performance.now();
  const response = await client.open({ method: "GET", path });
  let firstByteMs: number | undefined;
  let bytes = 0;
  for await (const chunk of response) {
    firstByteMs ??= performance.now() - startMs;
    bytes += (chunk as Buffer).length;
  }
  const wallMs = performance.now() - startMs;
  for (const response of slow) response.destroy();
  client.close();
  tell({ kind: "list", reading: { bytes, firstByteMs: firstByteMs ?? wallMs, wallMs } });
}

async function watch({ target, path, watchers }: Task & { task: "watch" }): Promise<void> {
  const client = connectClient(target, watchers);
  const seen = new Map<number, number[]>();
  const hear = (response: IncomingMessage): void => {
    let events = 0;
    response.on("error", () => undefined);
    response.on("data", (chunk: Buffer) => {
      // One event a line; a newline inside JSON is escaped.
      for (let at = chunk.indexOf(10); at >= 0; at = chunk.indexOf(10, at + 1)) {
        events++;
        const times = seen.get(events) ?? [];
        seen.set(events, times);
        times.push(sharedNowMs());
        if (times.length === watchers) tell({ kind: "seen", nth: events, atMs: times });
      }
    });
  };
  // By 64: a server's backlog is finite.
  await load(64, watchers, async () => hear(await client.open({ method: "GET", path })));
  tell({ kind: "watching" });
}

if (!isMainThread && workerData) {
  const task = workerData as Task;
  await (task.task === "list" ? list(task) : watch(task)).catch((error: unknown) =>
    tell({ kind: "failed", error: String(error) }),
  );
}
