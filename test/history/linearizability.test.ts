/** The search itself, on the smallest model there is: a register that is written and read. */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { linearize, type Interval, type Model } from "./linearizability.ts";

type Step = { readonly write: number } | { readonly read: number };

const register: Model<number, Step> = {
  initial: 0,
  step: (value, step) => ("write" in step ? step.write : step.read === value ? value : undefined),
  onlyReads: (step) => "read" in step,
  textOf: String,
};

const call = (operation: Step, invokedMs: number, answeredMs: number, optional = false): Interval<Step> => ({
  operation,
  invokedMs,
  answeredMs,
  optional,
});
const verdictOf = (...calls: Interval<Step>[]): string => linearize(register, calls).verdict;
const never = Number.POSITIVE_INFINITY;

test("an order that explains all answers is found, and told", () => {
  const calls = [
    call({ write: 1 }, 0, 10),
    call({ read: 0 }, 1, 2),
    call({ read: 1 }, 3, 4),
    call({ read: 1 }, 11, 12),
  ];
  const found = linearize(register, calls);
  expect(found).toMatchObject({ verdict: "linearizable" });
  expect(found.verdict === "linearizable" && found.order.map(({ operation }) => operation)).toEqual([
    { read: 0 },
    { write: 1 },
    { read: 1 },
    { read: 1 },
  ]);
});

test("a read of what was overwritten before it began is found", () => {
  expect(verdictOf(call({ write: 1 }, 0, 1), call({ read: 0 }, 2, 3))).toBe("not linearizable");
});

test("two readers who saw two writes in opposite orders are found", () => {
  const writes = [call({ write: 1 }, 0, 9), call({ write: 2 }, 0, 9)];
  expect(verdictOf(...writes, call({ read: 1 }, 1, 2), call({ read: 2 }, 3, 4))).toBe("linearizable");
  const reads = [call({ read: 1 }, 1, 2), call({ read: 2 }, 3, 4), call({ read: 1 }, 5, 6)];
  expect(verdictOf(...writes, ...reads)).toBe("not linearizable");
});

test("what may not have happened may happen at any later time, once", () => {
  const lost = call({ write: 1 }, 0, never, true);
  expect(verdictOf(lost, call({ read: 0 }, 10, 11), call({ read: 1 }, 12, 13))).toBe("linearizable");
  expect(verdictOf(lost, call({ read: 0 }, 10, 11))).toBe("linearizable");
  expect(verdictOf(lost, call({ read: 1 }, 10, 11), call({ read: 0 }, 12, 13))).toBe("not linearizable");
  const again = [call({ write: 2 }, 14, 15), call({ read: 1 }, 16, 17)];
  expect(verdictOf(lost, call({ read: 1 }, 10, 11), ...again)).toBe("not linearizable");
  expect(verdictOf(call({ write: 1 }, 5, never, true), call({ read: 1 }, 1, 2))).toBe("not linearizable");
});

test("what must have happened, though its answer never came, is placed", () => {
  expect(verdictOf(call({ write: 1 }, 0, never), call({ read: 0 }, 1, 2))).toBe("linearizable");
});

test("it gives up after as many steps as it was allowed", () => {
  const calls = Array.from({ length: 9 }, (_, i) => call({ write: i + 1 }, i, 100));
  expect(linearize(register, [...calls, call({ read: 77 }, 101, 102)], 50).verdict).toBe("undecided");
  expect(linearize(register, [...calls, call({ read: 77 }, 101, 102)]).verdict).toBe("not linearizable");
});

const calls = fc.array(
  fc.record({
    operation: fc.oneof(
      fc.record({ write: fc.integer({ min: 1, max: 3 }) }),
      fc.record({ read: fc.integer({ min: 0, max: 3 }) }),
    ),
    invokedMs: fc.integer({ min: 0, max: 20 }),
    lastsMs: fc.oneof(fc.integer({ min: 1, max: 12 }), fc.constant(never)),
    optional: fc.boolean(),
  }),
  { maxLength: 6 },
);

test("it says what trying all orders says", () => {
  fc.assert(
    fc.property(calls, (drawn) => {
      const intervals = drawn.map(({ operation, invokedMs, lastsMs, optional }) =>
        call(operation, invokedMs, invokedMs + lastsMs, optional),
      );
      const expected = hasOrder(0, intervals) ? "linearizable" : "not linearizable";
      expect(linearize(register, intervals).verdict).toBe(expected);
    }),
    { numRuns: 2_000 },
  );
});

/** The definition, to the letter. */
function hasOrder(value: number, left: readonly Interval<Step>[]): boolean {
  if (left.every(({ optional }) => optional)) return true;
  return left.some((next) => {
    if (left.some((other) => !other.optional && other.answeredMs < next.invokedMs)) return false;
    const after = register.step(value, next.operation);
    return (
      after !== undefined &&
      hasOrder(
        after,
        left.filter((other) => other !== next),
      )
    );
  });
}
