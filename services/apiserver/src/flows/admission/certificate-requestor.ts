/** The requestor of a certificate is whoever makes the request, whatever the body says. */
import type { CertificateSigningRequest } from "@pilothouse/api/types/certificates-v1";
import type { AdmissionPlugin } from "./admission.ts";

export const certificateRequestor: AdmissionPlugin = {
  name: "CertificateRequestor",
  operations: ["CREATE"],
  resources: ["certificates.k8s.io/certificatesigningrequests"],
  admit(_deps, { object, context }) {
    const { spec } = object as unknown as Partial<CertificateSigningRequest>;
    if (!spec) return;
    const { name, uid, groups, extra } = context.user;
    for (const field of ["username", "uid", "groups", "extra"] as const) delete spec[field];
    spec.username = name;
    if (uid !== undefined) spec.uid = uid;
    spec.groups = [...groups];
    if (extra && Object.keys(extra).length > 0) spec.extra = { ...extra };
  },
};
