/** The real machine's time and chance: the only place of Pilothouse that touches Date, timers, Math.random and UUIDs. */
import { randomUUID } from "node:crypto";
import { performance } from "node:perf_hooks";
import type { Clock, Ids, Random, TimeAndChance, Timer } from "./index.ts";

/** Node fires a timer of more than this at once; longer ones are cut into pieces. */
const MAX_TIMER_MS = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonicMs: () => performance.now(),
  setTimer: (delayMs, run) => startTimer(delayMs, run),
  turn: () => new Promise((resolve) => setImmediate(resolve)),
};

export const systemIds: Ids = { uuid: () => randomUUID() };

export const systemRandom: Random = { next: () => Math.random(), fork: () => systemRandom };

export const systemTimeAndChance: TimeAndChance = { clock: systemClock, random: systemRandom, ids: systemIds };

function startTimer(delayMs: number, run: () => void): Timer {
  let handle: NodeJS.Timeout;
  const arm = (leftMs: number): void => {
    handle =
      leftMs > MAX_TIMER_MS ? setTimeout(() => arm(leftMs - MAX_TIMER_MS), MAX_TIMER_MS) : setTimeout(run, leftMs);
  };
  arm(Math.max(0, delayMs));
  return { cancel: () => clearTimeout(handle) };
}
