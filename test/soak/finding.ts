/** What a checker found: a promise that was broken, and how it showed. */
export interface Finding {
  readonly checker: string;
  readonly message: string;
}
