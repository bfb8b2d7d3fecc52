/** Recorded watchers: one stream after the other, each where the last one stopped, at an apiserver of their choice. */
import { sleep, type Clock, type Random } from "@pilothouse/clock";
import type { Selection, WatchEvent, WatchRequest, WatchStream } from "./history.ts";
import type { Recorder } from "./recorder.ts";
import { watchEvents, watchRequest, type Collection } from "./watch-requests.ts";
import type { Door } from "./writers.ts";

export interface WatcherOptions {
  readonly name: string;
  readonly collection: Collection;
  readonly doors: readonly Door[];
  readonly recorder: Recorder;
  readonly clock: Clock;
  readonly random: Random;
  readonly selection: Selection;
  /** `initial`: what there is comes first, also after each loss of the place; `revision`: from that revision on. */
  readonly begins: "initial" | { readonly revision: number };
  /** How long each stream is to last; the last bookmark comes two seconds before its end. */
  readonly streamSeconds: { readonly least: number; readonly most: number };
}

/** How long after that end a stream that still says nothing is given up. */
const PATIENCE_MS = 2_000;
const RETRY_MS = 100;

/** Until the signal. */
export async function runWatcher(options: WatcherOptions, signal: AbortSignal): Promise<void> {
  const { clock, random, recorder, selection, begins, collection, streamSeconds } = options;
  let place = begins === "initial" ? undefined : begins.revision;
  while (!signal.aborted) {
    const door = options.doors[Math.floor(random.next() * options.doors.length)] as Door;
    const request: WatchRequest = {
      namespace: collection.namespace,
      selection,
      initial: place === undefined,
      ...(place === undefined ? {} : { revision: place }),
    };
    const seconds = streamSeconds.least + Math.floor(random.next() * (streamSeconds.most - streamSeconds.least + 1));
    const stream = await recordStream(options, door, request, seconds, signal);
    recorder.watch(stream);
    place = placeAfter(stream, place);
    await sleep(clock, RETRY_MS, signal).catch(() => undefined);
  }
}

/** The revision to resume from; undefined: begin anew. */
function placeAfter({ request, events }: WatchStream, place: number | undefined): number | undefined {
  if (events.some((event) => event.type === "ERROR" && event.code === 410)) return undefined;
  const isWhole = !request.initial || events.some((event) => event.type === "BOOKMARK" && event.endsInitial);
  if (!isWhole) return undefined;
  return events.reduce((last, event) => ("revision" in event ? Math.max(last ?? 0, event.revision) : last), place);
}

async function recordStream(
  { name, collection, recorder, clock }: WatcherOptions,
  { server, transport }: Door,
  request: WatchRequest,
  timeoutSeconds: number,
  signal: AbortSignal,
): Promise<WatchStream> {
  const patience = new AbortController();
  const timer = clock.setTimer(timeoutSeconds * 1_000 + PATIENCE_MS, () => patience.abort(new Error("silence")));
  const events: WatchEvent[] = [];
  const openedMs = recorder.instant();
  let end: WatchStream["end"] = "server";
  try {
    const ended = AbortSignal.any([signal, patience.signal]);
    const { status, body } = await transport.send({
      ...watchRequest(collection, request, timeoutSeconds),
      signal: ended,
    });
    if (status === 200) {
      for await (const event of watchEvents(body, () => recorder.instant()))
        events.push("object" in event ? { ...event, object: recorder.text(event.object) } : event);
    } else events.push({ type: "ERROR", atMs: recorder.instant(), code: status, message: "" });
  } catch {
    end = signal.aborted || patience.signal.aborted ? "client" : "broken";
  } finally {
    timer.cancel();
  }
  return { id: recorder.nextId(), watcher: name, server, request, openedMs, endedMs: recorder.instant(), events, end };
}
