import type { ControllerRevision } from "@pilothouse/api/types/apps-v1";
import type { OwnerReference } from "@pilothouse/api/types/meta-v1";
import { AGE, shown } from "../columns.ts";
import { firstErrors, immutable, notNegative, required } from "../field-errors.ts";
import type { FieldErrors } from "../field-errors.ts";
import { ALL_VERBS, type KindDefinition } from "../kind.ts";

export const controllerRevision: KindDefinition<ControllerRevision> = {
  group: "apps",
  version: "v1",
  kind: "ControllerRevision",
  resource: "controllerrevisions",
  singular: "controllerrevision",
  shortNames: [],
  categories: [],
  namespaced: true,
  verbs: ALL_VERBS,
  subresources: [],
  depth: "full",
  validate: (revision) => firstErrors(rules(revision)),
  validateUpdate: ({ data }, old) => firstErrors(immutable("data", data, old.data)),
  columns: [
    shown("Controller", controllerText, "Controller of the object."),
    shown("Revision", ({ revision }) => revision ?? 0, "Which state of its controller this is.", "integer"),
    AGE,
  ],
  ageColumn: false,
};

function* rules({ data, revision }: ControllerRevision): FieldErrors {
  if (data === undefined || data === null) yield required("data", "data is mandatory");
  yield* notNegative("revision", revision);
}

/** `statefulset.apps/web` */
function controllerText({ metadata }: ControllerRevision): string {
  // Not judged yet: anything may be missing.
  const owners: readonly Partial<OwnerReference>[] = metadata.ownerReferences ?? [];
  const owner = owners.find(({ controller }) => controller === true);
  if (!owner) return "<none>";
  const { apiVersion = "", kind = "", name = "" } = owner;
  const [group] = apiVersion.includes("/") ? apiVersion.split("/") : [""];
  return `${[kind, group].filter(Boolean).join(".").toLowerCase()}/${name}`;
}
