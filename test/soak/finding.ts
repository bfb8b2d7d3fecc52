/** What a checker found: a promise that was broken, and how it showed. */
export interface Finding {
  readonly checker: string;
  readonly message: string;
}

/** As a heading says it. */
export function verdictOf({ length }: readonly Finding[]): string {
  if (length === 0) return "every promise was kept";
  return length === 1 ? "1 finding" : `${length} findings`;
}
