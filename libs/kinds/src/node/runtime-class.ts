import type { RuntimeClass } from "@pilothouse/api/types/node-v1";
import { validateLabels } from "@pilothouse/selectors";
import { checkDns1123Label } from "@pilothouse/selectors/names";
import { AGE, shown } from "../columns.ts";
import { resourceRules } from "../core/resource-rules.ts";
import { tolerationsRules } from "../core/scheduling-rules.ts";
import { firstErrors, immutable, invalidEach } from "../field-errors.ts";
import type { FieldErrors } from "../field-errors.ts";
import { ALL_VERBS, type KindDefinition } from "../kind.ts";

export const runtimeClass: KindDefinition<RuntimeClass> = {
  group: "node.k8s.io",
  version: "v1",
  kind: "RuntimeClass",
  resource: "runtimeclasses",
  singular: "runtimeclass",
  shortNames: [],
  categories: [],
  namespaced: false,
  verbs: ALL_VERBS,
  subresources: [],
  depth: "full",
  validate: (runtimeClass) => firstErrors(rules(runtimeClass)),
  validateUpdate: ({ handler }, old) => firstErrors(immutable("handler", handler, old.handler)),
  columns: [shown("Handler", ({ handler }) => handler ?? "", "What the nodes' runtime calls it."), AGE],
  ageColumn: false,
};

function* rules({ handler, overhead, scheduling }: RuntimeClass): FieldErrors {
  yield* invalidEach("handler", handler ?? "", checkDns1123Label(handler ?? ""));
  if (overhead?.podFixed) yield* resourceRules({ limits: overhead.podFixed }, [], "overhead");
  yield* validateLabels(scheduling?.nodeSelector, "scheduling.nodeSelector");
  yield* tolerationsRules(scheduling?.tolerations ?? [], "scheduling.tolerations");
}
