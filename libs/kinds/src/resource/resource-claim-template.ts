import type { ResourceClaimTemplate } from "@pilothouse/api/types/resource-v1";
import { firstErrors, immutable } from "../field-errors.ts";
import { ALL_VERBS, type KindDefinition } from "../kind.ts";
import { templateMetaRules } from "../meta.ts";
import { claimRules, defaultRequests } from "./claim-rules.ts";

/** What claims are made of, one for each pod that names it. */
export const resourceClaimTemplate: KindDefinition<ResourceClaimTemplate> = {
  group: "resource.k8s.io",
  version: "v1",
  kind: "ResourceClaimTemplate",
  resource: "resourceclaimtemplates",
  singular: "resourceclaimtemplate",
  shortNames: [],
  categories: [],
  namespaced: true,
  verbs: ALL_VERBS,
  subresources: [],
  depth: "full",
  defaults: ({ spec }) => defaultRequests(spec?.spec?.devices),
  validate: ({ spec }) =>
    firstErrors(
      templateMetaRules(spec?.metadata, "spec.metadata"),
      claimRules(spec?.spec?.devices, "spec.spec.devices"),
    ),
  validateUpdate: ({ spec }, old) => firstErrors(immutable("spec", spec, old.spec)),
};
