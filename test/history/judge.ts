/** All judges together. */
import type { History } from "./history.ts";
import { judgeRegisters } from "./registers.ts";
import type { Violation } from "./violation.ts";
import { judgeWatches } from "./watches.ts";
import { acknowledgedBefore, judgeWrites } from "./writes.ts";

/** Empty when the history keeps every promise. */
export function judge(history: History): Violation[] {
  return [
    ...judgeRegisters(history),
    ...judgeWrites(history),
    ...judgeWatches(history, acknowledgedBefore(history.operations)),
  ];
}

/** One line a violation, the same property together. */
export function verdictText(violations: readonly Violation[], limit = 20): string {
  const lines = violations.slice(0, limit).map(({ property, message }) => `${property}: ${message}`);
  const more = violations.length > limit ? [`… and ${violations.length - limit} more`] : [];
  return [...lines, ...more].join("\n");
}
