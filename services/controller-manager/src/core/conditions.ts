/** Lists of conditions, as objects' statuses hold them. Pure. */
interface Condition {
  readonly type: string;
  readonly status: string;
  readonly reason?: string;
  readonly message?: string;
}

/** The list with this condition in it, in its place if there was one of its type. */
export function withCondition<T extends Condition>(conditions: readonly T[] | undefined, condition: T): T[] {
  const known = conditions ?? [];
  if (!known.some(({ type }) => type === condition.type)) return [...known, condition];
  return known.map((one) => (one.type === condition.type ? condition : one));
}
