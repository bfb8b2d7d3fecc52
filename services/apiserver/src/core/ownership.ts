/** Who owns which field (metadata.managedFields), recorded from the first write on. */
import type { Steps } from "@pilothouse/api/steps";
import { fieldSetOf, trackUpdateInSteps, type Write } from "@pilothouse/patch";
import type { ApiObject, KindDefinition } from "@pilothouse/kinds/kind";
import { apiVersionOf, schemaOfKind } from "./wire.ts";

/** One write, as ownership sees it. */
export interface OwnedWrite {
  readonly kind: KindDefinition;
  readonly manager: string;
  /** "" for the main resource. */
  readonly subresource: string;
  /** RFC 3339, whole seconds. */
  readonly time: string;
}

const STATUS_FIELDS = fieldSetOf(["status"]);

/** Records in `object`'s managedFields that this write set what differs from `old`. In place. */
export function* recordUpdate(object: ApiObject, old: ApiObject | undefined, write: OwnedWrite): Steps<void> {
  const entries = yield* trackUpdateInSteps(old, object, ownershipOf(write));
  if (entries) object.metadata.managedFields = entries;
  else delete object.metadata.managedFields;
}

/** The write in the vocabulary of libs/patch: the main resource never owns a status that has a subresource of its own. */
export function ownershipOf({ kind, manager, subresource, time }: OwnedWrite): Write {
  const hasStatus = kind.subresources.some(({ name }) => name === "status");
  return {
    structure: schemaOfKind(kind),
    manager,
    apiVersion: apiVersionOf(kind),
    subresource,
    time,
    ...(hasStatus && subresource === "" ? { resetFields: STATUS_FIELDS } : {}),
  };
}
