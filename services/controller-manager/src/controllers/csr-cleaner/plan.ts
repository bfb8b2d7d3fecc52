/** Until when a certificate request is kept; upstream's periods. Pure. */
import type { CertificateSigningRequest } from "@pilothouse/api/types/certificates-v1";

const HOUR_MS = 3_600_000;
const DECIDED_MS = HOUR_MS;
const UNDECIDED_MS = 24 * HOUR_MS;

/**
 * When nobody needs it any more, in milliseconds since the epoch.
 * @param certificateEndMs when the certificate that was issued ends; undefined if none was
 */
export function goesAtMs(
  { metadata, status }: CertificateSigningRequest,
  certificateEndMs: number | undefined,
): number {
  const after = (timestamp: string | undefined, ms: number): number =>
    timestamp === undefined ? Infinity : Date.parse(timestamp) + ms;
  // Approved, and nobody signs: kept as long as one that nobody decided.
  const undecided = after(metadata.creationTimestamp, UNDECIDED_MS);
  const verdicts = (status?.conditions ?? []).map(({ type, lastUpdateTime }) => {
    if (type === "Denied" || type === "Failed") return after(lastUpdateTime, DECIDED_MS);
    if (type !== "Approved" || certificateEndMs === undefined) return undecided;
    return Math.min(after(lastUpdateTime, DECIDED_MS), certificateEndMs);
  });
  return verdicts.length === 0 ? undecided : Math.min(...verdicts);
}
