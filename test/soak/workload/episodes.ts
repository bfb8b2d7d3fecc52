/**
 * Writers and watchers of ConfigMaps, in episodes: each has a namespace of its own, is recorded, judged by all judges of
 * test/history in a process of its own, and forgotten, so that a soak may last for days.
 */
import { execFile } from "node:child_process";
import { mkdir, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { sleep, type Random } from "@pilothouse/clock";
import { configMapsOf } from "../../history/config-maps.ts";
import { currentRevision } from "../../history/etcd-reader.ts";
import { EtcdTruth } from "../../history/etcd-truth.ts";
import { writeHistory, type History } from "../../history/history.ts";
import { Recorder } from "../../history/recorder.ts";
import { runWatcher, type WatcherOptions } from "../../history/watchers.ts";
import { Writer } from "../../history/writers.ts";
import type { Finding } from "../finding.ts";
import { askAny, withEtcd, type Access } from "./access.ts";

export interface EpisodeOptions {
  readonly access: Access;
  readonly random: Random;
  readonly prefix: string;
  readonly lastsMs: number;
  /** Where histories that break a promise are kept. */
  readonly directory: string;
}

export interface EpisodeFigures {
  readonly requests: number;
  readonly unknown: number;
  readonly changes: number;
  readonly streams: number;
  readonly events: number;
  readonly broken: number;
}

export interface EpisodeResult {
  readonly findings: readonly Finding[];
  readonly figures: EpisodeFigures;
}

const WRITERS = 6;
const PAUSE_MS = 120;
const NAMES = ["a", "b", "c", "d", "e"];
const TRUTH_EVERY_MS = 60_000;
const TRUTH_WITHIN_MS = 60_000;
const LAST_NEWS_MS = 2_000;
const RETRY_MS = 2_000;
const STREAM_SECONDS = { least: 4, most: 12 };
const JUDGE = join(dirname(dirname(import.meta.dirname)), "history/judge-file.ts");

/** Until the signal, or its time is over. What is judged later is awaited in `verdict`. */
export async function runEpisode(
  number: number,
  options: EpisodeOptions,
  signal: AbortSignal,
): Promise<{ readonly verdict: Promise<EpisodeResult> }> {
  const { access, prefix, directory, lastsMs } = options;
  const namespace = `${prefix}-${number}`;
  const collection = configMapsOf(namespace);
  const after = await untilDone(access, () => withEtcd(access, currentRevision), signal);
  const truth = new EtcdTruth(collection, after);
  await untilDone(access, () => makeNamespace(access, namespace), signal);
  const recorder = new Recorder(access.clock);
  const ended = new AbortController();
  const timer = access.clock.setTimer(lastsMs, () => ended.abort());
  const writing = AbortSignal.any([signal, ended.signal]);
  const watching = new AbortController();
  const random = options.random.fork(`episode ${number}`);
  const common = { doors: [access.front, ...access.doors], recorder, clock: access.clock, collection };
  const watched = Promise.all(
    WATCHED.map((watch, i) =>
      runWatcher(
        { ...common, ...watch, streamSeconds: STREAM_SECONDS, name: `w${i}`, random: random.fork(`watcher ${i}`) },
        watching.signal,
      ),
    ),
  );
  const writers = Array.from(
    { length: WRITERS },
    (_, i) => new Writer({ ...common, name: `c${i}`, names: NAMES, random: random.fork(`writer ${i}`) }),
  );
  const truthful = readNowAndThen(access, truth, writing);
  await Promise.all(writers.map((writer) => writer.run(writing, PAUSE_MS)));
  timer.cancel();
  await truthful;
  await sleep(access.clock, LAST_NEWS_MS);
  watching.abort();
  await watched;
  // A history without the whole truth is judged by what it says itself, and that this was all is a finding.
  const patience = AbortSignal.timeout(TRUTH_WITHIN_MS);
  const unread = await untilDone(access, () => withEtcd(access, (member) => truth.readOn(member)), patience).then(
    () => undefined,
    (error: unknown) => ({ checker: "histories", message: `${namespace}: etcd could not be read: ${String(error)}` }),
  );
  const history = recorder.history(unread ? undefined : { changes: truth.changes, head: truth.head });
  await askAny(access, "DELETE", `/api/v1/namespaces/${namespace}`).catch(() => undefined);
  const verdict = judged(history, join(directory, `${namespace}.jsonl`)).then((result) =>
    unread ? { ...result, findings: [unread, ...result.findings] } : result,
  );
  return { verdict };
}

const WATCHED: readonly Pick<WatcherOptions, "selection" | "begins">[] = [
  { selection: {}, begins: "initial" },
  { selection: { labels: { color: "red" } }, begins: "initial" },
  { selection: { name: "a" }, begins: "initial" },
];

async function makeNamespace(access: Access, name: string): Promise<void> {
  const { status } = await askAny(access, "POST", "/api/v1/namespaces", { metadata: { name } });
  if (status !== 201 && status !== 409) throw new Error(`namespace ${name}: ${status}`);
}

async function readNowAndThen(access: Access, truth: EtcdTruth, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await sleep(access.clock, TRUTH_EVERY_MS, signal).catch(() => undefined);
    // Where nobody answers the next turn reads more: etcd keeps ten minutes.
    await withEtcd(access, (member) => truth.readOn(member)).catch(() => undefined);
  }
}

/** Again and again: the cluster may be in trouble just now. After the signal it throws why it could not be done. */
async function untilDone<T>({ clock }: Access, work: () => Promise<T>, signal: AbortSignal): Promise<T> {
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if (signal.aborted) throw error;
      await sleep(clock, RETRY_MS, signal).catch(() => undefined);
    }
  }
}

/** In a process of its own, behind everybody else: judging takes seconds of the processor. */
async function judged(history: History, file: string): Promise<EpisodeResult> {
  await mkdir(dirname(file), { recursive: true });
  await writeHistory(file, history);
  const said = await new Promise<string>((resolve) => {
    const args = ["-n", "15", process.execPath, "--disable-warning=ExperimentalWarning", JUDGE, file];
    execFile("nice", args, { maxBuffer: 2 ** 24 }, (error, stdout, stderr) =>
      resolve(error ? stdout || stderr || error.message : ""),
    );
  });
  if (said === "") await rm(file);
  const events = history.watches.flatMap(({ events }) => events);
  return {
    findings: said === "" ? [] : [{ checker: "histories", message: `${file}\n    ${said.trim().slice(0, 4_000)}` }],
    figures: {
      requests: history.operations.length,
      unknown: history.operations.filter(({ outcome }) => outcome.result === "unknown").length,
      changes: history.truth?.changes.length ?? 0,
      streams: history.watches.length,
      events: events.filter(({ type }) => type !== "BOOKMARK").length,
      broken: history.watches.filter(({ end }) => end === "broken").length,
    },
  };
}
