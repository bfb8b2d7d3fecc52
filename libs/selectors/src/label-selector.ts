import { badRequest, fieldErrorBody, type FieldError } from "@pilothouse/errors";
import { checkLabelKey, checkLabelValue } from "./names.ts";

export type Labels = Readonly<Record<string, string>>;

export type LabelOperator = "=" | "==" | "!=" | "in" | "notin" | "exists" | "!" | "gt" | "lt";

/** One term. `values` is sorted and without doubles when it was parsed; one value for =, ==, !=, gt, lt; none for exists, !. */
export interface LabelRequirement {
  readonly key: string;
  readonly operator: LabelOperator;
  readonly values: readonly string[];
}

/** All requirements must hold, sorted by key; `nothing` matches no object at all. */
export type LabelSelector = readonly LabelRequirement[] | "nothing";

/** `metav1.LabelSelector`, as objects carry it. */
export interface LabelSelectorObject {
  readonly matchLabels?: Labels;
  readonly matchExpressions?: readonly {
    readonly key: string;
    readonly operator: string;
    readonly values?: readonly string[];
  }[];
}

export const EVERYTHING: LabelSelector = [];

/**
 * Parses `a=b,c!=d,e in (x,y),f notin (z),g,!h,i>1,j<9`. "" selects everything.
 *
 * @throws StatusError 400 with upstream's text
 */
export function parseLabelSelector(text: string): LabelSelector {
  return byKey(new Parser(text).parse());
}

/**
 * The selector of an object's `matchLabels` and `matchExpressions`: undefined selects nothing, `{}` everything.
 *
 * @throws StatusError 400 for what validation would have refused
 */
export function labelSelectorOf(object: LabelSelectorObject | undefined): LabelSelector {
  if (object === undefined) return "nothing";
  const requirements = Object.entries(object.matchLabels ?? {}).map(([key, value]) => requirement(key, "=", [value]));
  for (const { key, operator, values } of object.matchExpressions ?? [])
    requirements.push(requirement(key, operatorOfExpression(operator), values ?? []));
  return byKey(requirements);
}

/** The selector of a plain map (`spec.selector` of a Service): undefined or empty selects everything, as upstream has it. */
export function labelSelectorOfMap(map: Labels | undefined): LabelSelector {
  return byKey(Object.entries(map ?? {}).map(([key, value]) => ({ key, operator: "=", values: [value] })));
}

export function matchesLabels(selector: LabelSelector, labels: Labels | undefined): boolean {
  return selector !== "nothing" && selector.every((requirement) => meets(requirement, labels ?? {}));
}

/** True if the selector restricts nothing. */
export function selectsEverything(selector: LabelSelector): boolean {
  return selector !== "nothing" && selector.length === 0;
}

/** The canonical string: parsing it gives the same selector. "" for everything and for nothing. */
export function labelSelectorToString(selector: LabelSelector): string {
  return selector === "nothing" ? "" : selector.map(requirementToString).join(",");
}

/** How `kubectl` columns show an object's selector. */
export function formatLabelSelector(object: LabelSelectorObject | undefined): string {
  return labelSelectorToString(labelSelectorOf(object)) || "<none>";
}

/** The one value that this label must have, if the selector says so. */
export function requiredLabelValue(selector: LabelSelector, key: string): string | undefined {
  if (selector === "nothing") return undefined;
  const found = selector.find((requirement) => requirement.key === key);
  if (!found || !["=", "==", "in"].includes(found.operator) || found.values.length !== 1) return undefined;
  return found.values[0];
}

/** A label by a key that somebody else chose; undefined where there is none: every object has a `toString`. */
export function labelOf(labels: Labels | undefined, key: string): string | undefined {
  return labels && Object.hasOwn(labels, key) ? labels[key] : undefined;
}

function meets({ key, operator, values }: LabelRequirement, labels: Labels): boolean {
  const value = labelOf(labels, key);
  switch (operator) {
    case "=":
    case "==":
    case "in":
      return value !== undefined && values.includes(value);
    case "!=":
    case "notin":
      return value === undefined || !values.includes(value);
    case "exists":
      return value !== undefined;
    case "!":
      return value === undefined;
    case "gt":
    case "lt": {
      const left = value === undefined ? undefined : int64(value);
      const right = int64(values[0] ?? "");
      if (left === undefined || right === undefined) return false;
      return operator === "gt" ? left > right : left < right;
    }
  }
}

function requirementToString({ key, operator, values }: LabelRequirement): string {
  switch (operator) {
    case "exists":
      return key;
    case "!":
      return `!${key}`;
    case "in":
    case "notin":
      return `${key} ${operator} (${[...values].sort().join(",")})`;
    case "gt":
      return `${key}>${values.join()}`;
    case "lt":
      return `${key}<${values.join()}`;
    case "=":
    case "==":
    case "!=":
      return `${key}${operator}${values.join()}`;
  }
}

function operatorOfExpression(operator: string): LabelOperator {
  switch (operator) {
    case "In":
      return "in";
    case "NotIn":
      return "notin";
    case "Exists":
      return "exists";
    case "DoesNotExist":
      return "!";
    default:
      throw badRequest(`${JSON.stringify(operator)} is not a valid label selector operator`);
  }
}

/** Builds a requirement; `refuse` gets all that is wrong with it in one text. */
function requirement(
  key: string,
  operator: LabelOperator,
  values: readonly string[],
  refuse: (why: string) => Error = badRequest,
): LabelRequirement {
  const wrong = [...keyErrors("key", key), ...valueCountErrors(operator, values)];
  values.forEach((value, i) => {
    for (const text of joined(checkLabelValue(value))) wrong.push(invalidField(`values[${i}][${key}]`, value, text));
  });
  if (wrong.length > 0) throw refuse(wrong.length === 1 ? wrong.join() : `[${wrong.join(", ")}]`);
  return { key, operator, values };
}

function valueCountErrors(operator: LabelOperator, values: readonly string[]): readonly string[] {
  switch (operator) {
    case "in":
    case "notin":
      return values.length > 0
        ? []
        : [invalidField("values", values, "for 'in', 'notin' operators, values set can't be empty")];
    case "=":
    case "==":
    case "!=":
      return values.length === 1
        ? []
        : [invalidField("values", values, "exact-match compatibility requires one single value")];
    case "exists":
    case "!":
      return values.length === 0
        ? []
        : [invalidField("values", values, "values set must be empty for exists and does not exist")];
    case "gt":
    case "lt": {
      const wrong =
        values.length === 1
          ? []
          : [invalidField("values", values, "for 'Gt', 'Lt' operators, exactly one value is required")];
      values.forEach((value, i) => {
        if (int64(value) === undefined)
          wrong.push(invalidField(`values[${i}]`, value, "for 'Gt', 'Lt' operators, the value must be an integer"));
      });
      return wrong;
    }
  }
}

/** `field` is "<nil>" where upstream has no path at hand: that is the text users know. */
function keyErrors(field: string, key: string): readonly string[] {
  return joined(checkLabelKey(key)).map((text) => invalidField(field, key, text));
}

function joined(texts: readonly string[]): readonly string[] {
  return texts.length === 0 ? [] : [texts.join("; ")];
}

function invalidField(field: string, value: unknown, detail: string): string {
  const error: FieldError = { type: "FieldValueInvalid", field, value, detail };
  return `${field}: ${fieldErrorBody(error)}`;
}

function byKey(requirements: readonly LabelRequirement[]): readonly LabelRequirement[] {
  return [...requirements].sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0));
}

function int64(text: string): bigint | undefined {
  if (!/^[+-]?[0-9]{1,40}$/.test(text)) return undefined;
  const value = BigInt(text.startsWith("+") ? text.slice(1) : text);
  return BigInt.asIntN(64, value) === value ? value : undefined;
}

interface Token {
  /** The symbol or keyword itself, or what else it is. */
  readonly type: "identifier" | "end" | "=" | "==" | "!=" | "!" | "(" | ")" | "," | "<" | ">" | "in" | "notin";
  readonly text: string;
}

/** Upstream's recursive descent with its texts; `in` and `notin` are keywords only where an operator may stand. */
class Parser {
  readonly #tokens: readonly Token[];
  #next = 0;

  constructor(text: string) {
    this.#tokens = tokens(text);
  }

  parse(): LabelRequirement[] {
    const requirements: LabelRequirement[] = [];
    for (;;) {
      const first = this.#peek();
      if (first.type === "end") return requirements;
      if (!startsRequirement(first))
        throw badRequest(`found '${first.text}', expected: !, identifier, or 'end of string'`);
      requirements.push(this.#requirement());
      const separator = this.#take();
      if (separator.type === "end") return requirements;
      if (separator.type !== ",") throw badRequest(`found '${separator.text}', expected: ',' or 'end of string'`);
      const following = this.#peek();
      if (!startsRequirement(following)) throw badRequest(`found '${following.text}', expected: identifier after ','`);
    }
  }

  #requirement(): LabelRequirement {
    const negated = this.#peek().type === "!";
    if (negated) this.#take();
    const key = this.#take();
    if (key.type !== "identifier") throw unparsable(`found '${key.text}', expected: identifier`);
    for (const wrong of keyErrors("<nil>", key.text)) throw unparsable(wrong);
    if (["end", ","].includes(this.#peek().type))
      return { key: key.text, operator: negated ? "!" : "exists", values: [] };
    if (negated) return { key: key.text, operator: "!", values: [] };
    const operator = this.#operator();
    const values = operator === "in" || operator === "notin" ? this.#valueList() : [this.#exactValue()];
    return requirement(key.text, operator, [...new Set(values)].sort(), unparsable);
  }

  #operator(): LabelOperator {
    const token = this.#take("operator");
    switch (token.type) {
      case "in":
      case "notin":
      case "=":
      case "==":
      case "!=":
        return token.type;
      case ">":
        return "gt";
      case "<":
        return "lt";
      default:
        throw unparsable(`found '${token.text}', expected: in, notin, =, ==, !=, gt, lt`);
    }
  }

  /** `(x,y)`; `()`, `(,x)`, `(x,,y)` and `(x,)` hold the empty value. */
  #valueList(): readonly string[] {
    const open = this.#take();
    if (open.type !== "(") throw unparsable(`found '${open.text}' expected: '('`);
    const first = this.#peek();
    if (first.type === ")") {
      this.#take();
      return [""];
    }
    if (first.type !== "identifier" && first.type !== ",")
      throw unparsable(`found '${first.text}', expected: ',', ')' or identifier`);
    const values = this.#commaSeparated();
    this.#take();
    return values;
  }

  /** Stops before the closing parenthesis. */
  #commaSeparated(): readonly string[] {
    const values: string[] = [];
    for (;;) {
      const token = this.#take();
      if (token.type === "identifier") {
        values.push(token.text);
        const following = this.#peek();
        if (following.type === ")") return values;
        if (following.type !== ",") throw unparsable(`found '${following.text}', expected: ',' or ')'`);
      } else if (token.type === ",") {
        if (values.length === 0) values.push("");
        const following = this.#peek();
        if (following.type === ")") return [...values, ""];
        if (following.type === ",") {
          this.#take();
          values.push("");
        }
      } else throw unparsable(`found '${token.text}', expected: ',', or identifier`);
    }
  }

  #exactValue(): string {
    if (["end", ","].includes(this.#peek().type)) return "";
    const token = this.#take();
    if (token.type !== "identifier") throw unparsable(`found '${token.text}', expected: identifier`);
    return token.text;
  }

  #peek(context: "operator" | "value" = "value"): Token {
    const token = this.#tokens[this.#next] as Token;
    const isWord = token.type === "in" || token.type === "notin";
    return isWord && context === "value" ? { type: "identifier", text: token.text } : token;
  }

  /** The end is never passed: it is taken again and again. */
  #take(context: "operator" | "value" = "value"): Token {
    const token = this.#peek(context);
    if (token.type !== "end") this.#next++;
    return token;
  }
}

function startsRequirement({ type }: Token): boolean {
  return type === "identifier" || type === "!";
}

function unparsable(why: string): Error {
  return badRequest(`unable to parse requirement: ${why}`);
}

const TOKEN = /[ \t\r\n]*(?:(==|!=|[=!(),<>])|([^=!(),<> \t\r\n]+)|$)/y;

function tokens(text: string): readonly Token[] {
  const found: Token[] = [];
  const pattern = new RegExp(TOKEN);
  for (;;) {
    const [, symbol, word] = pattern.exec(text) ?? [];
    if (symbol !== undefined) found.push({ type: symbol as Token["type"], text: symbol });
    else if (word !== undefined)
      found.push({ type: word === "in" || word === "notin" ? word : "identifier", text: word });
    else return [...found, { type: "end", text: "" }];
  }
}
