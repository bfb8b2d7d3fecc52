/**
 * WATCH: the changes after a revision, or what there is now and then its changes, for as long as the client listens.
 *
 * Promises: every change that the selection sees, once, in order, with selectors entering and leaving as upstream has it; a
 * bookmark never runs ahead of a change not yet sent. A watch too old, or too slow for the kind's history, ends with the
 * ERROR event 410 Expired. The response is 200 in each case (wire trap 17).
 */
import { serviceUnavailable, StatusError } from "@pilothouse/errors";
import type { Random } from "@pilothouse/clock";
import type { KindDefinition } from "@pilothouse/kinds/kind";
import { JoinedFrames } from "../../cache/joined-frames.ts";
import type { Form } from "../../core/forms/form.ts";
import { watchOptionsOf, type WatchOptions } from "../../core/list-options.ts";
import type { CacheEntry, Flow } from "../../core/model.ts";
import { selectionOf, type Selection } from "../../core/select.ts";
import { StoreUnavailable } from "@pilothouse/store";
import { snapshot } from "./list.ts";
import { feedHeaders, reachedCurrentIfUp, readOf, type ReadPorts } from "./read.ts";
import { tooOld, WatchStream } from "./watch-stream.ts";

export interface WatchPorts extends ReadPorts {
  readonly random: Random;
}

/** Without timeoutSeconds a watch lasts 30 to 60 minutes, so that clients spread. */
const MIN_TIMEOUT_SECONDS = 1_800;

/** @throws StatusError 400, 406, 422 */
export function watchFlow(ports: WatchPorts): Flow {
  const streamPorts = { ...ports, joined: new JoinedFrames() };
  return async (context) => {
    const { kind, asked: shown, form } = readOf(ports, context, "watch");
    const { request, info } = context;
    const options = watchOptionsOf(request.query);
    const selection = selectionOf(shown, request.query, info.name);
    const asked: AskedWatch = { kind, namespace: info.namespace, selection, options, signal: request.signal };
    const headers = { "content-type": form.watchContentType };
    try {
      const start = await startOf(ports, asked);
      const stream = new WatchStream(
        streamPorts,
        { ...start, kind, selection, form, namespace: info.namespace },
        {
          allowBookmarks: options.allowBookmarks,
          timeoutMs: 1_000 * (options.timeoutSeconds ?? MIN_TIMEOUT_SECONDS * (1 + ports.random.next())),
          signal: request.signal,
        },
      );
      return { status: 200, headers: { ...headers, ...feedHeaders(ports) }, body: stream };
    } catch (error) {
      if (!(error instanceof StatusError)) throw error;
      return { status: 200, headers, body: onlyError(form, error) };
    }
  };
}

/** Where a watch begins. */
export interface WatchStart {
  /** Changes after this revision follow. */
  readonly revision: number;
  /** What is sent as ADDED first. */
  readonly initial: readonly CacheEntry[];
  /** Whether a bookmark tells the end of the initial events. */
  readonly endsInitialEvents: boolean;
}

interface AskedWatch {
  readonly kind: KindDefinition;
  readonly namespace: string;
  readonly selection: Selection;
  readonly options: WatchOptions;
  readonly signal: AbortSignal;
}

/**
 * Nothing may wait between this and the watch stream's registration: a snapshot and what follows it are one step (C6).
 *
 * @throws StatusError 410 when the revision is too old, 504 when it is not reached
 */
async function startOf(ports: WatchPorts, asked: AskedWatch): Promise<WatchStart> {
  const { cache } = ports;
  const { revision, sendInitialEvents } = asked.options;
  // Without sendInitialEvents, those who name no revision have always got what there is first.
  const wantsInitial = sendInitialEvents ?? (revision === undefined || revision === 0);
  if (revision === undefined) {
    await current(ports, asked.signal);
  } else if (revision === 0) {
    if (wantsInitial) await reachedCurrentIfUp(ports, asked.signal);
  } else if (wantsInitial) await cache.waitFor(revision, asked.signal);
  else {
    if (revision < cache.floor(asked.kind)) throw tooOld(revision, cache.floor(asked.kind));
    return { revision, initial: [], endsInitialEvents: false };
  }
  if (!wantsInitial) return { revision: cache.revision(), initial: [], endsInitialEvents: false };
  const { entries, revision: at } = snapshot(cache, asked.kind, asked.namespace, asked.selection);
  const initial = asked.selection.everything ? entries : entries.filter((entry) => asked.selection.matches(entry));
  return { revision: at, initial, endsInitialEvents: sendInitialEvents === true && asked.options.allowBookmarks };
}

async function current({ cache }: WatchPorts, signal: AbortSignal): Promise<void> {
  try {
    await cache.waitUntilCurrent(signal);
  } catch (error) {
    if (error instanceof StoreUnavailable) throw serviceUnavailable(error.message);
    throw error;
  }
}

async function* onlyError(form: Form, error: StatusError): AsyncGenerator<Uint8Array, void, void> {
  yield form.error(error.status);
}
