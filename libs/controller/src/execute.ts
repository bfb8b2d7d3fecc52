/** Carrying out many actions: never too many at once, and not many at all while they fail. */

/** Runs `act` on each item, at most `limit` at a time. All are tried; then the first failure, if any, is thrown. */
export async function inParallel<T>(
  items: readonly T[],
  limit: number,
  act: (item: T) => Promise<void>,
): Promise<void> {
  const failures: unknown[] = [];
  let next = 0;
  const work = async (): Promise<void> => {
    while (next < items.length) {
      const item = items[next++] as T;
      await act(item).catch((error: unknown) => failures.push(error));
    }
  };
  await Promise.all(Array.from({ length: Math.min(limit, items.length) }, work));
  if (failures.length > 0) throw failures[0];
}

/**
 * Runs `act` on the items in batches of 1, 2, 4, …: a quota that is used up or an apiserver in trouble meets one request, not a
 * thousand (upstream: slowStartBatch). Ends with the first batch that has a failure, and throws that; ends as well before a
 * batch that `isWanted` does not want any more: a slow apiserver makes an old decision of what was a fresh one.
 */
export async function slowStart<T>(
  items: readonly T[],
  act: (item: T) => Promise<void>,
  isWanted: () => boolean = () => true,
): Promise<void> {
  let size = 1;
  for (let from = 0; from < items.length && isWanted();) {
    const batch = items.slice(from, from + size);
    await inParallel(batch, MAX_BATCH, act);
    from += batch.length;
    size = Math.min(2 * size, MAX_BATCH);
  }
}

const MAX_BATCH = 64;
