/** Where a consumer stands in a chain of changes, and what a message means to it (C14). Pure. */

/** All changes of revisions up to and with `whole` are applied; of the next one perhaps some. */
export interface ChainPosition {
  readonly whole: number;
  readonly partial?: { readonly revision: number; readonly parts: readonly number[] };
}

export interface ChainStep {
  readonly type: "change" | "bookmark";
  readonly revision: number;
  /** The revision of the chain's change before this one. */
  readonly previous: number;
  /** This is change `number` (from 1) of `of` of its revision. */
  readonly part: { readonly number: number; readonly of: number };
}

/** `apply`: new and nothing is missing before it. `duplicate`: known. `gap`: something before it was missed. */
export type Verdict = "apply" | "duplicate" | "gap";

export function judge(position: ChainPosition, step: ChainStep): { verdict: Verdict; position: ChainPosition } {
  if (step.revision <= position.whole) return { verdict: "duplicate", position };
  if (step.previous > position.whole || step.previous <= 0) return { verdict: "gap", position };
  if (step.type === "bookmark" || step.part.of <= 1) return { verdict: "apply", position: { whole: step.revision } };
  const parts = position.partial?.revision === step.revision ? position.partial.parts : [];
  if (parts.includes(step.part.number)) return { verdict: "duplicate", position };
  if (parts.length + 1 === step.part.of) return { verdict: "apply", position: { whole: step.revision } };
  const partial = { revision: step.revision, parts: [...parts, step.part.number] };
  return { verdict: "apply", position: { whole: position.whole, partial } };
}
