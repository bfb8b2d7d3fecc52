/** The verdict about one object, as actions. Pure. Every write names the state that was judged. */
import type { OwnerReference } from "@pilothouse/api/types/meta-v1";
import type { KubernetesObject } from "@pilothouse/client";
import { FOREGROUND_FINALIZER, ORPHAN_FINALIZER } from "./plan-graph.ts";
import { deletesDependentsFirst } from "./plan-wakes.ts";
import { blockingDependents, hasFinalizer, judge, type Situation } from "./rules.ts";

export type GarbageAction =
  /** Take the object's uid out of the owner references of its dependents. */
  | { readonly do: "orphan"; readonly dependents: readonly string[] }
  | { readonly do: "look at"; readonly uids: readonly string[] }
  | { readonly do: "set finalizers"; readonly finalizers: readonly string[] }
  | { readonly do: "set owners"; readonly owners: readonly OwnerReference[] }
  | { readonly do: "delete"; readonly policy: "Background" | "Foreground" | "Orphan" };

export function plan(situation: Situation): readonly GarbageAction[] {
  const { object, owners, dependents } = situation;
  switch (judge(situation)) {
    case "leave alone":
      return [];
    case "orphan its dependents, then let it go":
      return [
        { do: "orphan", dependents: dependents.map(({ uid }) => uid) },
        withoutFinalizer(object, ORPHAN_FINALIZER),
      ];
    case "wait for blocking dependents":
      return [
        {
          do: "look at",
          uids: blockingDependents(situation)
            .filter((one) => !one.isLeaving)
            .map(({ uid }) => uid),
        },
      ];
    case "let it go":
      return [withoutFinalizer(object, FOREGROUND_FINALIZER)];
    case "drop owners that are gone":
      return [
        { do: "set owners", owners: owners.filter(({ state }) => state === "there").map(({ reference }) => reference) },
      ];
    case "delete it after its dependents": {
      // Where a dependent waits for its own dependents too, a circle could wait for itself: this one blocks nobody any more.
      const unblocked = owners.map(({ reference }) => ({ ...reference, blockOwnerDeletion: false }));
      const blocksNobody = dependents.some(deletesDependentsFirst)
        ? [{ do: "set owners", owners: unblocked } as const]
        : [];
      return [...blocksNobody, { do: "delete", policy: "Foreground" }];
    }
    case "delete it":
      return [{ do: "delete", policy: policyOf(object) }];
  }
}

/** What was asked for before it was deleted stays asked for. */
function policyOf(object: KubernetesObject): "Background" | "Foreground" | "Orphan" {
  if (hasFinalizer(object, ORPHAN_FINALIZER)) return "Orphan";
  return hasFinalizer(object, FOREGROUND_FINALIZER) ? "Foreground" : "Background";
}

function withoutFinalizer({ metadata }: KubernetesObject, finalizer: string): GarbageAction {
  return { do: "set finalizers", finalizers: (metadata.finalizers ?? []).filter((name) => name !== finalizer) };
}
