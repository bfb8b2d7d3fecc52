/** A look into PEM texts that hold one certificate or several: an authority that is being replaced stands beside its successor. */
import { X509Certificate } from "node:crypto";

/** Milliseconds since the epoch at which the certificate ends. */
export function expiryMs(certificatePem: string): number {
  return new X509Certificate(certificatePem).validToDate.getTime();
}

/** Each certificate of a bundle as a PEM text of its own, in order; empty when there is none. */
export function certificatesIn(bundlePem: string): readonly string[] {
  return bundlePem.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? [];
}

/**
 * What is published of authorities, by upstream's rule: all that was published before, so that no two API servers with
 * different files undo each other's word, and all that is trusted now; without doubles and without what has ended.
 */
export function combinedBundle(publishedPem: string, trustedPem: string, nowMs: number): string {
  const seen = new Set<string>();
  const combined = [publishedPem, trustedPem].flatMap(readable).filter(({ fingerprint256, validToDate }) => {
    if (seen.has(fingerprint256) || validToDate.getTime() <= nowMs) return false;
    seen.add(fingerprint256);
    return true;
  });
  return combined.map((certificate) => certificate.toString()).join("");
}

/** Whatever somebody wrote there by hand is no reason to publish nothing. */
function readable(bundlePem: string): readonly X509Certificate[] {
  return certificatesIn(bundlePem).flatMap((pem) => {
    try {
      return [new X509Certificate(pem)];
    } catch {
      return [];
    }
  });
}
