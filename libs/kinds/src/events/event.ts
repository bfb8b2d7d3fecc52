/** events.k8s.io/v1: the same events as the core API's, in the newer shape, and with stricter rules for who writes them so. */
import type { Event } from "@pilothouse/api/types/core-v1";
import { event } from "../core/event.ts";
import { firstErrors, immutable, invalid, required, sameValue } from "../field-errors.ts";
import type { FieldErrors } from "../field-errors.ts";
import type { ApiObject, KindDefinition } from "../kind.ts";

/** What a field is called here, and where it is stored. The rest are called alike. */
const RENAMED: readonly (readonly [here: string, stored: string])[] = [
  ["regarding", "involvedObject"],
  ["note", "message"],
  ["reportingController", "reportingComponent"],
  ["deprecatedSource", "source"],
  ["deprecatedFirstTimestamp", "firstTimestamp"],
  ["deprecatedLastTimestamp", "lastTimestamp"],
  ["deprecatedCount", "count"],
];

/** What no update in this version changes, by the names that upstream's errors give. */
const FIXED: readonly (readonly [field: keyof Event, told: string])[] = [
  ["involvedObject", "involvedObject"],
  ["reason", "reason"],
  ["message", "message"],
  ["source", "source"],
  ["firstTimestamp", "firstTimestamp"],
  ["lastTimestamp", "lastTimestamp"],
  ["count", "count"],
  ["reason", "reason"],
  ["type", "type"],
  ["eventTime", "eventTime"],
  ["action", "action"],
  ["related", "related"],
  ["reportingComponent", "reportingController"],
  ["reportingInstance", "reportingInstance"],
];

const { defaults: _defaults, validate: _validate, selectableFields: _fields, ...core } = event;

/** Its columns are the core kind's, made of the stored shape. */
export const eventView: KindDefinition = {
  ...(core as unknown as KindDefinition),
  group: "events.k8s.io",
  view: {
    of: event as unknown as KindDefinition,
    toStored: (object) => ({ ...renamed(object, RENAMED), apiVersion: "v1" }),
    fromStored: (object) => ({
      ...renamed(
        object,
        RENAMED.map(([here, stored]) => [stored, here]),
      ),
      apiVersion: "events.k8s.io/v1",
    }),
    selectableFields: {
      reason: "reason",
      "regarding.kind": "involvedObject.kind",
      "regarding.namespace": "involvedObject.namespace",
      "regarding.name": "involvedObject.name",
      "regarding.uid": "involvedObject.uid",
      "regarding.apiVersion": "involvedObject.apiVersion",
      "regarding.resourceVersion": "involvedObject.resourceVersion",
      "regarding.fieldPath": "involvedObject.fieldPath",
      reportingController: "reportingComponent",
      type: "type",
    },
    validate: (stored) => firstErrors(createRules(stored as unknown as Event)),
    validateUpdate: (stored, old) => firstErrors(updateRules(stored as unknown as Event, old as unknown as Event)),
  },
};

function renamed(object: ApiObject, names: readonly (readonly [string, string])[]): ApiObject {
  const result: ApiObject = { ...object };
  for (const [from, to] of names) {
    if (!Object.hasOwn(object, from)) continue;
    result[to] = object[from];
    delete result[from];
  }
  return result;
}

/** Told of the stored fields' names, as upstream does. */
function* createRules(event: Event): FieldErrors {
  yield* seriesRules(event);
  const { eventTime, type, firstTimestamp, lastTimestamp, count, source } = event;
  if (!eventTime) yield required("eventTime");
  if (type !== "Normal" && type !== "Warning") yield invalid("type", "", `has invalid value: ${type ?? ""}`);
  const unset = { firstTimestamp, lastTimestamp, count, source: source?.component || source?.host };
  for (const [field, value] of Object.entries(unset)) if (value) yield invalid(field, "", "needs to be unset");
}

function* updateRules(event: Event, old: Event): FieldErrors {
  if (!sameValue(event.series, old.series)) yield* seriesRules(event);
  for (const [field, told] of FIXED) {
    if (!sameValue(event[field] || undefined, old[field] || undefined))
      yield* immutable(told, event[field], old[field]);
  }
}

function* seriesRules({ series }: Event): FieldErrors {
  if (!series) return;
  if ((series.count ?? 0) < 2) yield invalid("series.count", "", "should be at least 2");
  if (!series.lastObservedTime) yield required("series.lastObservedTime");
}
