/** What is done about an object that every namespace has. */
export type PerNamespaceAction<T> =
  | { readonly do: "nothing" }
  | { readonly do: "create"; readonly object: T }
  /** Carries the resourceVersion that was decided upon. */
  | { readonly do: "update"; readonly object: T };
