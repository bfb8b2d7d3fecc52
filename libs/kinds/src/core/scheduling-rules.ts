/** Rules for what a pod says about its place: affinity, tolerations, spreading. */
import type {
  Affinity,
  NodeSelectorTerm,
  PodAffinityTerm,
  Toleration,
  TopologySpreadConstraint,
} from "@pilothouse/api/types/core-v1";
import { checkDns1123Label, checkDns1123Subdomain, checkLabelKey, checkLabelValue } from "@pilothouse/selectors/names";
import { duplicate, forbidden, invalid, invalidEach, notSupported, required } from "../field-errors.ts";
import type { FieldErrors } from "../field-errors.ts";
import { labelSelectorRules } from "../meta.ts";

export const TAINT_EFFECTS: readonly string[] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];

export function* tolerationsRules(tolerations: readonly Toleration[], path: string): FieldErrors {
  for (const [index, { key, operator, value, effect, tolerationSeconds }] of tolerations.entries()) {
    const at = `${path}[${index}]`;
    if (key) yield* invalidEach(`${at}.key`, key, checkLabelKey(key));
    if (!key && operator !== "Exists") {
      yield invalid(
        `${at}.operator`,
        operator ?? "",
        'operator must be Exists when `key` is empty, which means "match all values and all keys"',
      );
    }
    if (tolerationSeconds !== undefined && effect !== "NoExecute") {
      yield invalid(`${at}.effect`, effect ?? "", "effect must be 'NoExecute' when `tolerationSeconds` is set");
    }
    if (operator === "Exists") {
      if (value) yield invalid(`${at}.operator`, value, "value must be empty when `operator` is 'Exists'");
    } else if (!operator || operator === "Equal") {
      const texts = checkLabelValue(value ?? "");
      if (texts.length > 0) yield invalid(`${at}.operator`, value, texts.join(";"));
    } else yield notSupported(`${at}.operator`, operator, ["Equal", "Exists"]);
    if (effect && !TAINT_EFFECTS.includes(effect)) yield notSupported(`${at}.effect`, effect, TAINT_EFFECTS);
  }
}

export function* spreadRules(constraints: readonly Partial<TopologySpreadConstraint>[], path: string): FieldErrors {
  const actions = ["DoNotSchedule", "ScheduleAnyway"];
  for (const [index, constraint] of constraints.entries()) {
    const at = `${path}[${index}]`;
    const { maxSkew = 0, topologyKey = "", whenUnsatisfiable = "" } = constraint;
    const { minDomains, labelSelector } = constraint;
    if (maxSkew <= 0) yield invalid(`${at}.maxSkew`, maxSkew, "must be greater than zero");
    if (!topologyKey) yield required(`${at}.topologyKey`, "can not be empty");
    if (!actions.includes(whenUnsatisfiable)) {
      yield notSupported(`${at}.whenUnsatisfiable`, whenUnsatisfiable, actions);
    }
    const isRepeated = constraints
      .slice(index + 1)
      .some((one) => one.topologyKey === topologyKey && one.whenUnsatisfiable === whenUnsatisfiable);
    if (isRepeated) {
      yield duplicate(`${at}.{topologyKey, whenUnsatisfiable}`, `{${topologyKey}, ${whenUnsatisfiable}}`);
    }
    if (minDomains !== undefined) {
      if (minDomains <= 0) yield invalid(`${at}.minDomains`, minDomains, "must be greater than zero");
      if (whenUnsatisfiable !== "DoNotSchedule") {
        yield invalid(
          `${at}.minDomains`,
          minDomains,
          `can only use minDomains if whenUnsatisfiable=DoNotSchedule, not ${whenUnsatisfiable}`,
        );
      }
    }
    for (const field of ["nodeAffinityPolicy", "nodeTaintsPolicy"] as const) {
      const policy = constraint[field];
      if (policy !== undefined && policy !== "Honor" && policy !== "Ignore") {
        yield notSupported(`${at}.${field}`, policy, ["Honor", "Ignore"]);
      }
    }
    yield* labelKeysRules(constraint, at);
    yield* labelSelectorRules(labelSelector, `${at}.labelSelector`);
  }
}

export function* affinityRules(affinity: Affinity | undefined, path: string): FieldErrors {
  const { nodeAffinity, podAffinity, podAntiAffinity } = affinity ?? {};
  if (nodeAffinity) {
    const {
      requiredDuringSchedulingIgnoredDuringExecution: hard,
      preferredDuringSchedulingIgnoredDuringExecution: soft,
    } = nodeAffinity;
    if (hard) {
      const at = `${path}.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms`;
      if ((hard.nodeSelectorTerms ?? []).length === 0) yield required(at, "must have at least one node selector term");
      for (const [index, term] of (hard.nodeSelectorTerms ?? []).entries())
        yield* nodeTermRules(term, `${at}[${index}]`);
    }
    for (const [index, { weight, preference }] of (soft ?? []).entries()) {
      const at = `${path}.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[${index}]`;
      yield* weightRules(weight, at);
      yield* nodeTermRules(preference ?? {}, `${at}.preference`, "anyValues");
    }
  }
  for (const [name, terms] of Object.entries({ podAffinity, podAntiAffinity })) {
    const {
      requiredDuringSchedulingIgnoredDuringExecution: hard,
      preferredDuringSchedulingIgnoredDuringExecution: soft,
    } = terms ?? {};
    for (const [index, term] of (hard ?? []).entries()) {
      yield* podTermRules(term, `${path}.${name}.requiredDuringSchedulingIgnoredDuringExecution[${index}]`);
    }
    for (const [index, { weight, podAffinityTerm }] of (soft ?? []).entries()) {
      const at = `${path}.${name}.preferredDuringSchedulingIgnoredDuringExecution[${index}]`;
      yield* weightRules(weight, at);
      yield* podTermRules(podAffinityTerm ?? {}, `${at}.podAffinityTerm`);
    }
  }
}

function* weightRules(weight: number, path: string): FieldErrors {
  if (!(weight >= 1 && weight <= 100)) yield invalid(`${path}.weight`, weight ?? 0, "must be in the range 1-100");
}

function* podTermRules(term: Partial<PodAffinityTerm>, path: string): FieldErrors {
  yield* labelSelectorRules(term.labelSelector, `${path}.labelSelector`);
  yield* labelSelectorRules(term.namespaceSelector, `${path}.namespaceSelector`);
  for (const name of term.namespaces ?? []) yield* invalidEach(`${path}.namespace`, name, checkDns1123Label(name));
  yield* labelKeysRules(term, path);
  const { topologyKey = "" } = term;
  if (!topologyKey) yield required(`${path}.topologyKey`, "can not be empty");
  yield* invalidEach(`${path}.topologyKey`, topologyKey, checkLabelKey(topologyKey));
}

type KeysOfLabels = Pick<PodAffinityTerm, "matchLabelKeys" | "mismatchLabelKeys" | "labelSelector">;

/**
 * Keys whose values a pod takes from itself. Its creation has put them into the selector already: what stands there twice was there
 * before.
 */
function* labelKeysRules(
  { matchLabelKeys = [], mismatchLabelKeys = [], labelSelector }: KeysOfLabels,
  path: string,
): FieldErrors {
  for (const [field, keys] of Object.entries({ matchLabelKeys, mismatchLabelKeys })) {
    const at = `${path}.${field}`;
    if (keys.length > 0 && !labelSelector) yield forbidden(at, "must not be specified when labelSelector is not set");
    else for (const [index, key] of keys.entries()) yield* invalidEach(`${at}[${index}]`, key, checkLabelKey(key));
  }
  const selected = new Set(Object.keys(labelSelector?.matchLabels ?? {}));
  for (const { key } of labelSelector?.matchExpressions ?? []) {
    const index = matchLabelKeys.lastIndexOf(key);
    if (index >= 0 && selected.has(key)) {
      yield invalid(`${path}[${index}]`, key, "exists in both matchLabelKeys and labelSelector");
    }
    selected.add(key);
  }
  for (const [index, key] of matchLabelKeys.entries()) {
    if (!mismatchLabelKeys.includes(key)) continue;
    yield invalid(`${path}.matchLabelKeys[${index}]`, key, "exists in both matchLabelKeys and mismatchLabelKeys");
  }
}

/** @param values "anyValues" for what is only preferred: what no node can have does no harm there */
export function* nodeTermRules(term: NodeSelectorTerm, path: string, values?: "anyValues"): FieldErrors {
  yield* expressionsRules(term, path, values);
  yield* fieldsRules(term, path);
}

function* expressionsRules(term: NodeSelectorTerm, path: string, which?: "anyValues"): FieldErrors {
  for (const [index, { key, operator, values = [] }] of (term.matchExpressions ?? []).entries()) {
    const at = `${path}.matchExpressions[${index}]`;
    switch (operator) {
      case "In":
      case "NotIn":
        if (values.length === 0) yield required(`${at}.values`, "must be specified when `operator` is 'In' or 'NotIn'");
        break;
      case "Exists":
      case "DoesNotExist":
        if (values.length > 0) {
          yield forbidden(`${at}.values`, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
        }
        break;
      case "Gt":
      case "Lt":
        if (values.length !== 1) {
          yield required(`${at}.values`, "must be specified single value when `operator` is 'Lt' or 'Gt'");
        }
        break;
      default:
        yield invalid(`${at}.operator`, operator ?? "", "not a valid selector operator");
    }
    yield* invalidEach(`${at}.key`, key ?? "", checkLabelKey(key ?? ""));
    if (which === "anyValues") continue;
    for (const [i, value] of values.entries()) {
      yield* invalidEach(`${at}.values[${i}]`, value, checkLabelValue(value));
    }
  }
}

function* fieldsRules(term: NodeSelectorTerm, path: string): FieldErrors {
  for (const [index, { key, operator, values = [] }] of (term.matchFields ?? []).entries()) {
    const at = `${path}.matchFields[${index}]`;
    if (operator !== "In" && operator !== "NotIn")
      yield invalid(`${at}.operator`, operator ?? "", "not a valid selector operator");
    else if (values.length !== 1) {
      yield required(
        `${at}.values`,
        "must be only one value when `operator` is 'In' or 'NotIn' for node field selector",
      );
    }
    if (key !== "metadata.name") yield invalid(`${at}.key`, key ?? "", "not a valid field selector key");
    else {
      for (const [i, name] of values.entries()) {
        yield* invalidEach(`${at}.values[${i}]`, name, checkDns1123Subdomain(name));
      }
    }
  }
}
