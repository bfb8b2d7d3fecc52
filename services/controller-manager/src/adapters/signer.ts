/** An authority's files as what signs certificate requests. */
import { readFile } from "node:fs/promises";
import type { Clock } from "@pilothouse/clock";
import { signCertificateRequest } from "@pilothouse/pki";
import type { CertificateSigner } from "../controller-ports.ts";

const SECONDS_PER_DAY = 86_400;

/** Nothing unless both files are named. They are read for each certificate, so that a replaced authority signs at once. */
export function signer<Name extends string>(
  name: Name,
  certificateFile: string | undefined,
  keyFile: string | undefined,
  clock: Clock,
): Partial<Record<Name, CertificateSigner>> {
  if (!certificateFile || !keyFile) return {};
  const sign: CertificateSigner = async (csrPem, leaf, lifeSeconds) => {
    const [certificatePem, privateKeyPem] = await Promise.all([
      readFile(certificateFile, "utf8"),
      readFile(keyFile, "utf8"),
    ]);
    const life = { validDays: lifeSeconds / SECONDS_PER_DAY, nowMs: clock.now() };
    return signCertificateRequest({ certificatePem, privateKeyPem }, csrPem, { ...leaf, ...life });
  };
  return { [name]: sign } as Partial<Record<Name, CertificateSigner>>;
}
