/** Keeping the parts of an object apart: an update of the spec keeps the status, and the other way round. In place. */
import { sameValue } from "./field-errors.ts";

/** `field` becomes what it is in `old`: the same value, or absent. */
export function keepField<T extends object>(object: T, old: T, field: keyof T): void {
  if (old[field] === undefined) delete object[field];
  else object[field] = old[field];
}

interface Generational {
  metadata: { generation?: number };
  spec?: unknown;
}

/** The first generation of a kind that counts changes of its spec. */
export function startGeneration({ metadata }: Generational): void {
  metadata.generation = 1;
}

/** One more than before when the spec (or `alsoChanged`) is another. */
export function nextGeneration(object: Generational, old: Generational, alsoChanged = false): void {
  const changed = alsoChanged || !sameValue(object.spec, old.spec);
  object.metadata.generation = (old.metadata.generation ?? 0) + (changed ? 1 : 0);
}
