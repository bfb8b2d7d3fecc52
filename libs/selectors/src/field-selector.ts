import { badRequest } from "@pilothouse/errors";

/** One term of a field selector; a field that an object has not counts as "". */
export interface FieldRequirement {
  readonly field: string;
  readonly operator: "=" | "!=";
  readonly value: string;
}

/** All requirements must hold. Empty selects everything. */
export type FieldSelector = readonly FieldRequirement[];

/**
 * Parses `metadata.name=x,status.phase!=Running`. In a value `\\`, `\,` and `\=` stand for the character.
 *
 * @throws StatusError 400 with upstream's text
 */
export function parseFieldSelector(text: string): FieldSelector {
  return splitAtCommas(text)
    .sort()
    .filter((term) => term !== "")
    .map((term) => parseTerm(term, text));
}

/** `fields` holds what the kind lets select, `metadata.name` and `metadata.namespace` among it. */
export function matchesFields(selector: FieldSelector, fields: Readonly<Record<string, string>>): boolean {
  return selector.every(({ field, operator, value }) => {
    const actual = Object.hasOwn(fields, field) ? fields[field] : "";
    return (actual === value) === (operator === "=");
  });
}

export function fieldSelectorToString(selector: FieldSelector): string {
  return selector.map(({ field, operator, value }) => `${field}${operator}${escapeFieldValue(value)}`).join(",");
}

/** The one value that this field must have, if the selector says so. */
export function requiredFieldValue(selector: FieldSelector, field: string): string | undefined {
  return selector.find((requirement) => requirement.field === field && requirement.operator === "=")?.value;
}

/**
 * Refuses fields that the kind does not let select.
 *
 * @param supported what the kind adds to metadata.name and metadata.namespace; undefined when it adds nothing, which
 *   upstream words differently
 * @throws StatusError 400
 */
export function requireSupportedFields(selector: FieldSelector, supported: readonly string[] | undefined): void {
  for (const { field } of selector) {
    if (field === "metadata.name" || field === "metadata.namespace" || supported?.includes(field)) continue;
    throw badRequest(
      supported
        ? `field label not supported: ${field}`
        : `${JSON.stringify(field)} is not a known field selector: only "metadata.name", "metadata.namespace"`,
    );
  }
}

export function escapeFieldValue(value: string): string {
  return value.replace(/[\\,=]/g, "\\$&");
}

function parseTerm(term: string, selector: string): FieldRequirement {
  const match = /^(.*?)(!=|==|=)(.*)$/s.exec(term);
  if (!match) throw badRequest(`invalid selector: '${selector}'; can't understand '${term}'`);
  const [, field, operator, value] = match as unknown as [string, string, string, string];
  return { field, operator: operator === "!=" ? "!=" : "=", value: unescapeFieldValue(value) };
}

function unescapeFieldValue(text: string): string {
  let value = "";
  for (let i = 0; i < text.length; i++) {
    const char = text.charAt(i);
    if (char === "," || char === "=")
      throw badRequest(`invalid field selector: unescaped character in value: ${char.charCodeAt(0)}`);
    if (char !== "\\") {
      value += char;
      continue;
    }
    const escaped = text.charAt(++i);
    if (!["\\", ",", "="].includes(escaped))
      throw badRequest(`invalid field selector: invalid escape sequence: \\${escaped}`);
    value += escaped;
  }
  return value;
}

/** Splits at commas that no backslash precedes; the backslashes stay. */
function splitAtCommas(text: string): string[] {
  return text.match(/(?:\\.|[^\\,]|\\$)+/gs) ?? [];
}
