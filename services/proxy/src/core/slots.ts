import type { Endpoint } from "./model.ts";

/**
 * Gives each endpoint a slot of 0..n-1 and moves as few as possible: who stays keeps its slot, newcomers fill holes, and only
 * what lies beyond the new end moves into the holes that are left.
 */
export function assignSlots(before: readonly Endpoint[], now: readonly Endpoint[]): readonly Endpoint[] {
  const nameOf = ({ address, port }: Endpoint): string => `${address}:${port}`;
  const wanted = new Map(now.map((endpoint) => [nameOf(endpoint), endpoint]));
  const slots: (Endpoint | undefined)[] = [];
  const homeless: Endpoint[] = [];
  for (const [slot, endpoint] of before.entries()) {
    const stays = wanted.get(nameOf(endpoint));
    if (!stays) continue;
    wanted.delete(nameOf(endpoint));
    if (slot < now.length) slots[slot] = stays;
    else homeless.push(stays);
  }
  const waiting = [...homeless, ...wanted.values()].values();
  return Array.from({ length: now.length }, (_, slot) => slots[slot] ?? (waiting.next().value as Endpoint));
}
