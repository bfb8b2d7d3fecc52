/** Amounts by resource name, exact: what lists of resources in objects say, and what becomes of them by adding up. Pure. */
import { Quantity } from "@pilothouse/quantity";
import { quantityOf } from "./resource-rules.ts";

export type Amounts = ReadonlyMap<string, Quantity>;

/** As objects hold them: `{ cpu: "500m" }`. */
export type AmountTexts = Readonly<Record<string, string>>;

/** Without texts that are none: the rules say so elsewhere. */
export function amountsOf(texts: AmountTexts | undefined): Map<string, Quantity> {
  const amounts = new Map<string, Quantity>();
  for (const [name, text] of Object.entries(texts ?? {})) {
    const amount = quantityOf(text);
    if (amount) amounts.set(name, amount);
  }
  return amounts;
}

/** By name, so that the same amounts are the same text. */
export function textsOf(amounts: Amounts): Record<string, string> {
  return Object.fromEntries(sorted(amounts).map(([name, amount]) => [name, amount.toString()]));
}

/** `cpu=500m,pods=1`, as messages have it. */
export function listed(amounts: Amounts): string {
  return sorted(amounts)
    .map(([name, amount]) => `${name}=${amount.toString()}`)
    .join(",");
}

export function addAll(into: Map<string, Quantity>, amounts: Amounts): void {
  for (const [name, amount] of amounts) into.set(name, (into.get(name) ?? Quantity.zero).add(amount));
}

/** Each becomes the larger of both. */
export function raiseTo(into: Map<string, Quantity>, amounts: Amounts): void {
  for (const [name, amount] of amounts) {
    const before = into.get(name);
    if (!before || before.compare(amount) < 0) into.set(name, amount);
  }
}

/** Those that are named. */
export function masked(amounts: Amounts, names: Iterable<string>): Map<string, Quantity> {
  const wanted = new Set(names);
  return new Map([...amounts].filter(([name]) => wanted.has(name)));
}

/** Equal by amount: `1` is `1000m`. */
export function sameAmounts(a: Amounts, b: Amounts): boolean {
  return a.size === b.size && [...a].every(([name, amount]) => b.get(name)?.compare(amount) === 0);
}

function sorted(amounts: Amounts): [string, Quantity][] {
  return [...amounts].sort(([a], [b]) => (a < b ? -1 : 1));
}
