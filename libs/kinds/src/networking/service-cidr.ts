import type { ServiceCIDR, ServiceCIDRSpec } from "@pilothouse/api/types/networking-v1";
import { AGE, shown } from "../columns.ts";
import { firstErrors, immutable, invalid, invalidEach, required } from "../field-errors.ts";
import type { FieldErrors } from "../field-errors.ts";
import { checkCidr, ipFamily } from "../ip.ts";
import { keepField } from "../isolation.ts";
import { ALL_VERBS, type KindDefinition } from "../kind.ts";
import { STATUS } from "../subresources.ts";

/** A range that Services get their addresses from, at most one for each address family. */
export const serviceCidr: KindDefinition<ServiceCIDR> = {
  group: "networking.k8s.io",
  version: "v1",
  kind: "ServiceCIDR",
  resource: "servicecidrs",
  singular: "servicecidr",
  shortNames: [],
  categories: [],
  namespaced: false,
  verbs: ALL_VERBS,
  subresources: [STATUS],
  depth: "full",
  prepareForCreate: (range) => {
    delete range.status;
  },
  prepareForUpdate: (range, old) => keepField(range, old, "status"),
  prepareForStatusUpdate: (range, old) => keepField(range, old, "spec"),
  validate: ({ spec }) => firstErrors(rules(spec)),
  validateUpdate: ({ spec }, old) => firstErrors(immutable("spec.cidrs", spec?.cidrs, old.spec?.cidrs)),
  columns: [shown("CIDRs", ({ spec }) => (spec?.cidrs ?? []).join(","), "Its ranges."), AGE],
  ageColumn: false,
};

function* rules(spec: ServiceCIDRSpec | undefined): FieldErrors {
  const path = "spec.cidrs";
  const cidrs = spec?.cidrs ?? [];
  if (cidrs.length === 0) yield required(path, "at least one CIDR required");
  else if (cidrs.length > 2) yield invalid(path, spec, "may only hold up to 2 values");
  else if (cidrs.length === 2 && !isDual(cidrs)) {
    const detail = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64";
    yield invalid(path, spec, detail);
  } else for (const [index, cidr] of cidrs.entries()) yield* invalidEach(`${path}[${index}]`, cidr, checkCidr(cidr));
}

function isDual(cidrs: readonly string[]): boolean {
  const families = cidrs.map((cidr) => ipFamily(cidr.split("/")[0] ?? ""));
  return families.includes("IPv4") && families.includes("IPv6");
}
