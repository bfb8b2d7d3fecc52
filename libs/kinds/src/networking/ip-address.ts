import type { IPAddress, ParentReference } from "@pilothouse/api/types/networking-v1";
import { checkDns1123Subdomain, checkPathSegment } from "@pilothouse/selectors/names";
import { AGE, shown } from "../columns.ts";
import { firstErrors, immutable, invalidEach, required } from "../field-errors.ts";
import type { FieldErrors } from "../field-errors.ts";
import { checkIp } from "../ip.ts";
import { ALL_VERBS, type KindDefinition } from "../kind.ts";

/** An address that is taken, by its name, and by whom. */
export const ipAddress: KindDefinition<IPAddress> = {
  group: "networking.k8s.io",
  version: "v1",
  kind: "IPAddress",
  resource: "ipaddresses",
  singular: "ipaddress",
  shortNames: ["ip"],
  categories: [],
  namespaced: false,
  verbs: ALL_VERBS,
  subresources: [],
  depth: "full",
  validateName: (name) => checkIp(name),
  validate: ({ spec }) => firstErrors(rules(spec?.parentRef)),
  validateUpdate: ({ spec }, old) => firstErrors(immutable("spec.parentRef", spec?.parentRef, old.spec?.parentRef)),
  columns: [shown("ParentRef", ({ spec }) => parentText(spec?.parentRef), "Who has it."), AGE],
  ageColumn: false,
};

function* rules(parent: ParentReference | undefined): FieldErrors {
  const at = "spec.parentRef";
  if (!parent) {
    yield required(at);
    return;
  }
  const { group, resource, name, namespace } = parent;
  if (group) yield* invalidEach(`${at}.group`, group, checkDns1123Subdomain(group));
  for (const [field, value] of Object.entries({ resource, name })) {
    if (!value) yield required(`${at}.${field}`);
    else yield* invalidEach(`${at}.${field}`, value, checkPathSegment(value));
  }
  if (namespace) yield* invalidEach(`${at}.namespace`, namespace, checkPathSegment(namespace));
}

function parentText(parent: ParentReference | undefined): string {
  if (!parent) return "<none>";
  const { group, resource = "", namespace, name = "" } = parent;
  const what = group ? `${resource}.${group}` : resource;
  return [what.toLowerCase(), ...(namespace ? [namespace] : []), name].join("/");
}
