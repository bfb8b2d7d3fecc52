import type { FieldError } from "@pilothouse/errors";
import type { Labels, LabelSelectorObject } from "./label-selector.ts";
import { checkLabelKey, checkLabelValue } from "./names.ts";

type Problems = Generator<FieldError, void, undefined>;

/** What is wrong with labels; all errors name the map itself, as upstream's do. `path` as in `metadata.labels`. */
export function* validateLabels(labels: Labels | undefined, path: string): Problems {
  for (const [key, value] of Object.entries(labels ?? {})) {
    for (const detail of checkLabelKey(key)) yield invalidAt(path, key, detail);
    for (const detail of checkLabelValue(value)) yield invalidAt(path, value, detail);
  }
}

/** What is wrong with an object's selector, at `path` as in `spec.selector`. */
export function* validateLabelSelector(selector: LabelSelectorObject | undefined, path: string): Problems {
  yield* validateLabels(selector?.matchLabels, `${path}.matchLabels`);
  for (const [i, expression] of (selector?.matchExpressions ?? []).entries()) {
    yield* validateExpression(expression, `${path}.matchExpressions[${i}]`);
  }
}

function* validateExpression(
  { key, operator, values = [] }: NonNullable<LabelSelectorObject["matchExpressions"]>[number],
  path: string,
): Problems {
  yield* operatorErrors(operator, values, path);
  for (const detail of checkLabelKey(key)) yield invalidAt(`${path}.key`, key, detail);
  for (const [i, value] of values.entries()) {
    for (const detail of checkLabelValue(value)) yield invalidAt(`${path}.values[${i}]`, value, detail);
  }
}

function operatorErrors(operator: string, values: readonly string[], path: string): readonly FieldError[] {
  switch (operator) {
    case "In":
    case "NotIn":
      if (values.length > 0) return [];
      return [
        {
          type: "FieldValueRequired",
          field: `${path}.values`,
          detail: "must be specified when `operator` is 'In' or 'NotIn'",
        },
      ];
    case "Exists":
    case "DoesNotExist":
      if (values.length === 0) return [];
      return [
        {
          type: "FieldValueForbidden",
          field: `${path}.values`,
          detail: "may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
        },
      ];
    default:
      return [invalidAt(`${path}.operator`, operator, "not a valid selector operator")];
  }
}

function invalidAt(field: string, value: unknown, detail: string): FieldError {
  return { type: "FieldValueInvalid", field, value, detail };
}
