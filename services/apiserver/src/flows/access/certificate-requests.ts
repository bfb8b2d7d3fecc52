/** Admission of certificate requests: who asked, whether the request is one, who may approve it and who may sign. */
import type { CertificateSigningRequest } from "@pilothouse/api/types/certificates-v1";
import { forbidden, type FieldError } from "@pilothouse/errors";
import { sameValue } from "@pilothouse/kinds/field-errors";
import type { ApiObject, KindDefinition } from "@pilothouse/kinds/kind";
import { expiryMs } from "@pilothouse/pki";
import { requestFacts } from "@pilothouse/pki/facts";
import { MASTERS } from "../../core/access/authorize.ts";
import type { RequestContext } from "../../core/model.ts";

const CLIENT_SIGNER = "kubernetes.io/kube-apiserver-client";

/** The requestor is whoever makes the request, whatever the body says; nobody asks for `system:masters`. In place. */
export function admitRequest({ user }: RequestContext, kind: KindDefinition, object: ApiObject): void {
  if (!isRequest(kind)) return;
  const { spec } = object as unknown as Partial<CertificateSigningRequest>;
  if (!spec) return;
  const { name, uid, groups, extra } = user;
  for (const field of ["username", "uid", "groups", "extra"] as const) delete spec[field];
  spec.username = name;
  if (uid !== undefined) spec.uid = uid;
  spec.groups = [...groups];
  if (extra && Object.keys(extra).length > 0) spec.extra = { ...extra };

  if (spec.signerName !== CLIENT_SIGNER) return;
  if (factsOf(spec)?.organizations.includes(MASTERS)) {
    const why = `use of ${CLIENT_SIGNER} signer with ${MASTERS} group is not allowed`;
    throw forbidden(kind, object.metadata.name ?? "", why);
  }
}

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

function factsOf({ request }: CertificateSigningRequest["spec"]): ReturnType<typeof requestFacts> | undefined {
  try {
    return requestFacts(textOf(request));
  } catch {
    return undefined; // refused as invalid, later
  }
}

function textOf(base64: string | undefined): string {
  return Buffer.from(base64 ?? "", "base64").toString();
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
