/** Nobody asks for a client certificate of the group `system:masters`. */
import type { CertificateSigningRequest } from "@pilothouse/api/types/certificates-v1";
import { forbidden } from "@pilothouse/errors";
import { MASTERS } from "../../core/access/authorize.ts";
import { factsOf } from "../access/certificate-requests.ts";
import type { AdmissionPlugin } from "./admission.ts";

const CLIENT_SIGNER = "kubernetes.io/kube-apiserver-client";

export const certificateSubjectRestriction: AdmissionPlugin = {
  name: "CertificateSubjectRestriction",
  operations: ["CREATE"],
  resources: ["certificates.k8s.io/certificatesigningrequests"],
  admit(_deps, { object, kind }) {
    const { spec, metadata } = object as unknown as Partial<CertificateSigningRequest>;
    if (spec?.signerName !== CLIENT_SIGNER || !factsOf(spec)?.organizations.includes(MASTERS)) return;
    const why = `use of ${CLIENT_SIGNER} signer with ${MASTERS} group is not allowed`;
    throw forbidden(kind, metadata?.name ?? "", why);
  },
};
