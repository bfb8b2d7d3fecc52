import { StatusError, type StatusCause } from "@pilothouse/errors";
import type { Manager } from "./managers.ts";

/** A field that another manager owns with another value. */
export interface Conflict {
  readonly id: string;
  readonly manager: Manager;
  readonly path: string;
}

/** @throws StatusError 409 with a cause for each */
export function refuseConflicts(conflicts: readonly Conflict[]): void {
  if (conflicts.length === 0) return;
  const causes: StatusCause[] = conflicts.map(({ manager, path }) => ({
    reason: "FieldManagerConflict",
    message: `conflict with ${printManager(manager)}`,
    field: path,
  }));
  throw new StatusError(409, "Conflict", conflictText(conflicts), { causes });
}

function conflictText(conflicts: readonly Conflict[]): string {
  const [first] = conflicts;
  if (conflicts.length === 1 && first)
    return `Apply failed with 1 conflict: conflict with ${printManager(first.manager)}: ${first.path}`;
  const lines = [...Map.groupBy(conflicts, ({ id }) => id).values()].flatMap((group) => [
    `conflicts with ${printManager((group[0] as Conflict).manager)}:`,
    ...group.map(({ path }) => `- ${path}`),
  ]);
  return `Apply failed with ${conflicts.length} conflicts: ${lines.join("\n")}`;
}

/** `"kubectl" with subresource "scale" using apps/v1` */
function printManager({ name, operation, apiVersion, subresource }: Manager): string {
  const who =
    subresource === undefined ? JSON.stringify(name) : `${JSON.stringify(name)} with subresource "${subresource}"`;
  return operation === "Update" ? `${who} using ${apiVersion}` : who;
}
