import * as fc from "fast-check";
import { expect, test } from "vitest";
import { nextStep, phaseOf, type AuthorityState, type AuthorityStep, type Goal } from "./authority-plan.ts";

/** The directory as the steps change it, each key with a name of its own. */
function take(state: AuthorityState, step: AuthorityStep, fresh: string): AuthorityState {
  const { certificate, key, nextCertificate, nextKey } = state;
  const results: Record<AuthorityStep, AuthorityState> = {
    "create key": { ...state, key: fresh },
    "create certificate": { ...state, certificate: key },
    "create next key": { ...state, nextKey: fresh },
    "create next certificate": { ...state, nextCertificate: nextKey },
    "keep certificate as previous": { ...state, previousCertificate: certificate },
    "promote key": { ...state, key: nextKey, nextKey: undefined },
    "promote certificate": { ...state, certificate: nextCertificate, nextCertificate: undefined },
    "remove previous certificate": { ...state, previousCertificate: undefined },
  };
  return results[step];
}

const PHASES: readonly Goal[] = ["exist", "rotate", "promote", "retire"];

test("whatever is interrupted, and however often a phase is asked for, the three phases end with one new authority", () => {
  const interruptions = fc.array(fc.nat({ max: 4 }), { maxLength: 12 });
  fc.assert(
    fc.property(interruptions, (stepsUntilInterrupted) => {
      let [state, made]: [AuthorityState, number] = [{}, 0];
      const lead = (goal: Goal, steps: number): boolean => {
        for (let taken = 0; ; taken += 1) {
          const step = nextStep("ca", state, goal);
          if (step === undefined) return true;
          if (taken === steps) return false;
          if (step.endsWith(" key") && step.startsWith("create")) made += 1;
          state = take(state, step, `key-${made}`);
        }
      };
      const left = [...stepsUntilInterrupted];
      for (const goal of PHASES) {
        while (!lead(goal, left.shift() ?? Infinity));
        if (goal === "exist") expect(state).toMatchObject({ certificate: "key-1", key: "key-1" });
        // What was trusted by all before a phase is what signs during it.
        if (goal === "rotate")
          expect(state).toMatchObject({ key: "key-1", nextCertificate: "key-2", nextKey: "key-2" });
        if (goal === "promote") expect(state).toMatchObject({ key: "key-2", previousCertificate: "key-1" });
        expect(lead(goal, 0)).toBe(true);
      }
      expect(JSON.parse(JSON.stringify(state))).toEqual({ certificate: "key-2", key: "key-2" });
      expect(made).toBe(2);
    }),
  );
});

test("a playbook that runs again from its first phase finishes the rotation that is under way", () => {
  const promoted: AuthorityState = { certificate: "new", key: "new", previousCertificate: "old" };
  expect(phaseOf(promoted)).toBe("promoted");
  expect(nextStep("ca", promoted, "rotate")).toBeUndefined();
  expect(nextStep("ca", promoted, "promote")).toBeUndefined();
  expect(nextStep("ca", promoted, "retire")).toBe("remove previous certificate");
});

test("what would lose an authority is refused", () => {
  const steady: AuthorityState = { certificate: "a", key: "a" };
  expect(() => nextStep("ca", { certificate: "a" }, "exist")).toThrow("ca.crt has no ca.key beside it");
  expect(() => nextStep("ca", { certificate: "a", key: "b" }, "exist")).toThrow("ca.key is not the key of ca.crt");
  expect(() => nextStep("ca", steady, "promote")).toThrow("rotate first");
  expect(() => nextStep("ca", { ...steady, nextCertificate: "b", nextKey: "b" }, "retire")).toThrow("promote it first");
});
