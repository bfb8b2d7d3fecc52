/** Rules for what a pod asks for as a whole, beside what its containers do. */
import type { PodSpec } from "@pilothouse/api/types/core-v1";
import { Quantity } from "@pilothouse/quantity";
import { forbidden, invalid, notSupported } from "../field-errors.ts";
import type { FieldErrors } from "../field-errors.ts";
import { amountsOf } from "./amounts.ts";
import { isPodLevel, podAmounts } from "./pod-amounts.ts";
import { resourceNameRules } from "./resource-names.ts";
import { resourceRules } from "./resource-rules.ts";

export function* podResourcesRules(spec: PodSpec, path: string): FieldErrors {
  const { resources } = spec;
  if (!resources) return;
  if (resources.claims) yield forbidden(`${path}.claims`, "claims cannot be set for Resources at pod-level");
  yield* resourceRules({ ...resources, claims: [] }, [], path, nameRules);

  const asked = amountsOf(resources.requests);
  const { resources: _resources, ...containersOnly } = spec;
  for (const [name, amount] of podAmounts(containersOnly, "requests")) {
    const whole = asked.get(name) ?? Quantity.zero;
    if (amount.compare(whole) <= 0) continue;
    const detail = `must be greater than or equal to aggregate container requests of ${amount.toString()}`;
    yield invalid(`${path}.requests[${name}]`, whole.toString(), detail);
  }
  const limits = amountsOf(resources.limits);
  for (const [index, container] of (spec.containers ?? []).entries()) {
    for (const [name, amount] of amountsOf(container.resources?.limits)) {
      const whole = limits.get(name);
      if (!whole || amount.compare(whole) <= 0) continue;
      const detail = `must be less than or equal to pod limits of ${whole.toString()}`;
      yield invalid(`${path}.containers[${index}][${name}].limits`, amount.toString(), detail);
    }
  }
}

function* nameRules(name: string, path: string): FieldErrors {
  const errors = [...resourceNameRules(name, path)];
  yield* errors;
  if (errors.length === 0 && !isPodLevel(name)) yield notSupported(path, name, ["cpu", "hugepages-", "memory"]);
}
