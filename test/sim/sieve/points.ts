/**
 * Where a scenario can be disturbed: every single point of it, taken from the recording of an undisturbed run. Pure. The same
 * world runs the same way up to its point, so that what the recording counts the disturbed run meets again.
 *
 * After "Automatic Reliability Testing For Cluster Management Controllers" (Sieve, OSDI '22): intermediate states, stale states,
 * unobserved states.
 */
export interface Recording {
  /** How many writes the process under test made. */
  readonly writes: number;
  /** How many things it did outside of the API. */
  readonly acts: number;
  /** Revisions of the store that changed objects, while the scenario went on. */
  readonly revisions: readonly number[];
  /** What the process heard on the bus meanwhile: `<subject>@<revision>`. */
  readonly messages: readonly string[];
  /** The state that the cluster came to, in the words of state.ts, and what remains outside of the API. */
  readonly end: readonly string[];
}

export type Point =
  /** The process dies right after its n-th write, before it hears the answer, and is started again. */
  | { readonly kind: "crash"; readonly write: number }
  /** The same after its n-th deed outside of the API. */
  | { readonly kind: "cut"; readonly act: number }
  /** From this revision on the process hears of nothing until the scenario is over; its lists are of the revision before. */
  | { readonly kind: "frozen"; readonly revision: number }
  /** The same; and at the scenario's end it dies, and its next life begins with what was so before this revision. */
  | { readonly kind: "reborn"; readonly revision: number }
  /** It hears all; at the scenario's end it dies, and its next life begins with what was so before this revision. */
  | { readonly kind: "rewound"; readonly revision: number }
  /** It hears nothing from this revision to the same object's next one, and then learns by a new list what is so. */
  | { readonly kind: "unseen"; readonly revision: number }
  /** One message is lost on the bus. */
  | { readonly kind: "lost"; readonly message: string };

export function pointsOf({ writes, acts, revisions, messages }: Recording): Point[] {
  return [
    ...Array.from({ length: writes }, (_, index) => ({ kind: "crash", write: index + 1 }) as const),
    ...Array.from({ length: acts }, (_, index) => ({ kind: "cut", act: index + 1 }) as const),
    ...(["frozen", "reborn", "unseen"] as const).flatMap((kind) => revisions.map((revision) => ({ kind, revision }))),
    // No precondition of the store guards what was done outside of it from who has come to know less.
    ...(acts > 0 ? revisions.map((revision) => ({ kind: "rewound", revision }) as const) : []),
    ...messages.map((message) => ({ kind: "lost", message }) as const),
  ];
}

/** `crash:3`, `cut:5`, `frozen:120`, `lost:changes.apiserver-1.core.pods@120`: how a failure is told and asked for again. */
export function nameOf(point: Point): string {
  switch (point.kind) {
    case "crash":
      return `crash:${point.write}`;
    case "cut":
      return `cut:${point.act}`;
    case "lost":
      return `lost:${point.message}`;
    default:
      return `${point.kind}:${point.revision}`;
  }
}
