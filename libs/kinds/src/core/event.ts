import type { Event } from "@pilothouse/api/types/core-v1";
import { shown, wide } from "../columns.ts";
import { ageOf } from "../duration.ts";
import { immutable, invalid, oneOf, required, sameValue, tooLong } from "../field-errors.ts";
import type { FieldErrors } from "../field-errors.ts";
import { ALL_VERBS, type KindDefinition } from "../kind.ts";

const MAX_TEXT_BYTES = 128;
const MAX_NOTE_BYTES = 1024;

export const event: KindDefinition<Event> = {
  group: "",
  version: "v1",
  kind: "Event",
  resource: "events",
  singular: "event",
  shortNames: ["ev"],
  categories: [],
  namespaced: true,
  verbs: ALL_VERBS,
  subresources: [],
  depth: "full",
  defaults: (event) => {
    event.involvedObject ??= {};
  },
  validate: (event) => [...rules(event)],
  validateUpdate: (event, old) => [...updateRules(event, old)],
  selectableFields: selectableFields,
  columns: [
    shown("Last Seen", (event, nowMs) => ageOf(lastSeen(event), nowMs), "Time of the last observation."),
    shown("Type", ({ type }) => type ?? "", "Normal or Warning."),
    shown("Reason", ({ reason }) => reason ?? "", "Why the event happened, in one word."),
    shown(
      "Object",
      ({ involvedObject }) => `${involvedObject.kind?.toLowerCase() ?? ""}/${involvedObject.name ?? ""}`,
      "What the event is about.",
    ),
    wide("Subobject", ({ involvedObject }) => involvedObject.fieldPath ?? "", "Which part of the object."),
    wide("Source", sourceText, "Who reported it."),
    shown("Message", ({ message }) => (message ?? "").trim(), "What happened."),
    wide("First Seen", (event, nowMs) => ageOf(firstSeen(event), nowMs), "Time of the first observation."),
    wide("Count", ({ count, series }) => series?.count ?? (count || 1), "How often it was observed.", "string"),
    wide("Name", ({ metadata }) => metadata.name ?? "", "Name of the event itself."),
  ],
  nameColumn: false,
  ageColumn: false,
};

function selectableFields(event: Event): Record<string, string> {
  const { involvedObject, source, reason, reportingComponent, type } = event;
  return {
    "involvedObject.kind": involvedObject.kind ?? "",
    "involvedObject.namespace": involvedObject.namespace ?? "",
    "involvedObject.name": involvedObject.name ?? "",
    "involvedObject.uid": involvedObject.uid ?? "",
    "involvedObject.apiVersion": involvedObject.apiVersion ?? "",
    "involvedObject.resourceVersion": involvedObject.resourceVersion ?? "",
    "involvedObject.fieldPath": involvedObject.fieldPath ?? "",
    reason: reason ?? "",
    reportingComponent: reportingComponent ?? "",
    source: source?.component || (reportingComponent ?? ""),
    type: type ?? "",
  };
}

/** An event lives in the namespace of what it is about; about a cluster-wide object, in `default`. */
function* rules(event: Event): FieldErrors {
  const { involvedObject, metadata, eventTime } = event;
  const namespace = metadata.namespace ?? "";
  const about = involvedObject.namespace ?? "";
  const atHome = about === "" ? namespace === "default" || namespace === "kube-system" : about === namespace;
  if (!atHome) yield invalid("involvedObject.namespace", about, "does not match event.namespace");

  // Events without eventTime are the older shape, which upstream does not judge further.
  if (eventTime === undefined) return;
  yield* textRules("reportingController", event.reportingComponent);
  yield* textRules("reportingInstance", event.reportingInstance);
  yield* textRules("action", event.action);
  yield* textRules("reason", event.reason);
  if (Buffer.byteLength(event.message ?? "") > MAX_NOTE_BYTES) yield tooLong("message", MAX_NOTE_BYTES);
  yield* oneOf("type", event.type, ["Normal", "Warning"]);
}

function* textRules(field: string, text: string | undefined): FieldErrors {
  if (!text) yield required(field);
  else if (Buffer.byteLength(text) > MAX_TEXT_BYTES) yield tooLong(field, MAX_TEXT_BYTES);
}

/** Once an event of the newer shape is written, only its series goes on. */
function* updateRules(event: Event, old: Event): FieldErrors {
  if (event.eventTime === undefined && old.eventTime === undefined) return;
  for (const field of [
    "involvedObject",
    "reason",
    "message",
    "source",
    "firstTimestamp",
    "lastTimestamp",
    "count",
    "type",
  ] as const) {
    yield* immutable(field, event[field], old[field]);
  }
  if (!sameValue(event.eventTime, old.eventTime)) yield* immutable("eventTime", event.eventTime, old.eventTime);
  yield* immutable("action", event.action, old.action);
  yield* immutable("related", event.related, old.related);
  yield* immutable("reportingController", event.reportingComponent, old.reportingComponent);
  yield* immutable("reportingInstance", event.reportingInstance, old.reportingInstance);
}

function firstSeen({ firstTimestamp, eventTime }: Event): string | undefined {
  return firstTimestamp || eventTime;
}

function lastSeen(event: Event): string | undefined {
  return event.series?.lastObservedTime || event.lastTimestamp || firstSeen(event);
}

function sourceText({ source, reportingComponent, reportingInstance }: Event): string {
  const component = source?.component || reportingComponent || "";
  const host = source?.host || reportingInstance || "";
  return host === "" ? component : `${component}, ${host}`;
}
