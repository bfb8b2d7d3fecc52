/**
 * Why a start is not tried again yet, and what the status says meanwhile: a failed pull backs off for longer each time, all
 * else is tried again soon. Times are epoch milliseconds.
 */
import { INITIAL_MS, MAX_MS } from "./backoff.ts";
import type { Hold } from "./pod-machine.ts";
import { isPullFailure } from "./pull-failure.ts";

/** A hold, and what it reads as after its first second. */
export interface BackedHold extends Hold {
  readonly delayMs: number;
  readonly shown: Hold;
}

const SANDBOX_RETRY_MS = 2_000;
const CONFIG_RETRY_MS = 2_000;
/** How soon a failed pull reads as "backing off". */
export const BACKOFF_SHOWN_MS = 1_000;

export function holdOfSandbox(nowMs: number): BackedHold {
  const hold = { reason: "ContainerCreating", message: "", untilMs: nowMs + SANDBOX_RETRY_MS };
  return { ...hold, delayMs: SANDBOX_RETRY_MS, shown: hold };
}

/** `before` is the container's last hold; a second failed pull in a row waits twice as long. */
export function holdOfStart(
  failure: { readonly reason: string; readonly message: string },
  image: string,
  before: BackedHold | undefined,
  nowMs: number,
): BackedHold {
  const { reason, message } = failure;
  if (!isPullFailure(reason)) {
    const hold = { reason, message, untilMs: nowMs + CONFIG_RETRY_MS };
    return { ...hold, delayMs: CONFIG_RETRY_MS, shown: hold };
  }
  const delayMs = Math.min(MAX_MS, before && isPullFailure(before.reason) ? before.delayMs * 2 : INITIAL_MS);
  const untilMs = nowMs + delayMs;
  const backingOff = `Back-off pulling image "${image}": ${reason}: ${message}`;
  return { reason, message, untilMs, delayMs, shown: { reason: "ImagePullBackOff", message: backingOff, untilMs } };
}

export function holdsShown(holds: ReadonlyMap<string, BackedHold>, nowMs: number): ReadonlyMap<string, Hold> {
  const shownNow = (hold: BackedHold): Hold =>
    nowMs >= hold.untilMs - hold.delayMs + BACKOFF_SHOWN_MS ? hold.shown : hold;
  return new Map([...holds].map(([name, hold]) => [name, shownNow(hold)]));
}
