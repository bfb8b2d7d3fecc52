import { expect, test } from "vitest";
import { electionTimes, nextStep } from "./machine.ts";
import type { ElectionState } from "./machine.ts";

const leader = { createRevision: 7, identity: "a", healthAddress: "a:1" };
const standby: ElectionState = { role: "standby", leader, heardMs: 0, heardOnce: true, probing: false };
const leading: ElectionState = { role: "leading", createRevision: 7, leaseId: "1", renewedMs: 0, renewAtMs: 5_000 };

test("a standby waits longer for a leader that it never heard", () => {
  const deaf = { ...standby, heardOnce: false };
  expect(nextStep(standby, { type: "tick" }, electionTimes.silenceMs).actions).toEqual([{ do: "probe", leader }]);
  expect(nextStep(deaf, { type: "tick" }, electionTimes.silenceMs).actions).toEqual([]);
  expect(nextStep(deaf, { type: "tick" }, electionTimes.firstSilenceMs).actions).toEqual([{ do: "probe", leader }]);
});

test("a beat heard while the probe failed keeps the leader", () => {
  const probing = { ...standby, probing: true };
  const heard = nextStep(probing, { type: "beat", createRevision: 7 }, 1_500).state;
  const probed = { type: "probed", createRevision: 7, alive: false } as const;
  expect(nextStep(heard, probed, 1_600)).toMatchObject({ state: { role: "standby", probing: false }, actions: [] });
  expect(nextStep(probing, probed, 1_600).actions).toEqual([{ do: "remove", createRevision: 7 }]);
});

test("a beat or probe of another leader says nothing of this one", () => {
  expect(nextStep(standby, { type: "beat", createRevision: 6 }, 900).state).toEqual(standby);
  const other = { type: "probed", createRevision: 6, alive: false } as const;
  expect(nextStep(standby, other, 2_000)).toEqual({ state: standby, actions: [] });
});

const seen = { type: "key", isOwn: false } as const;

test("a key of our own by which we do not lead is taken away, whenever it is met", () => {
  const own = { ...seen, key: { ...leader, createRevision: 8 }, revision: 8, isOwn: true };
  for (const state of [{ role: "looking" } as const, standby])
    expect(nextStep(state, own, 10)).toEqual({
      state: { role: "takingOver" },
      actions: [{ do: "remove", createRevision: 8 }],
    });
  const creating: ElectionState = { role: "creating" };
  expect(nextStep(creating, own, 10)).toEqual({ state: creating, actions: [] });
});

test("old news of the key does not depose a leader, new news does", () => {
  expect(nextStep(leading, { ...seen, key: undefined, revision: 6 }, 10).state).toEqual(leading);
  expect(nextStep(leading, { ...seen, key: leader, revision: 9 }, 10).state).toEqual(leading);
  expect(nextStep(leading, { ...seen, key: undefined, revision: 8 }, 10).state.role).toBe("ending");
  const next = { ...leader, createRevision: 8 };
  expect(nextStep(leading, { ...seen, key: next, revision: 8 }, 10).actions).toEqual([
    { do: "lose", why: "a has taken over" },
  ]);
});

test("a key that was created too long ago is given back instead of being led with", () => {
  const created = { type: "created", createRevision: 7, resourceVersion: 1_007, leaseId: "1", askedMs: 0 } as const;
  expect(nextStep({ role: "creating" }, created, 9_999).state.role).toBe("leading");
  expect(nextStep({ role: "creating" }, created, 10_000)).toMatchObject({
    state: { role: "looking" },
    actions: [{ do: "release" }, { do: "look" }],
  });
  expect(nextStep({ role: "stopped" }, created, 1).actions).toMatchObject([{ do: "release" }]);
});

test("a leader renews in time, again soon when that fails, and steps down at two thirds of the lease", () => {
  let state: ElectionState = leading;
  const renewals: number[] = [];
  for (let nowMs = 0; state.role === "leading" && nowMs < 20_000; nowMs += electionTimes.beatMs) {
    const step = nextStep(state, { type: "tick" }, nowMs);
    if (step.actions.some((action) => action.do === "renew")) renewals.push(nowMs);
    if (step.state.role === "ending") expect(nowMs).toBe(10_000);
    state = step.state;
  }
  expect(renewals).toEqual([5_000, 6_000, 7_000, 8_000, 9_000]);
  expect(state.role).toBe("ending");
});
