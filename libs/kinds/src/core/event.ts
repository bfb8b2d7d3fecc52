import type { Event } from "@pilothouse/api/types/core-v1";
import { checkQualifiedName } from "@pilothouse/selectors/names";
import { shown, wide } from "../columns.ts";
import { ageOf } from "../duration.ts";
import { firstErrors, invalid, invalidEach, required } from "../field-errors.ts";
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
  validate: (event) => firstErrors(rules(event)),
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

/**
 * What the core API asks of an event; it lets clients change what they like. Those with eventTime are of the newer
 * shape, which says more of who reports what.
 */
function* rules(event: Event): FieldErrors {
  const about = event.involvedObject.namespace ?? "";
  const namespace = event.metadata.namespace ?? "";
  if (!isAtHome(about, namespace, event.eventTime !== undefined)) {
    yield invalid("involvedObject.namespace", about, "does not match event.namespace");
  }
  if (event.eventTime === undefined) return;
  if (!event.reportingComponent) yield required("reportingController");
  yield* invalidEach(
    "reportingController",
    event.reportingComponent ?? "",
    checkQualifiedName(event.reportingComponent ?? ""),
  );
  for (const field of ["reportingInstance", "action", "reason"] as const) {
    if (!event[field]) yield required(field);
    yield* lengthRules(field, event[field], MAX_TEXT_BYTES);
  }
  yield* lengthRules("message", event.message, MAX_NOTE_BYTES);
}

/** Beside what it is about; about an object of the whole cluster, in `default` (newer ones: or in kube-system). */
function isAtHome(about: string, namespace: string, isNewer: boolean): boolean {
  if (about === "") return namespace === "default" || (isNewer && namespace === "kube-system");
  return isNewer || about === namespace;
}

function* lengthRules(field: string, text: string | undefined, max: number): FieldErrors {
  if (Buffer.byteLength(text ?? "") > max) yield invalid(field, "", `can have at most ${max} characters`);
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
