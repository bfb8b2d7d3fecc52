/** One object as the linearizability judge models it: a register that compares and swaps, with create and delete. */
import type { Fields, Request, Outcome, Version } from "./history.ts";
import type { Model } from "./linearizability.ts";

/** `anything`: what came before is not in the history judged. */
export type Register = "absent" | "anything" | KnownVersion;

/** Uid and revision are unknown while nobody was shown them. */
export type KnownVersion = Pick<Version, "fields"> & Partial<Pick<Version, "uid" | "revision">>;

export interface Call {
  readonly request: Request;
  readonly outcome: Outcome;
}

/** `initial`: what the key held before the history began. */
export function registerModel(initial: Register): Model<Register, Call> {
  return {
    initial,
    step: (state, call) => STEPS[call.outcome.result](state, call),
    onlyReads: ({ request, outcome }) => request.verb === "get" || outcome.result === "refused",
    textOf,
  };
}

/** Each gives the state after the call, or undefined when its outcome cannot come about in this state. */
const STEPS: Readonly<Record<Outcome["result"], (state: Register, call: Call) => Register | undefined>> = {
  done: (state, { request, outcome }) => {
    const shown = outcome.result === "done" ? outcome.version : undefined;
    if (request.verb === "get") return shown && isShown(state, shown) ? shown : undefined;
    const after = applied(state, request);
    if (after === undefined || after === "absent" || shown === undefined) return after;
    return isShown(after, shown) ? shown : undefined;
  },
  refused: (state, { request, outcome }) => {
    const code = outcome.result === "refused" ? outcome.code : 0;
    if (code === 404) return state === "absent" || state === "anything" ? "absent" : undefined;
    if (code !== 409) return state;
    if (request.verb === "create") return state === "absent" ? undefined : state;
    return state !== "absent" && (state === "anything" || !holdsPreconditions(state, request)) ? state : undefined;
  },
  unknown: (state, { request }) => applied(state, request),
};

/** What a request makes of a state; undefined: it would be refused. */
function applied(state: Register, request: Request): Register | undefined {
  switch (request.verb) {
    case "get":
      return state;
    case "create":
      return state === "absent" || state === "anything" ? { fields: request.fields } : undefined;
    case "update":
      if (state === "absent" || !holdsPreconditions(state, request)) return undefined;
      return { fields: request.fields, ...uidOf(state) };
    case "patch":
      if (state === "absent") return undefined;
      return state === "anything" ? state : { fields: { ...state.fields, ...request.fields }, ...uidOf(state) };
    case "delete":
      return state !== "absent" && holdsPreconditions(state, request) ? "absent" : undefined;
  }
}

function holdsPreconditions(state: Register, request: Request): boolean {
  if (state === "absent" || state === "anything") return state === "anything";
  const { uid, revision } = request as { readonly uid?: string; readonly revision?: number };
  return (uid === undefined || uid === state.uid) && (revision === undefined || revision === state.revision);
}

/** Whether a state may be what somebody was shown; what is not known of the state agrees with everything. */
function isShown(state: Register, { uid, revision, fields }: Version): boolean {
  if (state === "absent" || state === "anything") return state === "anything";
  return (
    (state.uid === undefined || state.uid === uid) &&
    (state.revision === undefined || state.revision === revision) &&
    sameFields(state.fields, fields)
  );
}

function sameFields(one: Fields, other: Fields): boolean {
  const names = Object.keys(one);
  return names.length === Object.keys(other).length && names.every((name) => one[name] === other[name]);
}

function uidOf(state: Register): { readonly uid?: string } {
  return typeof state === "string" || state.uid === undefined ? {} : { uid: state.uid };
}

function textOf(state: Register): string {
  if (typeof state === "string") return state;
  const fields = Object.entries(state.fields).sort(([one], [other]) => (one < other ? -1 : 1));
  return `${state.revision ?? "?"} ${state.uid ?? "?"} ${JSON.stringify(fields)}`;
}
