/**
 * CertificateSigningRequest: what somebody asks to have signed, who asked, and what became of it. That the request (PKCS #10) is
 * signed by its own key is judged by the apiserver; everything else is here. Never changed once made, but for its conditions
 * (through /approval and /status) and its certificate (through /status, once).
 */
import type {
  CertificateSigningRequest,
  CertificateSigningRequestCondition,
} from "@pilothouse/api/types/certificates-v1";
import { checkDns1123Label, checkDns1123Subdomain } from "@pilothouse/selectors/names";
import { AGE, orNone, shown } from "../columns.ts";
import { humanDuration } from "../duration.ts";
import { duplicate, forbidden, invalid, notSupported, required, sameValue, tooLong } from "../field-errors.ts";
import type { FieldErrors } from "../field-errors.ts";
import { keepField } from "../isolation.ts";
import { ALL_VERBS, type KindDefinition, type SubresourceDefinition } from "../kind.ts";
import { STATUS } from "../subresources.ts";

const APPROVAL: SubresourceDefinition = { name: "approval", verbs: ["get", "patch", "update"] };

const APPROVED = "Approved";
const DENIED = "Denied";
/** Conditions that are never taken back, and never anything but True. */
const LASTING = [APPROVED, DENIED, "Failed"];
const STATUSES = ["False", "True", "Unknown"];
const LEGACY_SIGNER = "kubernetes.io/legacy-unknown";
const MIN_SECONDS = 600;
const USAGES = [
  "any",
  "cert sign",
  "client auth",
  "code signing",
  "content commitment",
  "crl sign",
  "data encipherment",
  "decipher only",
  "digital signature",
  "email protection",
  "encipher only",
  "ipsec end system",
  "ipsec tunnel",
  "ipsec user",
  "key agreement",
  "key encipherment",
  "microsoft sgc",
  "netscape sgc",
  "ocsp signing",
  "s/mime",
  "server auth",
  "signing",
  "timestamping",
];

export const certificateSigningRequest: KindDefinition<CertificateSigningRequest> = {
  group: "certificates.k8s.io",
  version: "v1",
  kind: "CertificateSigningRequest",
  resource: "certificatesigningrequests",
  singular: "certificatesigningrequest",
  shortNames: ["csr"],
  categories: [],
  namespaced: false,
  verbs: ALL_VERBS,
  subresources: [STATUS, APPROVAL],
  depth: "full",
  validateName: () => [],
  // Nobody makes a request that is approved already.
  prepareForCreate: (request) => {
    request.status = {};
  },
  prepareForUpdate: (request, old) => {
    keepField(request, old, "spec");
    keepField(request, old, "status");
  },
  prepareForStatusUpdate: (request, old, now) => {
    keepField(request, old, "spec");
    for (const type of [APPROVED, DENIED]) keepConditions(request, old, type);
    stampConditions(request, old, now);
  },
  prepareForApprovalUpdate: (request, old, now) => {
    keepField(request, old, "spec");
    stampConditions(request, old, now);
    const conditions = request.status?.conditions;
    request.status = { ...old.status };
    if (conditions) request.status.conditions = conditions;
    else delete request.status.conditions;
  },
  validate: (request) => [...rules(request)],
  validateUpdate: (request, old) => [...updateRules(request, old, "")],
  validateStatusUpdate: (request, old) => [...statusRules(request), ...updateRules(request, old, "status")],
  validateApprovalUpdate: (request, old) => [...updateRules(request, old, "approval")],
  selectableFields: (request) => ({ "spec.signerName": specOf(request).signerName ?? "" }),
  columns: [
    AGE,
    shown("SignerName", (request) => orNone(specOf(request).signerName), "Who is asked to sign."),
    shown("Requestor", (request) => specOf(request).username ?? "", "Who asked."),
    shown("RequestedDuration", durationText, "How long the certificate is asked to live."),
    shown("Condition", conditionText, "What became of it."),
  ],
  ageColumn: false,
};

function* rules(request: CertificateSigningRequest): FieldErrors {
  const { usages = [], signerName, expirationSeconds } = specOf(request);
  if (usages.length === 0) yield required("spec.usages");
  for (const [index, usage] of usages.entries()) {
    if (!USAGES.includes(usage)) yield notSupported(`spec.usages[${index}]`, usage, USAGES);
    if (usages.indexOf(usage) < index) yield duplicate(`spec.usages[${index}]`, usage);
  }
  if (signerName === LEGACY_SIGNER) {
    yield invalid("spec.signerName", signerName, "the legacy signerName is not allowed via this API version");
  } else yield* signerNameRules(signerName);
  if (expirationSeconds !== undefined && expirationSeconds < MIN_SECONDS) {
    const detail = "may not specify a duration less than 600 seconds (10 minutes)";
    yield invalid("spec.expirationSeconds", expirationSeconds, detail);
  }
  yield* statusRules(request);
}

function* signerNameRules(name: string | undefined): FieldErrors {
  const field = "spec.signerName";
  if (!name) return yield required(field);
  const [domain = "", path, ...more] = name.split("/");
  if (path === undefined || more.length > 0) {
    const detail = "must be a fully qualified domain and path of the form 'example.com/signer-name'";
    return yield invalid(field, name, detail);
  }
  if (domain.length > 253) yield tooLong(field, 253);
  const labels = domain.split(".");
  yield* firstBad(field, domain, labels, checkDns1123Label);
  if (labels.length < 2) {
    yield invalid(field, domain, "should be a domain with at least two segments separated by dots");
  }
  yield* firstBad(field, path, path.split("."), checkDns1123Subdomain);
  if (name.length > 571) yield tooLong(field, 571);
}

/** One bad label is told, not all: the texts would be the same. */
function* firstBad(
  field: string,
  value: string,
  labels: readonly string[],
  check: (label: string) => readonly string[],
): FieldErrors {
  for (const label of labels) {
    const texts = check(label);
    for (const text of texts) yield invalid(field, value, `validating label ${JSON.stringify(label)}: ${text}`);
    if (texts.length > 0) return;
  }
}

function* statusRules({ status }: CertificateSigningRequest): FieldErrors {
  const types: string[] = [];
  for (const [index, { type, status: is }] of (status?.conditions ?? []).entries()) {
    const at = `status.conditions[${index}]`;
    if (type === "") yield required(`${at}.type`);
    const allowed = LASTING.includes(type) ? ["True"] : STATUSES;
    if (!is) yield required(`${at}.status`);
    else if (!allowed.includes(is)) yield notSupported(`${at}.status`, is, allowed);
    const opposite = type === APPROVED ? DENIED : type === DENIED ? APPROVED : undefined;
    if (opposite !== undefined && types.includes(opposite)) {
      yield invalid(`${at}.type`, type, "Approved and Denied conditions are mutually exclusive");
    }
    if (types.includes(type)) yield duplicate(`${at}.type`, type);
    types.push(type);
  }
}

/** What may change, by the subresource that the change came through. */
function* updateRules(
  { status }: CertificateSigningRequest,
  { status: old }: CertificateSigningRequest,
  through: "" | "status" | "approval",
): FieldErrors {
  for (const type of LASTING) {
    const [now, before] = [ofType(status?.conditions, type), ofType(old?.conditions, type)];
    const refuse = (verb: string) =>
      forbidden("status.conditions", `updates may not ${verb} a condition of type ${JSON.stringify(type)}`);
    if (now.length < before.length) yield refuse("remove");
    else if (through === "approval" || type === "Failed") continue;
    else if (now.length > before.length) yield refuse("add");
    else if (!sameValue(now, before)) yield refuse("modify");
  }
  const [certificate = "", certificateBefore = ""] = [status?.certificate, old?.certificate];
  if (certificate === certificateBefore) return;
  const refuse = (what: string) => forbidden("status.certificate", `updates may not ${what} certificate content`);
  if (through !== "status") yield refuse("set");
  else if (certificateBefore !== "") yield refuse("modify existing");
}

/** Conditions of this type as they were, unless some came or went, which the rules then refuse. */
function keepConditions(request: CertificateSigningRequest, old: CertificateSigningRequest, type: string): void {
  const before = ofType(old.status?.conditions, type);
  const { conditions } = request.status ?? {};
  if (!conditions || ofType(conditions, type).length !== before.length) return;
  let next = 0;
  for (const [index, condition] of conditions.entries())
    if (condition.type === type) conditions[index] = before[next++] as CertificateSigningRequestCondition;
}

function stampConditions({ status }: CertificateSigningRequest, old: CertificateSigningRequest, now: string): void {
  for (const condition of status?.conditions ?? []) {
    condition.lastUpdateTime ??= now;
    const same = old.status?.conditions?.find(
      ({ type, status: is, lastTransitionTime }) =>
        type === condition.type && is === condition.status && lastTransitionTime,
    );
    condition.lastTransitionTime ??= same?.lastTransitionTime ?? now;
  }
}

function ofType(
  conditions: readonly CertificateSigningRequestCondition[] | undefined,
  wanted: string,
): CertificateSigningRequestCondition[] {
  return (conditions ?? []).filter(({ type }) => type === wanted);
}

function durationText(request: CertificateSigningRequest): string {
  const { expirationSeconds } = specOf(request);
  return expirationSeconds === undefined ? "<none>" : humanDuration(expirationSeconds * 1_000);
}

/** What has no spec is refused, but must be printable. */
function specOf({ spec }: Partial<CertificateSigningRequest>): Partial<CertificateSigningRequest["spec"]> {
  return spec ?? {};
}

function conditionText({ status }: CertificateSigningRequest): string {
  const has = (type: string): boolean => ofType(status?.conditions, type).length > 0;
  const verdict = has(DENIED) ? DENIED : has(APPROVED) ? APPROVED : "Pending";
  return `${verdict}${has("Failed") ? ",Failed" : ""}${status?.certificate ? ",Issued" : ""}`;
}
