import type { Lease } from "@pilothouse/api/types/coordination-v1";
import { AGE, shown } from "../columns.ts";
import { firstErrors, forbidden, invalid, notNegative, notSupported } from "../field-errors.ts";
import type { FieldErrors } from "../field-errors.ts";
import { ALL_VERBS, type KindDefinition } from "../kind.ts";

const MUST_BE_POSITIVE = "must be greater than 0";

export const lease: KindDefinition<Lease> = {
  group: "coordination.k8s.io",
  version: "v1",
  kind: "Lease",
  resource: "leases",
  singular: "lease",
  shortNames: [],
  categories: [],
  namespaced: true,
  verbs: ALL_VERBS,
  subresources: [],
  depth: "full",
  validate: (lease) => firstErrors(rules(lease)),
  columns: [shown("Holder", ({ spec }) => spec?.holderIdentity ?? "", "Who holds the lease."), AGE],
  ageColumn: false,
};

function* rules({ spec }: Lease): FieldErrors {
  const { leaseDurationSeconds, leaseTransitions, strategy, preferredHolder } = spec ?? {};
  if (leaseDurationSeconds !== undefined && leaseDurationSeconds <= 0) {
    yield invalid("spec.leaseDurationSeconds", leaseDurationSeconds, MUST_BE_POSITIVE);
  }
  yield* notNegative("spec.leaseTransitions", leaseTransitions);
  if (strategy !== undefined && strategy !== "OldestEmulationVersion" && !strategy.includes("/")) {
    yield notSupported("spec.strategy", strategy, ["OldestEmulationVersion"]);
  }
  if (preferredHolder && !strategy) {
    yield forbidden("spec.preferredHolder", "may only be specified if `strategy` is defined");
  }
}
