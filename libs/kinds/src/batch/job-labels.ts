/** What ties pods to the Job that made them. */
import type { Job } from "@pilothouse/api/types/batch-v1";
import { invalid, required } from "../field-errors.ts";
import type { FieldErrors } from "../field-errors.ts";
import { labelSelectorOf, matchesLabels } from "@pilothouse/selectors";

export const JOB_NAME = "batch.kubernetes.io/job-name";
export const CONTROLLER_UID = "batch.kubernetes.io/controller-uid";
/** The names of these labels before labels of Kubernetes had a prefix. */
const LEGACY_JOB_NAME = "job-name";
const LEGACY_CONTROLLER_UID = "controller-uid";

/**
 * Unless the user selects by hand: labels for the pods, and a selector for the Job's uid. What the user set stays; where that
 * contradicts, validation says so. A Job without labels of its own gets its pods'. In place.
 */
export function generateSelector({ metadata, spec }: Job): void {
  if (spec.manualSelector === true) return;
  spec.template.metadata ??= {};
  spec.template.metadata.labels = { ...generatedLabels(metadata), ...spec.template.metadata.labels };
  spec.selector ??= {};
  spec.selector.matchLabels = { [CONTROLLER_UID]: metadata.uid ?? "", ...spec.selector.matchLabels };
}

/** Labels that hold the name the Job would have had hold its name. In place. */
export function renameLabels({ metadata, spec }: Job, before: string): void {
  for (const labels of [metadata.labels, spec.template.metadata?.labels])
    for (const key of [LEGACY_JOB_NAME, JOB_NAME]) if (labels?.[key] === before) labels[key] = metadata.name ?? "";
}

export function* generatedSelectorRules({ metadata, spec }: Job): FieldErrors {
  if (spec.manualSelector === true || !spec.selector) return;
  const labels = spec.template.metadata?.labels ?? {};
  if (!metadata.uid) yield required("metadata.uid");
  const expected = generatedLabels(metadata);
  for (const [key, value] of Object.entries(expected)) {
    const field = `spec.template.metadata.labels[${key}]`;
    if (labels[key] === undefined) yield required(field, `must be '${value}'`);
    else if (labels[key] !== value) yield invalid(field, labels, `must be '${value}'`);
  }
  if (!selects(spec.selector, expected)) yield invalid("spec.selector", spec.selector, "`selector` not auto-generated");
}

/** A selector that cannot be read is told of elsewhere. */
export function selects(
  selector: NonNullable<Job["spec"]["selector"]>,
  labels: Readonly<Record<string, string>>,
): boolean {
  try {
    return matchesLabels(labelSelectorOf(selector), labels);
  } catch {
    return true;
  }
}

function generatedLabels({ name = "", uid = "" }: Job["metadata"]): Record<string, string> {
  return { [LEGACY_CONTROLLER_UID]: uid, [LEGACY_JOB_NAME]: name, [CONTROLLER_UID]: uid, [JOB_NAME]: name };
}
