/** What devices are called, selected, configured, tainted and tolerated by, for all kinds of resource.k8s.io. */
import type {
  CELDeviceSelector,
  DeviceConfiguration,
  DeviceSelector,
  DeviceTaint,
  DeviceToleration,
} from "@pilothouse/api/types/resource-v1";
import type { NodeSelector } from "@pilothouse/api/types/core-v1";
import { checkDns1123Label, checkDns1123Subdomain, checkLabelKey, checkLabelValue } from "@pilothouse/selectors/names";
import { nodeTermRules } from "../core/scheduling-rules.ts";
import { duplicate, invalid, invalidEach, notSupported, required, tooLong } from "../field-errors.ts";
import type { FieldErrors } from "../field-errors.ts";
import { driverNameRules } from "../storage/csi-driver.ts";
import { listRules } from "./list-rules.ts";

const MAX_SELECTORS = 32;
const MAX_EXPRESSION = 10 * 1024;
const MAX_PARAMETERS = 10 * 1024;
const MAX_POOL_NAME = 253;
const MAX_ID = 32;
const MAX_BINDING_CONDITIONS = 4;
const EFFECTS = ["NoExecute", "NoSchedule", "None"];
const C_IDENTIFIER = /^[A-Za-z_][A-Za-z0-9_]*$/;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

export function* labelRules(name: string, path: string): FieldErrors {
  yield* invalidEach(path, name, checkDns1123Label(name));
}

export function* poolNameRules(name: string | undefined, path: string): FieldErrors {
  if (!name) {
    yield required(path);
    return;
  }
  if (name.length > MAX_POOL_NAME) yield tooLong(path, MAX_POOL_NAME);
  for (const part of name.split("/")) yield* invalidEach(path, part, checkDns1123Subdomain(part));
}

/** `name`, or `domain/name`: names without a domain are the driver's own. */
export function* qualifiedNameRules(name: string, path: string): FieldErrors {
  const parts = name.split("/");
  const [first = "", second] = parts;
  if (parts.length > 2) yield invalid(path, name, "must not contain more than one slash");
  else if (second === undefined) yield* identifierRules(first, path);
  else {
    if (first === "") yield invalid(path, "", "the domain must not be empty");
    else yield* driverNameRules(path, first);
    if (second === "") yield invalid(path, "", "the name must not be empty");
    else yield* identifierRules(second, path);
  }
}

export function* fullyQualifiedNameRules(name: string, path: string): FieldErrors {
  yield* qualifiedNameRules(name, path);
  if (!name.includes("/"))
    yield invalid(path, name, "a fully qualified name must be a domain and a name separated by a slash");
}

function* identifierRules(id: string, path: string): FieldErrors {
  if (id.length > MAX_ID) yield tooLong(path, MAX_ID);
  if (C_IDENTIFIER.test(id)) return;
  const detail =
    "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric characters or '_' " +
    "(e.g. 'my_name',  or 'MY_NAME',  or 'MyName', regex used for validation is '[A-Za-z_][A-Za-z0-9_]*')";
  yield invalid(path, id, detail);
}

export function* shareIdRules(id: string | undefined, path: string): FieldErrors {
  if (id === undefined || UUID.test(id)) return;
  const isUuid = UUID.test(id.toLowerCase());
  const detail = isUuid
    ? "uid must be in RFC 4122 normalized form, `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx` with lowercase hexadecimal characters"
    : `error validating uid: invalid UUID length: ${id.length}`;
  yield invalid(path, id, detail);
}

/** Expressions are kept and measured, not compiled. */
export function* selectorsRules(selectors: readonly DeviceSelector[] | undefined, path: string): FieldErrors {
  yield* listRules(selectors, path, MAX_SELECTORS, function* ({ cel }, at) {
    if (!cel) yield required(`${at}.cel`);
    else yield* expressionRules(cel, `${at}.cel.expression`);
  });
}

function* expressionRules({ expression }: CELDeviceSelector, path: string): FieldErrors {
  if (!expression) yield required(path);
  else if (Buffer.byteLength(expression) > MAX_EXPRESSION) yield tooLong(path, MAX_EXPRESSION);
}

export function* configurationRules({ opaque }: DeviceConfiguration, path: string): FieldErrors {
  if (!opaque) {
    yield required(`${path}.opaque`);
    return;
  }
  yield* driverNameRules(`${path}.opaque.driver`, opaque.driver);
  yield* rawRules(opaque.parameters, `${path}.opaque.parameters`, MAX_PARAMETERS);
}

/** A JSON object of any fields. */
export function* rawRules(value: unknown, path: string, maxBytes: number): FieldErrors {
  if (value === undefined || value === null) yield required(path);
  else if (Buffer.byteLength(JSON.stringify(value)) > maxBytes) yield tooLong(path, maxBytes);
  else if (typeof value !== "object" || Array.isArray(value))
    yield invalid(path, "<value omitted>", "must be a valid JSON object");
}

export function* taintRules({ key: given, value, effect }: DeviceTaint, path: string): FieldErrors {
  const key = given ?? "";
  yield* invalidEach(`${path}.key`, key, checkLabelKey(key));
  if (value) yield* invalidEach(`${path}.value`, value, checkLabelValue(value));
  if (!effect) yield required(`${path}.effect`);
  else if (!EFFECTS.includes(effect)) yield notSupported(`${path}.effect`, effect, EFFECTS);
}

export function* tolerationsRules(tolerations: readonly DeviceToleration[] | undefined, path: string): FieldErrors {
  for (const [index, { key, operator, value = "", effect }] of (tolerations ?? []).entries()) {
    const at = `${path}[${index}]`;
    if (key) yield* invalidEach(`${at}.key`, key, checkLabelKey(key));
    if (operator === "Exists") {
      if (value) yield invalid(`${at}.value`, value, "must be empty for operator `Exists`");
    } else if (operator === "Equal") yield* invalidEach(`${at}.value`, value, checkLabelValue(value));
    else if (!operator) yield required(`${at}.operator`);
    else yield notSupported(`${at}.operator`, operator, ["Equal", "Exists"]);
    if (effect && !EFFECTS.includes(effect)) yield notSupported(`${at}.effect`, effect, EFFECTS);
  }
}

export interface Binding {
  readonly bindingConditions?: readonly string[];
  readonly bindingFailureConditions?: readonly string[];
}

/** What must come true before a pod is bound, and what says that it never will. */
export function* bindingRules(
  { bindingConditions = [], bindingFailureConditions = [] }: Binding,
  at: string,
): FieldErrors {
  const [good, bad] = [`${at}.bindingConditions`, `${at}.bindingFailureConditions`];
  for (const [path, conditions] of [[good, bindingConditions] as const, [bad, bindingFailureConditions] as const]) {
    yield* listRules(conditions, path, MAX_BINDING_CONDITIONS, (name, where) =>
      invalidEach(where, name, checkLabelKey(name)),
    );
    for (const [index, name] of conditions.entries())
      if (conditions.indexOf(name) < index) yield duplicate(`${path}[${index}]`, name);
  }
  for (const [index, name] of bindingFailureConditions.entries())
    if (bindingConditions.includes(name))
      yield invalid(`${bad}[${index}]`, name, "bindingFailureConditions must not overlap with bindingConditions");
  if (bindingConditions.length === 0 && bindingFailureConditions.length > 0)
    yield invalid(good, bindingConditions, "bindingConditions are required to use bindingFailureConditions");
  if (bindingFailureConditions.length === 0 && bindingConditions.length > 0)
    yield invalid(bad, bindingFailureConditions, "bindingFailureConditions are required to use bindingConditions");
}

export function* nodeSelectorRules({ nodeSelectorTerms }: NodeSelector, path: string): FieldErrors {
  const at = `${path}.nodeSelectorTerms`;
  const terms = nodeSelectorTerms ?? [];
  if (terms.length === 0) yield required(at, "must have at least one node selector term");
  for (const [index, term] of terms.entries()) yield* nodeTermRules(term, `${at}[${index}]`);
}
