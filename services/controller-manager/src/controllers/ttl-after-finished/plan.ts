/** When a Job that has ended is to go: so many seconds after its end. Pure. */
import type { Job } from "@pilothouse/api/types/batch-v1";

/** Epoch milliseconds; undefined while it has not ended, where it may stay, and when it goes already. */
export function expiresAtMs({ metadata, spec, status }: Job): number | undefined {
  const { ttlSecondsAfterFinished } = spec;
  if (ttlSecondsAfterFinished === undefined || metadata.deletionTimestamp !== undefined) return undefined;
  const end = status?.conditions?.find(
    ({ type, status }) => ["Complete", "Failed"].includes(type) && status === "True",
  );
  const endedAtMs = Date.parse(end?.lastTransitionTime ?? "");
  return Number.isNaN(endedAtMs) ? undefined : endedAtMs + ttlSecondsAfterFinished * 1_000;
}
