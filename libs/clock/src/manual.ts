/** A clock that stands still until it is told to advance: the memory adapter of the Clock port, for unit tests. */
import type { Clock, Timer } from "./index.ts";

export interface ManualClock extends Clock {
  /** Moves time on by `ms`, firing due timers in order and letting promises settle between them. */
  advance(ms: number): Promise<void>;
  /** Timers that are armed and not cancelled. */
  pending(): number;
}

interface ArmedTimer {
  readonly dueMs: number;
  readonly order: number;
  readonly run: () => void;
}

/** `startMs` is the wall clock's first reading; the default is a fixed day, so that golden output is stable. */
export function manualClock(startMs = Date.UTC(2026, 0, 1)): ManualClock {
  let elapsedMs = 0;
  let order = 0;
  const timers = new Set<ArmedTimer>();
  const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  const nextDue = (untilMs: number): ArmedTimer | undefined => {
    let first: ArmedTimer | undefined;
    for (const timer of timers) {
      if (timer.dueMs > untilMs) continue;
      if (!first || timer.dueMs < first.dueMs || (timer.dueMs === first.dueMs && timer.order < first.order))
        first = timer;
    }
    return first;
  };
  return {
    now: () => startMs + elapsedMs,
    monotonicMs: () => elapsedMs,
    setTimer(delayMs, run): Timer {
      const timer = { dueMs: elapsedMs + Math.max(0, delayMs), order: order++, run };
      timers.add(timer);
      return { cancel: () => void timers.delete(timer) };
    },
    turn,
    pending: () => timers.size,
    async advance(ms) {
      const untilMs = elapsedMs + ms;
      await turn();
      for (let timer = nextDue(untilMs); timer; timer = nextDue(untilMs)) {
        timers.delete(timer);
        elapsedMs = Math.max(elapsedMs, timer.dueMs);
        timer.run();
        await turn();
      }
      elapsedMs = untilMs;
    },
  };
}
