/**
 * What is told about a namespace that goes, and whether it may go. Pure; words as upstream's.
 *
 * It may go when everything was looked at (all resources were discovered, nothing failed) and nothing was there.
 */
import type { Namespace, NamespaceCondition } from "@pilothouse/api/types/core-v1";
import { sameValue } from "@pilothouse/kinds/field-errors";
import { timestampOf } from "../../core/values.ts";

/** One resource's objects that are left in the namespace. */
export interface Remaining {
  readonly group: string;
  readonly resource: string;
  readonly count: number;
  /** How many of them each finalizer holds. */
  readonly finalizers: Readonly<Record<string, number>>;
}

export interface Findings {
  /** Why not all resources are known. */
  readonly discoveryFailure?: string;
  /** Why something could not be deleted or listed, each as a text. */
  readonly deleteFailures: readonly string[];
  readonly remaining: readonly Remaining[];
}

export type NamespaceAction =
  | { readonly do: "tell"; readonly namespace: Namespace }
  /** Its last own finalizer is taken away. */
  | { readonly do: "finalize"; readonly finalizers: readonly string[] };

export const KUBERNETES_FINALIZER = "kubernetes";

export function plan(namespace: Namespace, findings: Findings, nowMs: number): readonly NamespaceAction[] {
  const actions: NamespaceAction[] = [];
  const known = namespace.status?.conditions ?? [];
  const conditions = conditionsAfter(known, findings, nowMs);
  if (!sameValue(known, conditions))
    actions.push({ do: "tell", namespace: { ...namespace, status: { ...namespace.status, conditions } } });
  if (isEmpty(findings)) {
    const finalizers = namespace.spec?.finalizers ?? [];
    actions.push({ do: "finalize", finalizers: finalizers.filter((name) => name !== KUBERNETES_FINALIZER) });
  }
  return actions;
}

/** True when it is ours to empty and let go. */
export function isOurs({ metadata, spec }: Namespace): boolean {
  return metadata.deletionTimestamp !== undefined && (spec?.finalizers ?? []).includes(KUBERNETES_FINALIZER);
}

export function isEmpty({ discoveryFailure, deleteFailures, remaining }: Findings): boolean {
  return discoveryFailure === undefined && deleteFailures.length === 0 && remaining.length === 0;
}

interface ConditionRule {
  readonly type: string;
  readonly okReason: string;
  readonly okMessage: string;
  readonly badReason: string;
  /** What is wrong; undefined when all is well. */
  readonly trouble: (findings: Findings) => string | undefined;
}

const conditionRules: readonly ConditionRule[] = [
  {
    type: "NamespaceDeletionDiscoveryFailure",
    okReason: "ResourcesDiscovered",
    okMessage: "All resources successfully discovered",
    badReason: "DiscoveryFailed",
    trouble: ({ discoveryFailure }) => discoveryFailure,
  },
  {
    type: "NamespaceDeletionGroupVersionParsingFailure",
    okReason: "ParsedGroupVersions",
    okMessage: "All legacy kube types successfully parsed",
    badReason: "GroupVersionParsingFailed",
    // Our resources come with group and version apart; clients wait for this condition all the same.
    trouble: () => undefined,
  },
  {
    type: "NamespaceDeletionContentFailure",
    okReason: "ContentDeleted",
    okMessage: "All content successfully deleted, may be waiting on finalization",
    badReason: "ContentDeletionFailed",
    trouble: ({ deleteFailures }) =>
      deleteFailures.length === 0
        ? undefined
        : `Failed to delete all resource types, ${deleteFailures.length} remaining: ${[...deleteFailures].sort().join(", ")}`,
  },
  {
    type: "NamespaceContentRemaining",
    okReason: "ContentRemoved",
    okMessage: "All content successfully removed",
    badReason: "SomeResourcesRemain",
    trouble: ({ remaining }) =>
      listed(
        "Some resources are remaining: ",
        remaining.map(({ resource, group, count }) => [`${resource}.${group} has`, count]),
      ),
  },
  {
    type: "NamespaceFinalizersRemaining",
    okReason: "ContentHasNoFinalizers",
    okMessage: "All content-preserving finalizers finished",
    badReason: "SomeFinalizersRemain",
    trouble: ({ remaining }) =>
      listed(
        "Some content in the namespace has finalizers remaining: ",
        [...finalizerCounts(remaining)].map(([name, count]) => [`${name} in`, count]),
      ),
  },
];

function conditionsAfter(
  known: readonly NamespaceCondition[],
  findings: Findings,
  nowMs: number,
): NamespaceCondition[] {
  const ruled = conditionRules.map(({ type, okReason, okMessage, badReason, trouble }) => {
    const message = trouble(findings);
    const status = message === undefined ? "False" : "True";
    const before = known.find((condition) => condition.type === type);
    const lastTransitionTime =
      before?.status === status ? (before.lastTransitionTime ?? timestampOf(nowMs)) : timestampOf(nowMs);
    const [reason, text] = message === undefined ? [okReason, okMessage] : [badReason, message];
    return { type, status, lastTransitionTime, reason, message: text };
  });
  const foreign = known.filter(({ type }) => !conditionRules.some((rule) => rule.type === type));
  return [...foreign, ...ruled];
}

/** "<what> <count> resource instances", sorted so that the same findings are told in the same words. */
function listed(introduction: string, rows: readonly (readonly [what: string, count: number])[]): string | undefined {
  if (rows.length === 0) return undefined;
  const texts = rows.map(([what, count]) => `${what} ${count} resource instances`);
  return introduction + texts.sort().join(", ");
}

function finalizerCounts(remaining: readonly Remaining[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { finalizers } of remaining)
    for (const [name, count] of Object.entries(finalizers)) counts.set(name, (counts.get(name) ?? 0) + count);
  return counts;
}
