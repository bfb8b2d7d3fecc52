/** Certificate requests: whether one is a request, who may approve it and who may sign. */
import type { CertificateSigningRequest } from "@pilothouse/api/types/certificates-v1";
import type { FieldError } from "@pilothouse/errors";
import { sameValue } from "@pilothouse/kinds/field-errors";
import type { ApiObject, KindDefinition } from "@pilothouse/kinds/kind";
import { expiryMs } from "@pilothouse/pki";
import { requestFacts } from "@pilothouse/pki/facts";

/** A request must be one (PKCS #10, PEM), signed by its own key. */
export function requestProblems(kind: KindDefinition, object: ApiObject): readonly FieldError[] {
  if (!isRequest(kind)) return [];
  const { request } = (object as unknown as Partial<CertificateSigningRequest>).spec ?? {};
  try {
    requestFacts(textOf(request));
    return [];
  } catch (error) {
    return [{ type: "FieldValueInvalid", field: "spec.request", value: request ?? null, detail: messageOf(error) }];
  }
}

/** What a signer sets must be certificates (PEM, nothing else). */
export function certificateProblems(kind: KindDefinition, object: ApiObject, old: ApiObject): readonly FieldError[] {
  if (!isRequest(kind)) return [];
  const [certificate, before] = [object, old].map(
    (one) => (one as unknown as CertificateSigningRequest).status?.certificate,
  );
  if (!certificate || certificate === before) return [];
  const refuse = (detail: string): readonly FieldError[] => [
    { type: "FieldValueInvalid", field: "status.certificate", value: "<certificate data>", detail },
  ];
  const pem = textOf(certificate);
  const other = [...pem.matchAll(/-----BEGIN ([^-]*)-----/g)].find(([, type]) => type !== "CERTIFICATE");
  if (other) return refuse(`only CERTIFICATE PEM blocks are allowed, found ${JSON.stringify(other[1])}`);
  try {
    const certificates = pem.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? [];
    certificates.forEach(expiryMs);
    return certificates.length > 0 ? [] : refuse("must contain at least one CERTIFICATE PEM block");
  } catch (error) {
    return refuse(messageOf(error));
  }
}

/** What right on which signer a change needs; undefined if it needs none. */
export function signerRight(
  kind: KindDefinition,
  subresource: string,
  object: ApiObject,
  old: ApiObject,
): { readonly verb: "approve" | "sign"; readonly signerName: string } | undefined {
  if (!isRequest(kind) || (subresource !== "approval" && subresource !== "status")) return undefined;
  const { spec, status } = old as unknown as CertificateSigningRequest;
  if (subresource === "approval") return { verb: "approve", signerName: spec.signerName };
  const isSame = sameValue(status, (object as unknown as CertificateSigningRequest).status);
  return isSame ? undefined : { verb: "sign", signerName: spec.signerName };
}

function isRequest({ group, resource }: KindDefinition): boolean {
  return group === "certificates.k8s.io" && resource === "certificatesigningrequests";
}

/** What the request asks for; undefined where it is none, which is refused as invalid later. */
export function factsOf({ request }: CertificateSigningRequest["spec"]): ReturnType<typeof requestFacts> | undefined {
  try {
    return requestFacts(textOf(request));
  } catch {
    return undefined;
  }
}

function textOf(base64: string | undefined): string {
  return Buffer.from(base64 ?? "", "base64").toString();
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
