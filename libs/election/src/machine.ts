/**
 * The election as a state machine: what a candidate does next, given what it just learned. Pure; `nowMs` is monotonic.
 *
 * Safety does not depend on anything here: it comes from the fence, the create-revision of the key (C11). So this may be bold
 * about liveness (C12). What the table must keep: it leads only with a key it created itself, and stops when it cannot know
 * that the key is still its own.
 */

export const electionTimes = {
  leaseSeconds: 15,
  /** A leader beats so often; also the pace of `tick`. */
  beatMs: 250,
  /** A standby asks the leader's health port after this much silence. */
  silenceMs: 1_000,
  /** The same for a leader that was never heard: it may be starting, or the bus may be deaf here. */
  firstSilenceMs: 5_000,
  renewMs: 5_000,
  renewAgainMs: 1_000,
  /** Two thirds of the lease: so long after the last renewal was asked for, a leader steps down. */
  stepDownMs: 10_000,
} as const;

/** The key of an election as somebody saw it. */
export interface SeenKey {
  readonly createRevision: number;
  readonly identity: string;
  readonly healthAddress: string | undefined;
}

export type ElectionState =
  /** Reading the key. */
  | { readonly role: "looking" }
  /** Trying to create the key, which was not there. */
  | { readonly role: "creating" }
  | {
      readonly role: "standby";
      readonly leader: SeenKey;
      readonly heardMs: number;
      readonly heardOnce: boolean;
      readonly probing: boolean;
    }
  /** Removing the key of a leader that is silent and dead, or one of our own by which we do not lead. */
  | { readonly role: "takingOver" }
  | {
      readonly role: "leading";
      readonly createRevision: number;
      readonly leaseId: string;
      /** When the last renewal that worked was asked for. */
      readonly renewedMs: number;
      readonly renewAtMs: number;
    }
  /** The work of the leader was told to end, and has not yet. */
  | { readonly role: "ending" }
  | { readonly role: "stopped" };

export type ElectionInput =
  /** The key at this revision of the store; undefined where there is none. `isOwn`: this very incarnation made it. */
  | { readonly type: "key"; readonly key: SeenKey | undefined; readonly revision: number; readonly isOwn: boolean }
  | {
      readonly type: "created";
      readonly createRevision: number;
      readonly resourceVersion: number;
      readonly leaseId: string;
      readonly askedMs: number;
    }
  /** Creating the key or removing the old one did not work, or nobody knows. */
  | { readonly type: "failed" }
  /** The old leader's key is removed. */
  | { readonly type: "removed" }
  | { readonly type: "beat"; readonly createRevision: number }
  | { readonly type: "probed"; readonly createRevision: number; readonly alive: boolean }
  | { readonly type: "renewed"; readonly leaseId: string; readonly askedMs: number }
  /** The lease, or the key that it should hold, is gone. */
  | { readonly type: "notRenewed"; readonly leaseId: string }
  /** The leader's work has ended, by itself or because it was told to. */
  | { readonly type: "workEnded" }
  | { readonly type: "tick" }
  | { readonly type: "stop" };

export type ElectionAction =
  | { readonly do: "look"; readonly afterPause: boolean }
  | { readonly do: "create" }
  | { readonly do: "probe"; readonly leader: SeenKey }
  | { readonly do: "remove"; readonly createRevision: number }
  | { readonly do: "lead"; readonly createRevision: number; readonly resourceVersion: number }
  | { readonly do: "beat"; readonly createRevision: number }
  | { readonly do: "renew"; readonly createRevision: number; readonly leaseId: string }
  /** Tell the leader's work at once that it is over. */
  | { readonly do: "lose"; readonly why: string }
  /** Delete the own key and lease, so that others need not wait. */
  | { readonly do: "release"; readonly createRevision: number; readonly leaseId: string };

export interface ElectionStep {
  readonly state: ElectionState;
  readonly actions: readonly ElectionAction[];
}

type Role = ElectionState["role"];
type InputType = ElectionInput["type"];
type StateOf<R extends Role> = Extract<ElectionState, { role: R }>;
type InputOf<I extends InputType> = Extract<ElectionInput, { type: I }>;

/** What each role does on each input; what is not in the table changes nothing. */
type Table = {
  readonly [R in Role]: {
    readonly [I in InputType]?: (state: StateOf<R>, input: InputOf<I>, nowMs: number) => ElectionStep;
  };
};

const table: Table = {
  looking: {
    key: (_, seen, nowMs) => meet(seen, nowMs),
    stop: () => stopped(),
  },
  creating: {
    // The watch may show our own key before etcd's answer does: only the answer counts here.
    created: (_, won, nowMs) => lead(won, nowMs),
    failed: () => look(),
    stop: () => stopped(),
  },
  standby: {
    key: (state, seen, nowMs) =>
      seen.key?.createRevision === state.leader.createRevision ? stay(state) : meet(seen, nowMs),
    beat: (state, beat, nowMs) =>
      beat.createRevision === state.leader.createRevision
        ? stay({ ...state, heardMs: nowMs, heardOnce: true })
        : stay(state),
    tick: (state, _, nowMs) => {
      const patienceMs = state.heardOnce ? electionTimes.silenceMs : electionTimes.firstSilenceMs;
      if (state.probing || nowMs - state.heardMs < patienceMs) return stay(state);
      return { state: { ...state, probing: true }, actions: [{ do: "probe", leader: state.leader }] };
    },
    probed: (state, probed, nowMs) => {
      const { createRevision } = state.leader;
      if (probed.createRevision !== createRevision) return stay(state);
      if (probed.alive) return stay({ ...state, probing: false, heardMs: nowMs });
      // A beat that came while we were asking is an answer too.
      if (nowMs - state.heardMs < electionTimes.silenceMs) return stay({ ...state, probing: false });
      return { state: { role: "takingOver" }, actions: [{ do: "remove", createRevision }] };
    },
    stop: () => stopped(),
  },
  takingOver: {
    removed: () => create(),
    failed: () => look(),
    stop: () => stopped(),
  },
  leading: {
    key: (state, { key, revision }) => {
      if (revision < state.createRevision || key?.createRevision === state.createRevision) return stay(state);
      return lose(key ? `${key.identity} has taken over` : "the election's key was removed");
    },
    renewed: (state, { leaseId, askedMs }) =>
      leaseId === state.leaseId
        ? stay({ ...state, renewedMs: askedMs, renewAtMs: askedMs + electionTimes.renewMs })
        : stay(state),
    notRenewed: (state, { leaseId }) => (leaseId === state.leaseId ? lose("the lease has ended") : stay(state)),
    tick: (state, _, nowMs) => {
      const { createRevision, leaseId } = state;
      if (nowMs - state.renewedMs >= electionTimes.stepDownMs) return lose("the lease could not be renewed in time");
      const beat = { do: "beat", createRevision } as const;
      if (nowMs < state.renewAtMs) return { state, actions: [beat] };
      return {
        state: { ...state, renewAtMs: nowMs + electionTimes.renewAgainMs },
        actions: [beat, { do: "renew", createRevision, leaseId }],
      };
    },
    workEnded: ({ createRevision, leaseId }) => ({
      state: { role: "looking" },
      actions: [
        { do: "release", createRevision, leaseId },
        { do: "look", afterPause: true },
      ],
    }),
    stop: ({ createRevision, leaseId }) => ({
      state: { role: "stopped" },
      actions: [
        { do: "lose", why: "this process stops" },
        { do: "release", createRevision, leaseId },
      ],
    }),
  },
  ending: {
    workEnded: () => look(),
    stop: () => stopped(),
  },
  stopped: {
    // The answer came after all: nobody will lead with this key.
    created: (state, { createRevision, leaseId }) => ({ state, actions: [{ do: "release", createRevision, leaseId }] }),
  },
};

/** A candidate at its start. */
export function firstStep(): ElectionStep {
  return look();
}

export function nextStep(state: ElectionState, input: ElectionInput, nowMs: number): ElectionStep {
  // The table's type ties each row to its role and input; a lookup by two variables cannot show that to the compiler.
  const row = table[state.role][input.type] as
    | ((state: ElectionState, input: ElectionInput, nowMs: number) => ElectionStep)
    | undefined;
  return row ? row(state, input, nowMs) : stay(state);
}

function stay(state: ElectionState): ElectionStep {
  return { state, actions: [] };
}

function look(): ElectionStep {
  return { state: { role: "looking" }, actions: [{ do: "look", afterPause: false }] };
}

function create(): ElectionStep {
  return { state: { role: "creating" }, actions: [{ do: "create" }] };
}

function stopped(): ElectionStep {
  return stay({ role: "stopped" });
}

/**
 * What a candidate does about the key that it finds. Its own is left from a leadership that it gave up while the store did not
 * answer, or from a creation whose answer was lost. Others find this process alive and would wait for the lease, which a new
 * leader of etcd prolongs by its whole length: so who made it takes it away.
 */
function meet({ key, isOwn }: InputOf<"key">, nowMs: number): ElectionStep {
  if (!key) return create();
  const { createRevision } = key;
  return isOwn ? { state: { role: "takingOver" }, actions: [{ do: "remove", createRevision }] } : standBy(key, nowMs);
}

function standBy(leader: SeenKey, nowMs: number): ElectionStep {
  return stay({ role: "standby", leader, heardMs: nowMs, heardOnce: false, probing: false });
}

function lead({ createRevision, resourceVersion, leaseId, askedMs }: InputOf<"created">, nowMs: number): ElectionStep {
  if (nowMs - askedMs >= electionTimes.stepDownMs)
    return {
      state: { role: "looking" },
      actions: [
        { do: "release", createRevision, leaseId },
        { do: "look", afterPause: true },
      ],
    };
  return {
    state: { role: "leading", createRevision, leaseId, renewedMs: askedMs, renewAtMs: askedMs + electionTimes.renewMs },
    actions: [
      { do: "lead", createRevision, resourceVersion },
      { do: "beat", createRevision },
    ],
  };
}

function lose(why: string): ElectionStep {
  return { state: { role: "ending" }, actions: [{ do: "lose", why }] };
}
