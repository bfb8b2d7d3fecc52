/**
 * Work that can be interrupted: a generator that yields between two steps, so that whoever runs it may give others a turn. Pure
 * code stays synchronous, and knows no clock.
 */
export type Steps<T> = Generator<void, T, void>;

/** All steps in a row. */
export function atOnce<T>(steps: Steps<T>): T {
  for (;;) {
    const step = steps.next();
    if (step.done) return step.value;
  }
}
