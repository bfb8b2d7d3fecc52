/**
 * Selectors and names: which objects a label or field selector means, and what Kubernetes accepts as a name.
 *
 * Promises: pure; upstream's grammar, precedence and texts; a selector's string parses to the same selector.
 * Does not promise: to know which fields a kind lets select (libs/kinds does).
 * Limits: none of its own; a selector is as long as the request line allows.
 */
export {
  EVERYTHING,
  formatLabelSelector,
  labelOf,
  labelSelectorOf,
  labelSelectorOfMap,
  labelSelectorToString,
  matchesLabels,
  parseLabelSelector,
  requiredLabelValue,
  selectsEverything,
  type LabelOperator,
  type LabelRequirement,
  type Labels,
  type LabelSelector,
  type LabelSelectorObject,
} from "./label-selector.ts";
export {
  escapeFieldValue,
  fieldSelectorToString,
  matchesFields,
  parseFieldSelector,
  requiredFieldValue,
  requireSupportedFields,
  type FieldRequirement,
  type FieldSelector,
} from "./field-selector.ts";
export { validateLabels, validateLabelSelector } from "./validate.ts";
export * from "./names.ts";
