import type { Namespace } from "@pilothouse/api/types/core-v1";
import { checkQualifiedName } from "@pilothouse/selectors/names";
import { AGE, shown } from "../columns.ts";
import { firstErrors, invalid, invalidEach } from "../field-errors.ts";
import type { FieldErrors } from "../field-errors.ts";
import { ALL_VERBS, type KindDefinition } from "../kind.ts";
import { keepField } from "../isolation.ts";
import { labelName } from "../names.ts";
import { STATUS } from "../subresources.ts";

/** Every namespace carries its own name as a label, so that selectors can name it. */
const NAME_LABEL = "kubernetes.io/metadata.name";

export const namespace: KindDefinition<Namespace> = {
  group: "",
  version: "v1",
  kind: "Namespace",
  resource: "namespaces",
  singular: "namespace",
  shortNames: ["ns"],
  categories: [],
  namespaced: false,
  verbs: ALL_VERBS.filter((verb) => verb !== "deletecollection"),
  subresources: [STATUS, { name: "finalize", verbs: ["update"] }],
  depth: "full",
  validateName: labelName,
  defaults: ({ metadata }) => {
    if (metadata.name) metadata.labels = { ...metadata.labels, [NAME_LABEL]: metadata.name };
  },
  prepareForCreate: (namespace) => {
    namespace.status = { phase: "Active" };
    const finalizers = namespace.spec?.finalizers ?? [];
    if (!finalizers.includes("kubernetes")) namespace.spec = { finalizers: [...finalizers, "kubernetes"] };
  },
  // Its finalizers change through /finalize, its status through /status.
  prepareForUpdate: (namespace, old) => {
    keepField(namespace, old, "spec");
    keepField(namespace, old, "status");
  },
  prepareForStatusUpdate: (namespace, old) => {
    keepField(namespace, old, "spec");
  },
  validate: (namespace) => firstErrors(rules(namespace)),
  validateStatusUpdate: (namespace) => firstErrors(statusRules(namespace)),
  // By `name` too, as clients of old ask.
  selectableFields: ({ metadata, status }) => ({ "status.phase": status?.phase ?? "", name: metadata.name ?? "" }),
  columns: [shown("Status", ({ status }) => status?.phase ?? "", "The status of the namespace"), AGE],
  ageColumn: false,
};

function* rules({ spec }: Namespace): FieldErrors {
  for (const [index, name] of (spec?.finalizers ?? []).entries()) {
    const path = `spec.finalizers[${index}]`;
    yield* invalidEach(path, name, checkQualifiedName(name));
    if (!name.includes("/") && name !== "kubernetes") {
      yield invalid(path, name, "name is neither a standard finalizer name nor is it fully qualified");
    }
  }
}

/** A namespace terminates by deletion, and only then. */
function* statusRules({ metadata, status }: Namespace): FieldErrors {
  const phase = status?.phase ?? "";
  if (metadata.deletionTimestamp === undefined && phase !== "Active") {
    yield invalid("status.Phase", phase, "may only be 'Active' if `deletionTimestamp` is empty");
  }
  if (metadata.deletionTimestamp !== undefined && phase !== "Terminating") {
    yield invalid("status.Phase", phase, "may only be 'Terminating' if `deletionTimestamp` is not empty");
  }
}
