/** Which objects must be looked at after a change of the graph. Pure. To look at too many costs reads, at too few leaves garbage. */
import type { OwnerReference } from "@pilothouse/api/types/meta-v1";
import { FOREGROUND_FINALIZER, ORPHAN_FINALIZER, type GraphObject, type OwnerGraph } from "./plan-graph.ts";

/** By uid; the graph holds the change already. `before` and `after` are one object's states, undefined when it was not there. */
export function wakes(
  graph: Pick<OwnerGraph, "get" | "dependents">,
  before: GraphObject | undefined,
  after: GraphObject | undefined,
): readonly string[] {
  const uids = new Set<string>();
  if (!after) for (const { uid } of graph.dependents(before?.uid ?? "")) uids.add(uid);
  if (before && after && isSame(before, after)) return [];
  if (after && waitsForDependents(after)) {
    uids.add(after.uid);
    if (deletesDependentsFirst(after)) for (const { uid } of graph.dependents(after.uid)) uids.add(uid);
  }
  if (after && isDoubtful(graph, after)) uids.add(after.uid);
  for (const { uid } of [...(before?.owners ?? []), ...(after?.owners ?? [])]) {
    const owner = graph.get(uid);
    if (owner && waitsForDependents(owner)) uids.add(uid);
  }
  return [...uids];
}

/** It is being deleted, but first something happens to its dependents. */
export function waitsForDependents(object: GraphObject): boolean {
  return deletesDependentsFirst(object) || (object.isLeaving && object.finalizers.includes(ORPHAN_FINALIZER));
}

export function deletesDependentsFirst({
  isLeaving,
  finalizers,
}: Pick<GraphObject, "isLeaving" | "finalizers">): boolean {
  return isLeaving && finalizers.includes(FOREGROUND_FINALIZER);
}

/** True when the graph shows the very object that `reference` names, where a dependent in `namespace` may name it. */
export function isShown(graph: Pick<OwnerGraph, "get">, reference: OwnerReference, namespace: string): boolean {
  const owner = graph.get(reference.uid);
  if (!owner || owner.name !== reference.name || owner.type.kind !== reference.kind) return false;
  return owner.namespace === "" || owner.namespace === namespace;
}

/** One of its owners is not to be seen where it should be, or takes its dependents along. */
function isDoubtful(graph: Pick<OwnerGraph, "get">, { owners, namespace }: GraphObject): boolean {
  return owners.some((reference) => {
    const owner = graph.get(reference.uid);
    return !isShown(graph, reference, namespace) || (owner !== undefined && deletesDependentsFirst(owner));
  });
}

function isSame(a: GraphObject, b: GraphObject): boolean {
  const parts = ({ owners, isLeaving, finalizers }: GraphObject): string =>
    JSON.stringify([owners, isLeaving, finalizers]);
  return parts(a) === parts(b);
}
