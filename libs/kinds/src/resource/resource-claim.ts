import type { ResourceClaim } from "@pilothouse/api/types/resource-v1";
import { AGE, shown } from "../columns.ts";
import { firstErrors, immutable } from "../field-errors.ts";
import { keepField } from "../isolation.ts";
import { ALL_VERBS, type KindDefinition } from "../kind.ts";
import { STATUS } from "../subresources.ts";
import { claimRules, claimStatusRules, defaultRequests } from "./claim-rules.ts";

/** Devices that pods ask for, and those that they were given. */
export const resourceClaim: KindDefinition<ResourceClaim> = {
  group: "resource.k8s.io",
  version: "v1",
  kind: "ResourceClaim",
  resource: "resourceclaims",
  singular: "resourceclaim",
  shortNames: [],
  categories: [],
  namespaced: true,
  verbs: ALL_VERBS,
  subresources: [STATUS],
  depth: "full",
  defaults: ({ spec, status }) => {
    defaultRequests(spec?.devices);
    for (const { tolerations } of status?.allocation?.devices?.results ?? [])
      for (const toleration of tolerations ?? []) toleration.operator ||= "Equal";
  },
  prepareForCreate: (claim) => {
    claim.status = {};
  },
  prepareForUpdate: (claim, old) => keepField(claim, old, "status"),
  prepareForStatusUpdate: (claim, old) => keepField(claim, old, "spec"),
  validate: ({ spec }) => firstErrors(claimRules(spec?.devices, "spec.devices")),
  validateUpdate: ({ spec }, old) => firstErrors(immutable("spec", spec, old.spec)),
  validateStatusUpdate: (claim, old) => firstErrors(claimStatusRules(claim, old)),
  columns: [shown("State", stateText, "How far it is."), AGE],
  ageColumn: false,
};

function stateText({ metadata, status }: ResourceClaim): string {
  const isDeleted = metadata.deletionTimestamp !== undefined;
  const states = isDeleted ? ["deleted"] : [];
  if (!status?.allocation) return [...states, ...(isDeleted ? [] : ["pending"])].join(",");
  return [...states, "allocated", ...((status.reservedFor ?? []).length > 0 ? ["reserved"] : [])].join(",");
}
