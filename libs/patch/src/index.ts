/**
 * The four ways to change a part of an object (JSON Patch, merge patch, strategic merge patch, server-side apply), and the
 * record of who owns which field.
 *
 * Promises: pure; inputs are never changed, results share what stays the same; bad patches end in a StatusError with
 *   upstream's text; no key (`__proto__`) reaches a prototype.
 * Does not promise: that a result is valid: decode, default and validate it like any input. Owners at other versions of
 *   a kind are compared by the paths they recorded; nothing is converted.
 * Limits: JSON Patch: 10,000 operations, 3 MiB of copies, the nesting that libs/api decodes. Input is expected to be
 *   nested no deeper than that.
 */
export { applyJsonPatch } from "./json-patch.ts";
export { applyMergePatch } from "./merge-patch.ts";
export { applyStrategicMergePatch } from "./strategic-merge-patch.ts";
export { applyConfiguration, applyConfigurationInSteps, type Applied } from "./apply-configuration.ts";
export { trackUpdate, trackUpdateInSteps, type Write } from "./ownership.ts";
export { fieldSetOf, type FieldSet } from "./field-set.ts";
export type { ManagedFieldsEntry } from "@pilothouse/api/types/meta-v1";
