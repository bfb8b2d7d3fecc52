/** Rules for requests and limits, and the class of service that follows from them. */
import type { Container, Pod, ResourceClaim, ResourceRequirements } from "@pilothouse/api/types/core-v1";
import { parseQuantity, Quantity, QuantityError } from "@pilothouse/quantity";
import { checkDns1123Label } from "@pilothouse/selectors/names";
import { duplicate, forbidden, invalid, invalidEach, NOT_NEGATIVE, notFound, required } from "../field-errors.ts";
import type { FieldErrors } from "../field-errors.ts";
import { containerResourceNameRules, isIntegerResource } from "./resource-names.ts";

const HUGE_PAGES = "hugepages-";

type NameRules = (name: string, path: string) => FieldErrors;

/** @param claimNames what the pod calls its resource claims */
export function* resourceRules(
  resources: ResourceRequirements | undefined,
  claimNames: readonly string[],
  path: string,
  nameRules: NameRules = containerResourceNameRules,
): FieldErrors {
  const { limits = {}, requests = {}, claims = [] } = resources ?? {};
  yield* amountsRules(limits, `${path}.limits`, nameRules);
  for (const [name, text] of Object.entries(requests)) {
    yield* amountsRules({ [name]: text }, `${path}.requests`, nameRules);
    yield* requestRules(name, text, limits[name], path);
  }
  const names = [...Object.keys(limits), ...Object.keys(requests)];
  if (names.some(isHugePage) && !names.some((name) => name === "cpu" || name === "memory")) {
    yield forbidden(path, "HugePages require cpu or memory");
  }
  yield* claimsRules(claims, claimNames, `${path}.claims`);
}

/** What cannot be promised twice is limited to just what is requested. */
function* requestRules(name: string, text: string, limitText: string | undefined, path: string): FieldErrors {
  if (limitText === undefined) {
    if (!mayOvercommit(name)) yield required(`${path}.limits`, "Limit must be set for non overcommitable resources");
    return;
  }
  const request = quantityOf(text);
  const limit = quantityOf(limitText);
  if (!request || !limit) return;
  const order = request.compare(limit);
  if (order !== 0 && !mayOvercommit(name)) {
    yield invalid(`${path}.requests`, text, `must be equal to ${name} limit of ${limitText}`);
  } else if (order > 0) {
    yield invalid(`${path}.requests`, text, `must be less than or equal to ${name} limit of ${limitText}`);
  }
}

function* amountsRules(amounts: Readonly<Record<string, string>>, path: string, nameRules: NameRules): FieldErrors {
  for (const [name, text] of Object.entries(amounts)) {
    const at = `${path}[${name}]`;
    yield* nameRules(name, at);
    yield* amountRules(text, at);
    const amount = quantityOf(text);
    if (!amount) continue;
    if (isIntegerResource(name) && !isWhole(amount)) yield invalid(at, text, "must be an integer");
    if (isHugePage(name) && !isOfWholePages(name, amount)) {
      yield invalid(at, text, `${text} is not positive integer multiple of ${name}`);
    }
  }
}

function isHugePage(name: string): boolean {
  return name.startsWith(HUGE_PAGES);
}

/** The name says how large a page is: `hugepages-2Mi`. */
function isOfWholePages(name: string, amount: Quantity): boolean {
  const page = quantityOf(name.slice(HUGE_PAGES.length));
  if (!page || page.compare(Quantity.zero) <= 0 || !isWhole(page)) return false;
  return amount.value() % page.value() === 0n;
}

/** A container takes a claim of the pod as a whole, or single requests of it, each once. */
function* claimsRules(claims: readonly ResourceClaim[], claimNames: readonly string[], path: string): FieldErrors {
  const taken = new Set<string>();
  for (const [index, { name, request }] of claims.entries()) {
    const at = `${path}[${index}]`;
    if (!name) {
      yield required(at);
      continue;
    }
    const key = request ? `${name}/${request}` : name;
    const isTaken = taken.has(name) || taken.has(key);
    const isTakenInPart = !request && [...taken].some((one) => one.startsWith(`${name}/`));
    if (request && !taken.has(name)) yield* invalidEach(`${at}.request`, request, checkDns1123Label(request));
    if (isTaken || isTakenInPart) yield duplicate(at, taken.has(name) ? name : key);
    taken.add(key);
    if (!claimNames.includes(name)) {
      const which = claimNames.length === 0 ? " which is empty" : `: ${[...claimNames].sort().join(", ")}`;
      yield { ...notFound(at, name), detail: `must be one of the names in pod.spec.resourceClaims${which}` };
    }
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
 * Burstable: the rest. What the pod asks for as a whole goes before what its containers do.
 */
export function qosClassOf({ spec }: Pick<Pod, "spec">): "Guaranteed" | "Burstable" | "BestEffort" {
  const { resources } = spec;
  const isWholePod = Object.keys({ ...resources?.requests, ...resources?.limits }).length > 0;
  const asking: readonly Pick<Container, "resources">[] =
    isWholePod && resources ? [{ resources }] : [...(spec.initContainers ?? []), ...(spec.containers ?? [])];
  if (!asking.some((one) => asksFor(one, "requests") || asksFor(one, "limits"))) return "BestEffort";
  return asking.every(isGuaranteed) ? "Guaranteed" : "Burstable";
}

function asksFor({ resources }: Pick<Container, "resources">, what: "requests" | "limits"): boolean {
  return ["cpu", "memory"].some((name) => isPositive(resources?.[what]?.[name]));
}

function isGuaranteed({ resources }: Pick<Container, "resources">): boolean {
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
