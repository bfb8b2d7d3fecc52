import { sleep } from "@pilothouse/clock";
import { systemClock } from "@pilothouse/clock/system";

/** Waits until `holds` says true, asking every `everyMs`; fails with `what` after `timeoutMs`. */
export async function until(
  what: string,
  holds: () => boolean | Promise<boolean>,
  timeoutMs = 10_000,
  everyMs = 20,
): Promise<void> {
  const startMs = systemClock.monotonicMs();
  while (!(await holds())) {
    if (systemClock.monotonicMs() - startMs > timeoutMs) throw new Error(`not within ${timeoutMs} ms: ${what}`);
    await sleep(systemClock, everyMs);
  }
}
