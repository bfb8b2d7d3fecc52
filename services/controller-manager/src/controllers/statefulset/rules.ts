/** What is done about each pod of a StatefulSet: upstream's processReplica and processCondemned, row by row. Pure. */
import type { Pod } from "@pilothouse/api/types/core-v1";

/** One place in a set, and the pod that has it. */
export interface Replica {
  readonly ordinal: number;
  /** Undefined: there is none. */
  readonly pod: Pod | undefined;
  readonly state: ReplicaState;
}

export type ReplicaState =
  /** No pod, and none may be made: a claim of the former one is still going. */
  | "blocked"
  | "missing"
  /** Failed or succeeded; what is left of it is going. */
  | "ended, going"
  | "ended"
  | "going"
  | "not ready"
  | "not available"
  | "available";

interface Rule {
  readonly why: string;
  readonly does: "create" | "delete" | "keep" | "nothing";
  /** One after the other, the next one is not looked at before this one is done with. */
  readonly halts: boolean;
}

export const replicaRules: Readonly<Record<ReplicaState, Rule>> = {
  blocked: { does: "nothing", halts: true, why: "its storage would be taken away under it" },
  missing: { does: "create", halts: true, why: "those after it wait until it is available" },
  "ended, going": { does: "nothing", halts: true, why: "its name is free when it is gone" },
  // Whatever its exit code says: evictions and reboots end pods as well.
  ended: { does: "delete", halts: true, why: "its name is free when it is gone" },
  going: { does: "nothing", halts: true, why: "its name is free when it is gone" },
  "not ready": { does: "keep", halts: true, why: "those after it may need it" },
  "not available": { does: "keep", halts: true, why: "it has not proved itself yet" },
  available: { does: "keep", halts: false, why: "all is well" },
};

/** Of pods that are not wanted any more, the highest first. `isFirstUnwell`: no pod before it is unwell. */
export function condemnedRule(state: ReplicaState, isFirstUnwell: boolean): Rule {
  if (state === "going" || state === "ended, going")
    return { does: "nothing", halts: true, why: "the next goes when it is gone" };
  if (state !== "available" && !isFirstUnwell)
    return { does: "nothing", halts: true, why: "others are unwell that are wanted more" };
  return { does: "delete", halts: true, why: "it is one too many" };
}
