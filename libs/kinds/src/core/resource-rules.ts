/** Rules for requests and limits, and the class of service that follows from them. */
import type { Container, Pod, ResourceRequirements } from "@pilothouse/api/types/core-v1";
import { parseQuantity, Quantity, QuantityError } from "@pilothouse/quantity";
import { checkQualifiedName } from "@pilothouse/selectors/names";
import { invalid, invalidEach, NOT_NEGATIVE, required } from "../field-errors.ts";
import type { FieldErrors } from "../field-errors.ts";

const STANDARD: readonly string[] = ["cpu", "memory", "ephemeral-storage"];

export function* resourceRules(resources: ResourceRequirements | undefined, path: string): FieldErrors {
  const { limits = {}, requests = {} } = resources ?? {};
  yield* amountsRules(limits, `${path}.limits`);
  yield* amountsRules(requests, `${path}.requests`);
  for (const [name, text] of Object.entries(requests)) {
    const limitText = limits[name];
    const request = quantityOf(text);
    const limit = limitText === undefined ? undefined : quantityOf(limitText);
    if (!mayOvercommit(name)) {
      if (limitText === undefined)
        yield required(`${path}.limits`, "Limit must be set for non overcommitable resources");
      else if (request && limit && request.compare(limit) !== 0) {
        yield invalid(`${path}.requests`, text, `must be equal to ${name} limit of ${limitText}`);
      }
    } else if (request && limit && request.compare(limit) > 0) {
      yield invalid(`${path}.requests`, text, `must be less than or equal to ${name} limit of ${limitText}`);
    }
  }
}

function* amountsRules(amounts: Readonly<Record<string, string>>, path: string): FieldErrors {
  for (const [name, text] of Object.entries(amounts)) {
    const at = `${path}[${name}]`;
    yield* invalidEach(at, name, checkQualifiedName(name));
    if (!name.includes("/") && !STANDARD.includes(name) && !name.startsWith("hugepages-")) {
      yield invalid(at, name, "must be a standard resource for containers");
    }
    yield* amountRules(text, at);
    const amount = quantityOf(text);
    if (amount && !mayOvercommit(name) && name.includes("/") && !isWhole(amount))
      yield invalid(at, text, "must be an integer");
  }
}

/** An amount of anything: a quantity that is not negative. */
export function* amountRules(text: string, path: string): FieldErrors {
  try {
    if (parseQuantity(text).compare(Quantity.zero) < 0) yield invalid(path, text, NOT_NEGATIVE);
  } catch (error) {
    if (!(error instanceof QuantityError)) throw error;
    yield invalid(path, text, error.message);
  }
}

/** cpu, memory and ephemeral storage may be promised twice; devices and huge pages may not. */
export function mayOvercommit(name: string): boolean {
  if (name.startsWith("hugepages-")) return false;
  return !name.includes("/") || name.includes("kubernetes.io/");
}

/**
 * Guaranteed: every container limits cpu and memory and requests just that. BestEffort: none asks for anything.
 * Burstable: the rest.
 */
export function qosClassOf({ spec }: Pick<Pod, "spec">): "Guaranteed" | "Burstable" | "BestEffort" {
  const containers = [...(spec.initContainers ?? []), ...(spec.containers ?? [])];
  if (!containers.some((container) => asksFor(container, "requests") || asksFor(container, "limits")))
    return "BestEffort";
  return containers.every(isGuaranteed) ? "Guaranteed" : "Burstable";
}

function asksFor({ resources }: Container, what: "requests" | "limits"): boolean {
  return ["cpu", "memory"].some((name) => isPositive(resources?.[what]?.[name]));
}

function isGuaranteed({ resources }: Container): boolean {
  return ["cpu", "memory"].every((name) => {
    const limit = quantityOf(resources?.limits?.[name]);
    const request = quantityOf(resources?.requests?.[name]);
    if (!limit || limit.compare(Quantity.zero) <= 0) return false;
    return request === undefined || request.compare(limit) === 0;
  });
}

function isPositive(text: string | undefined): boolean {
  const amount = quantityOf(text);
  return amount !== undefined && amount.compare(Quantity.zero) > 0;
}

function isWhole({ nanos }: Quantity): boolean {
  return nanos % 1_000_000_000n === 0n;
}

/** Undefined where the text is none: the rules say so elsewhere. */
export function quantityOf(text: string | undefined): Quantity | undefined {
  if (text === undefined) return undefined;
  try {
    return parseQuantity(text);
  } catch {
    return undefined;
  }
}
