/** Probes that ask all the time, as users do, and note whether and when they were answered. */
import { request } from "node:http";
import { sleep, type Clock } from "@pilothouse/clock";
import { ask } from "../../history/config-maps.ts";
import type { Sample } from "../checkers/availability.ts";
import type { Access } from "./access.ts";

const API_EVERY_MS = 250;
const TRY_MS = 2_500;
const SERVICE_EVERY_MS = 250;
const SERVICE_PATIENCE_MS = 3_000;

export type Note = (sample: Sample) => void;

/**
 * `api`: a write and a read in turn, at the cluster's address, and where that does not answer at each apiserver, as a client does
 * that knows them all. `front`: its first try alone.
 */
export async function probeApi(
  access: Access,
  path: string,
  note: Note,
  signal: AbortSignal,
  startMs: number,
): Promise<void> {
  const { clock, front, doors } = access;
  for (let turn = 0; !signal.aborted; turn++) {
    const begunMs = clock.monotonicMs();
    const asked =
      turn % 2 === 0
        ? { method: "GET", path, headers: {} }
        : {
            method: "PATCH",
            path,
            headers: { "content-type": "application/merge-patch+json" },
            body: Buffer.from(JSON.stringify({ data: { turn: String(turn) } })),
          };
    let why = "";
    let ok = false;
    for (const [i, { transport, server }] of [front, ...doors].entries()) {
      const failure = await ask(transport, clock, asked, TRY_MS).then(
        ({ status, body }) => (status === 200 ? undefined : `${status} ${Buffer.from(body).toString().slice(0, 120)}`),
        (error: unknown) => (error instanceof Error ? error.message : String(error)),
      );
      ok = failure === undefined;
      why += ok ? "" : `${server}: ${failure}; `;
      const sample = { atMs: begunMs - startMs, tookMs: clock.monotonicMs() - begunMs, ok, ...(ok ? {} : { why }) };
      if (i === 0) note({ ...sample, probe: "front" });
      if (!ok && i < doors.length) continue;
      note({ ...sample, probe: "api" });
      break;
    }
    await sleep(clock, API_EVERY_MS, signal).catch(() => undefined);
  }
}

/** A Service at the port of one node, by a connection of its own each time. */
export async function probeService(
  clock: Clock,
  {
    url,
    probe,
    everyMs = SERVICE_EVERY_MS,
  }: { readonly url: string; readonly probe: string; readonly everyMs?: number },
  note: Note,
  signal: AbortSignal,
  startMs: number,
): Promise<void> {
  while (!signal.aborted) {
    const begunMs = clock.monotonicMs();
    const why = await callOnce(url);
    const sample = { probe, atMs: begunMs - startMs, tookMs: clock.monotonicMs() - begunMs, ok: why === undefined };
    note({ ...sample, ...(why === undefined ? {} : { why }) });
    await sleep(clock, everyMs, signal).catch(() => undefined);
  }
}

/** Undefined: it was answered. */
function callOnce(url: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const outgoing = request(url, { agent: false, timeout: SERVICE_PATIENCE_MS }, (answer) => {
      answer.resume();
      answer.once("end", () => resolve(answer.statusCode === 200 ? undefined : `status ${answer.statusCode}`));
      answer.once("error", (error) => resolve(error.message));
    });
    outgoing.once("timeout", () => outgoing.destroy(new Error("no answer in time")));
    outgoing.once("error", (error) => resolve(error.message));
    outgoing.end();
  });
}
