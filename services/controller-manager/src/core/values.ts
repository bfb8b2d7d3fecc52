/** Small questions about API values. Pure. */
import { sameValue } from "@pilothouse/kinds/field-errors";

/** JSON with sorted keys. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_key, part: unknown) =>
    typeof part === "object" && part !== null && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)))
      : part,
  );
}

/** `25%` of `total`, or the number itself; 0 when absent. */
export function scaledValue(value: number | string | undefined, total: number, round: "up" | "down"): number {
  if (typeof value !== "string") return value ?? 0;
  const exact = (Number.parseInt(value, 10) * total) / 100;
  return round === "up" ? Math.ceil(exact) : Math.floor(exact);
}

/** `2026-01-01T00:00:00Z` */
export function timestampOf(nowMs: number): string {
  return new Date(nowMs).toISOString().replace(/\.\d+Z$/, "Z");
}

/** The same, as the API stores counts: a 0 may be left out. */
export function sameCounts(a: object | undefined, b: object | undefined): boolean {
  return sameValue(withoutZeros(a), withoutZeros(b));
}

function withoutZeros(fields: object = {}): object {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== 0));
}
