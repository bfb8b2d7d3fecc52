/** Keeps long work from stalling the event loop. */
import type { Steps } from "@pilothouse/api/steps";
import type { Clock } from "@pilothouse/clock";

/** After this much work without a pause the others get a turn. */
const OWN_WORK_MS = 2;

export type Pace = () => Promise<void> | undefined;

/** What `steps` come to, with a pause between them where it is due. */
export async function inSteps<T>(steps: Steps<T>, pace: Pace): Promise<T> {
  for (;;) {
    const step = steps.next();
    if (step.done) return step.value;
    const pause = pace();
    if (pause) await pause;
  }
}

/**
 * Ask between steps of a long piece of work, and await what it gives: a turn of the loop for others when 2 ms have been used
 * up. Until then it gives nothing, so that steps of a microsecond need no promise each.
 */
export function paceOf(clock: Clock): Pace {
  let turnMs = clock.monotonicMs();
  const pause = async (): Promise<void> => {
    await clock.turn();
    turnMs = clock.monotonicMs();
  };
  return () => (clock.monotonicMs() - turnMs < OWN_WORK_MS ? undefined : pause());
}
