/** How records look in a message to people. */
import { MARK, type Operation, type Request, type Version, type WatchRequest, type WatchStream } from "./history.ts";

export function describeOperation({ client, server, key, request, invokedMs, answeredMs, outcome }: Operation): string {
  const until = answeredMs === Number.POSITIVE_INFINITY ? "…" : answeredMs.toFixed(1);
  return `${invokedMs.toFixed(1)}–${until} ms ${client} at ${server}: ${describeRequest(request)} ${key} → ${describeOutcome(outcome)}`;
}

export function describeStream({ id, watcher, server, request }: WatchStream): string {
  return `watch ${id} of ${watcher} at ${server} (${describeWatch(request)})`;
}

export function describeVersion({ fields, revision }: Partial<Version>): string {
  return `${fields?.[MARK] ?? "?"}@${revision ?? "?"}`;
}

function describeRequest(request: Request): string {
  const mark = "fields" in request ? ` ${request.fields[MARK] ?? ""}` : "";
  const uid = "uid" in request ? ` of uid ${request.uid}` : "";
  const revision = "revision" in request ? ` at revision ${request.revision}` : "";
  return `${request.verb}${mark}${uid}${revision}`;
}

function describeOutcome(outcome: Operation["outcome"]): string {
  switch (outcome.result) {
    case "done":
      return outcome.version ? describeVersion(outcome.version) : "done";
    case "refused":
      return `${outcome.code} ${outcome.reason}`;
    case "unknown":
      return `unknown (${outcome.why})`;
  }
}

function describeWatch({ revision, initial, selection }: WatchRequest): string {
  const labels = Object.entries(selection.labels ?? {}).map(([name, value]) => `${name}=${value}`);
  const parts = [
    revision === undefined ? "no revision" : `from ${revision}`,
    initial ? "with initial events" : "",
    ...labels,
    selection.name === undefined ? "" : `name ${selection.name}`,
  ];
  return parts.filter((part) => part !== "").join(", ");
}
