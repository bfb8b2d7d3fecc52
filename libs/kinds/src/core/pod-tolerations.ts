/** Putting lists of tolerations together. Pure. */
import type { Toleration } from "@pilothouse/api/types/core-v1";
import { sameValue } from "../field-errors.ts";

/** Both lists without what another one of them tolerates anyway; of equals the first stays. */
export function mergedTolerations(first: readonly Toleration[], second: readonly Toleration[]): Toleration[] {
  const all = [...first, ...second];
  const merged: Toleration[] = [];
  for (const [index, one] of all.entries()) {
    const isCovered = merged.some((other) => toleratesAll(other, one));
    const isOutdone = all.slice(index + 1).some((later) => toleratesAll(later, one) && !sameValue(later, one));
    if (!isCovered && !isOutdone) merged.push(one);
  }
  return merged;
}

/** Whether `wide` tolerates whatever `narrow` does. */
function toleratesAll(wide: Toleration, narrow: Toleration): boolean {
  if (sameValue(wide, narrow)) return true;
  if ((narrow.key ?? "") !== (wide.key ?? "") && (wide.key || wide.operator !== "Exists")) return false;
  if (wide.effect && wide.effect !== narrow.effect) return false;
  if (wide.effect === "NoExecute" && wide.tolerationSeconds !== undefined) {
    if (narrow.tolerationSeconds === undefined || narrow.tolerationSeconds > wide.tolerationSeconds) return false;
  }
  if (wide.operator === "Exists") return true;
  return narrow.operator === "Equal" && (narrow.value ?? "") === (wide.value ?? "");
}
