/**
 * What has to be done to an authority's files, decided from what lies there. An authority is `<name>.crt` and `<name>.key`; while
 * it is being replaced also `<name>-next.crt` and `-next.key` (made, not used yet) or `<name>-previous.crt` (not used any more,
 * still trusted). One step at a time: whatever step an interruption came after, the same goal leads on from there.
 *
 *   steady ──rotate──▶ next ──promote──▶ promoted ──retire──▶ steady
 */
export type Goal = "exist" | "rotate" | "promote" | "retire";
export type Phase = "steady" | "next" | "promoted";

/** What each file holds, as the id of its key (see keyId of libs/pki); undefined if it is not there. */
export interface AuthorityState {
  readonly certificate?: string | undefined;
  readonly key?: string | undefined;
  readonly nextCertificate?: string | undefined;
  readonly nextKey?: string | undefined;
  readonly previousCertificate?: string | undefined;
}

export type AuthorityStep =
  | "create key"
  | "create certificate"
  | "create next key"
  | "create next certificate"
  | "keep certificate as previous"
  | "promote key"
  | "promote certificate"
  | "remove previous certificate";

/** The next step towards `goal`; undefined when it is reached. Throws where going on would lose an authority. */
export function nextStep(name: string, state: AuthorityState, goal: Goal): AuthorityStep | undefined {
  const next = state.nextCertificate !== undefined && state.nextCertificate === state.nextKey;
  const rotating = state.previousCertificate !== undefined;
  if (isHalfPromoted(state)) return "promote certificate";
  if (state.certificate === undefined) return state.key === undefined ? "create key" : "create certificate";
  if (state.key === undefined) throw new Error(`${name}.crt has no ${name}.key beside it: bring the key back`);
  if (state.key !== state.certificate) throw new Error(`${name}.key is not the key of ${name}.crt`);

  switch (goal) {
    case "exist":
      return undefined;
    case "rotate":
      if (next || rotating) return undefined; // under way: promote and retire lead on
      return state.nextKey === undefined ? "create next key" : "create next certificate";
    case "promote":
      if (next) return rotating ? "promote key" : "keep certificate as previous";
      if (rotating) return undefined;
      throw new Error(`${name} has no next certificate to promote: rotate first`);
    case "retire":
      if (state.nextCertificate !== undefined) throw new Error(`${name} has a next certificate: promote it first`);
      return rotating ? "remove previous certificate" : undefined;
  }
}

/** Where the authority is on its way, for people and for Ansible. */
export function phaseOf(state: AuthorityState): Phase {
  if (state.nextCertificate !== undefined) return "next";
  return state.previousCertificate === undefined ? "steady" : "promoted";
}

/** The key was moved, its certificate not yet: the one state in which the two differ. */
function isHalfPromoted({ key, nextCertificate, nextKey }: AuthorityState): boolean {
  return nextCertificate !== undefined && nextCertificate === key && nextKey === undefined;
}
