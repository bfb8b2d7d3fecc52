/** What becomes of one object, by what its owners and dependents are: upstream's attemptToDelete and attemptToOrphan, row by row. Pure. */
import type { OwnerReference } from "@pilothouse/api/types/meta-v1";
import type { KubernetesObject } from "@pilothouse/client";
import { FOREGROUND_FINALIZER, ORPHAN_FINALIZER, type GraphObject } from "./plan-graph.ts";

/** As a consistent read showed it. */
export type OwnerState =
  | "there"
  | "gone"
  /** There, but only until its dependents are deleted. */
  | "deletes dependents first"
  /** It cannot be asked for: its kind is not served, or it could not be where it is said to be. */
  | "unknown";

export interface Situation {
  /** As a consistent read showed it. */
  readonly object: KubernetesObject;
  readonly owners: readonly { readonly reference: OwnerReference; readonly state: OwnerState }[];
  /** As the graph shows them. */
  readonly dependents: readonly GraphObject[];
}

export type Verdict =
  | "leave alone"
  | "orphan its dependents, then let it go"
  | "wait for blocking dependents"
  | "let it go"
  | "drop owners that are gone"
  | "delete it after its dependents"
  | "delete it";

interface Rule {
  readonly name: string;
  readonly verdict: Verdict;
  readonly when: (situation: Situation) => boolean;
  readonly why: string;
}

/** The first row that applies decides. */
export const rules: readonly Rule[] = [
  {
    name: "asked to leave its dependents",
    verdict: "orphan its dependents, then let it go",
    when: ({ object }) => isLeaving(object) && hasFinalizer(object, ORPHAN_FINALIZER),
    why: "the delete said Orphan",
  },
  {
    name: "dependents first, and some block",
    verdict: "wait for blocking dependents",
    when: (situation) => isForeground(situation.object) && blockingDependents(situation).length > 0,
    why: "the delete said Foreground",
  },
  {
    name: "dependents first, and none blocks",
    verdict: "let it go",
    when: ({ object }) => isForeground(object),
    why: "what it waited for is done",
  },
  { name: "leaving", verdict: "leave alone", when: ({ object }) => isLeaving(object), why: "it goes already" },
  { name: "free", verdict: "leave alone", when: ({ owners }) => owners.length === 0, why: "nobody has to keep it" },
  {
    name: "an owner is unknown",
    verdict: "leave alone",
    when: ({ owners }) => any(owners, "unknown"),
    why: "who cannot be asked for may be alive",
  },
  {
    name: "kept by one owner, left by another",
    verdict: "drop owners that are gone",
    when: ({ owners }) => any(owners, "there") && owners.some(({ state }) => state !== "there"),
    why: "one living owner keeps it",
  },
  { name: "kept", verdict: "leave alone", when: ({ owners }) => any(owners, "there"), why: "a living owner keeps it" },
  {
    name: "an owner waits for it, and others depend on it",
    verdict: "delete it after its dependents",
    when: ({ owners, dependents }) => any(owners, "deletes dependents first") && dependents.length > 0,
    why: "foreground goes all the way down",
  },
  { name: "garbage", verdict: "delete it", when: () => true, why: "no owner is left" },
];

export function judge(situation: Situation): Verdict {
  return (rules.find(({ when }) => when(situation)) as Rule).verdict;
}

/** Dependents that the object must outlive. */
export function blockingDependents({ object, dependents }: Situation): readonly GraphObject[] {
  const { uid } = object.metadata;
  return dependents.filter(({ owners }) =>
    owners.some((owner) => owner.uid === uid && owner.blockOwnerDeletion === true),
  );
}

function isLeaving({ metadata }: KubernetesObject): boolean {
  return metadata.deletionTimestamp !== undefined;
}

function isForeground(object: KubernetesObject): boolean {
  return isLeaving(object) && hasFinalizer(object, FOREGROUND_FINALIZER);
}

export function hasFinalizer({ metadata }: KubernetesObject, finalizer: string): boolean {
  return (metadata.finalizers ?? []).includes(finalizer);
}

function any(owners: Situation["owners"], wanted: OwnerState): boolean {
  return owners.some(({ state }) => state === wanted);
}
