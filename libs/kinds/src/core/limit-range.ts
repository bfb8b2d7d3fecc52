import type { LimitRange, LimitRangeItem } from "@pilothouse/api/types/core-v1";
import { parseQuantity, Quantity } from "@pilothouse/quantity";
import { checkQualifiedName } from "@pilothouse/selectors/names";
import { CREATED_AT } from "../columns.ts";
import { duplicate, firstErrors, forbidden, invalid, invalidEach, required } from "../field-errors.ts";
import type { FieldErrors } from "../field-errors.ts";
import { ALL_VERBS, type KindDefinition } from "../kind.ts";
import { containerResourceNameRules, resourceNameRules } from "./resource-names.ts";
import { mayOvercommit, quantityOf } from "./resource-rules.ts";

const TYPES: readonly string[] = ["Pod", "Container", "PersistentVolumeClaim"];
const BOUNDS = ["max", "min"] as const;
const DEFAULTS = ["default", "defaultRequest"] as const;

export const limitRange: KindDefinition<LimitRange> = {
  group: "",
  version: "v1",
  kind: "LimitRange",
  resource: "limitranges",
  singular: "limitrange",
  shortNames: ["limits"],
  categories: [],
  namespaced: true,
  verbs: ALL_VERBS,
  subresources: [],
  depth: "full",
  defaults: ({ spec }) => {
    for (const item of spec?.limits ?? []) if (item.type === "Container") defaultContainerItem(item);
  },
  validate: (limitRange) => firstErrors(rules(limitRange)),
  columns: [CREATED_AT],
  ageColumn: false,
};

/** What is not said follows from what is: the limit from the maximum, the request from the limit, then from the minimum. */
function defaultContainerItem(item: LimitRangeItem): void {
  item.default = { ...item.max, ...item.default };
  item.defaultRequest = { ...item.min, ...item.default, ...item.defaultRequest };
  for (const field of DEFAULTS) if (Object.keys(item[field] ?? {}).length === 0) delete item[field];
}

function* rules({ spec }: LimitRange): FieldErrors {
  const seen = new Set<string>();
  for (const [index, item] of (spec?.limits ?? []).entries()) {
    const path = `spec.limits[${index}]`;
    const { type } = item;
    yield* typeRules(type ?? "", `${path}.type`);
    if (seen.has(type)) yield duplicate(`${path}.type`, type);
    seen.add(type);
    yield* itemRules(item, path);
  }
}

function* typeRules(type: string, path: string): FieldErrors {
  const texts = checkQualifiedName(type);
  yield* invalidEach(path, type, texts);
  if (texts.length === 0 && !type.includes("/") && !TYPES.includes(type)) {
    yield invalid(path, type, "must be a standard limit type or fully qualified");
  }
}

function* itemRules(item: LimitRangeItem, path: string): FieldErrors {
  const nameRules = item.type === "Pod" || item.type === "Container" ? containerResourceNameRules : resourceNameRules;
  const checked = [...BOUNDS, ...(item.type === "Pod" ? [] : DEFAULTS), "maxLimitRequestRatio"] as const;
  for (const field of checked) {
    for (const [name, text] of Object.entries(item[field] ?? {})) {
      yield* nameRules(name, `${path}.${field}[${name}]`);
      yield* quantityTextRules(text, `${path}.${field}[${name}]`);
    }
  }
  if (item.type === "Pod") {
    for (const field of DEFAULTS) {
      if (Object.keys(item[field] ?? {}).length === 0) continue;
      yield forbidden(`${path}.${field}`, "may not be specified when `type` is 'Pod'");
    }
  }
  if (item.type === "PersistentVolumeClaim" && !item.min?.["storage"] && !item.max?.["storage"]) {
    yield required(`${path}.limits`, "either minimum or maximum storage value is required, but neither was provided");
  }
  const names = new Set(checked.flatMap((field) => Object.keys(item[field] ?? {})));
  for (const name of [...names].sort()) yield* orderRules(item, name, path);
}

function* quantityTextRules(text: string, path: string): FieldErrors {
  try {
    parseQuantity(text);
  } catch (error) {
    yield invalid(path, text, error instanceof Error ? error.message : "");
  }
}

interface Ordered {
  readonly field: "min" | "defaultRequest" | "default";
  /** Which of both is shown as the value at fault. */
  readonly shown: "low" | "high";
  readonly low: "min" | "defaultRequest" | "default";
  readonly high: "defaultRequest" | "default" | "max";
  readonly words: readonly [low: string, high: string];
}

/** min ≤ defaultRequest ≤ default ≤ max, in upstream's order and words. */
const ORDER: readonly Ordered[] = [
  { field: "min", shown: "low", low: "min", high: "max", words: ["min value", "max value"] },
  {
    field: "defaultRequest",
    shown: "high",
    low: "min",
    high: "defaultRequest",
    words: ["min value", "default request value"],
  },
  {
    field: "defaultRequest",
    shown: "low",
    low: "defaultRequest",
    high: "max",
    words: ["default request value", "max value"],
  },
  {
    field: "defaultRequest",
    shown: "low",
    low: "defaultRequest",
    high: "default",
    words: ["default request value", "default limit value"],
  },
  { field: "default", shown: "low", low: "min", high: "default", words: ["min value", "default value"] },
  { field: "default", shown: "high", low: "default", high: "max", words: ["default value", "max value"] },
];

function* orderRules(item: LimitRangeItem, name: string, path: string): FieldErrors {
  for (const { field, shown, low, high, words } of ORDER) {
    const [lowText, highText] = [item[low]?.[name], item[high]?.[name]];
    const [less, more] = [quantityOf(lowText), quantityOf(highText)];
    if (item.type === "Pod" && (low.startsWith("default") || high.startsWith("default"))) continue;
    if (!less || !more || less.compare(more) <= 0) continue;
    const detail = `${words[0]} ${less.toString()} is greater than ${words[1]} ${more.toString()}`;
    yield invalid(`${path}.${field}[${name}]`, shown === "low" ? lowText : highText, detail);
  }
  yield* ratioRules(item, name, `${path}.maxLimitRequestRatio[${name}]`);
  const [limit, request] = [quantityOf(item.default?.[name]), quantityOf(item.defaultRequest?.[name])];
  if (!mayOvercommit(name) && limit && request && limit.compare(request) !== 0) {
    const detail = `default value ${limit.toString()} must equal to defaultRequest value ${request.toString()} in ${name}`;
    yield invalid(`${path}.defaultRequest[${name}]`, item.defaultRequest?.[name], detail);
  }
}

const ONE = parseQuantity("1");

function* ratioRules(item: LimitRangeItem, name: string, path: string): FieldErrors {
  const text = item.maxLimitRequestRatio?.[name];
  const ratio = quantityOf(text);
  if (!ratio) return;
  if (ratio.compare(ONE) < 0) yield invalid(path, text, `ratio ${ratio.toString()} is less than 1`);
  const [min, max] = [quantityOf(item.min?.[name]), quantityOf(item.max?.[name])];
  if (!min || !max || min.compare(Quantity.zero) <= 0) return;
  const widest = max.toNumber() / min.toNumber();
  if (ratio.toNumber() > widest) {
    yield invalid(path, text, `ratio ${ratio.toString()} is greater than max/min = ${widest.toFixed(6)}`);
  }
}
