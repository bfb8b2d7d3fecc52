/** Keeps long work from stalling the event loop. */
import type { Clock } from "@pilothouse/clock";

/** After this much work without a pause the others get a turn. */
const OWN_WORK_MS = 2;

/** Await the result between steps of a long piece of work: it gives the loop a turn when 2 ms have been used up. */
export function paceOf(clock: Clock): () => Promise<void> {
  let turnMs = clock.monotonicMs();
  return async () => {
    if (clock.monotonicMs() - turnMs < OWN_WORK_MS) return;
    await clock.turn();
    turnMs = clock.monotonicMs();
  };
}
