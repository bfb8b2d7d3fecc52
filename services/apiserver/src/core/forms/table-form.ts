/** Objects as rows of a table, which is how kubectl prints what it does not know (wire traps 19 to 21). */
import { jsonWatchFrame } from "@pilothouse/api/codec/watch-frame";
import { MEDIA_TYPES } from "@pilothouse/api/media";
import { badRequest } from "@pilothouse/errors";
import type { ApiObject, KindDefinition } from "@pilothouse/kinds/kind";
import { INITIAL_EVENTS_END, jsonError, jsonList, parsed, type Form, type Shown } from "./form.ts";
import { columnDefinitions, rowCells } from "./table.ts";

export interface TableRequest {
  readonly kind: KindDefinition;
  /** `meta.k8s.io/v1` or `…/v1beta1`. */
  readonly apiVersion: string;
  /** What each row carries of its object: None, Metadata (the default) or Object. */
  readonly includeObject: string | null;
  /** For ages. */
  readonly nowMs: number;
  /** How a row's whole object is shown, where it is not as it is stored. */
  readonly project?: ((object: ApiObject) => ApiObject) | undefined;
}

/** @throws StatusError 400 */
export function tableForm({ kind, apiVersion, includeObject, nowMs, project }: TableRequest): Form {
  const include = includeObject || "Metadata";
  if (include !== "None" && include !== "Metadata" && include !== "Object")
    throw badRequest(`unrecognized includeObject value: ${JSON.stringify(include)}`);
  const definitions = columnDefinitions(kind);
  const typeMeta = { kind: "Table", apiVersion };

  const rowText = (shown: Shown): string => {
    const object = parsed(shown);
    return JSON.stringify({
      cells: rowCells(kind, object, nowMs),
      object: rowObject(project && include === "Object" ? project(object) : object, include, apiVersion),
    });
  };
  const table = (metadata: object, withColumns: boolean, rows: string): Uint8Array => {
    const start = JSON.stringify({ ...typeMeta, metadata, columnDefinitions: withColumns ? definitions : null });
    return Buffer.from(`${start.slice(0, -1)},"rows":[${rows}]}`);
  };
  const ofOne = (shown: Shown, withColumns: boolean): Uint8Array => {
    const { resourceVersion } = parsed(shown).metadata;
    return table({ resourceVersion }, withColumns, rowText(shown));
  };
  return {
    // Ages are told as of the request.
    shareKey: undefined,
    changeShareKey: undefined,
    contentType: MEDIA_TYPES.json,
    watchContentType: MEDIA_TYPES.json,
    object: (shown) => ofOne(shown, true),
    item: (shown) => Buffer.from(rowText(shown)),
    list: jsonList((metadata) => ({ ...typeMeta, metadata, columnDefinitions: definitions }), "rows", false),
    event: (type, shown, isFirst) => jsonWatchFrame(type, ofOne(shown, isFirst)),
    bookmark: (resourceVersion, initialEventsEnd) => {
      const annotations = initialEventsEnd ? { annotations: { [INITIAL_EVENTS_END]: "true" } } : {};
      const object = { kind: kind.kind, apiVersion, metadata: { resourceVersion, ...annotations } };
      const row = JSON.stringify({ cells: [], object: { ...object, kind: "PartialObjectMetadata" } });
      return jsonWatchFrame("BOOKMARK", table({ resourceVersion }, false, row));
    },
    error: jsonError,
  };
}

/** A row's object has a kind, or kubectl prints no name (wire trap 20). */
function rowObject(object: ApiObject, include: "None" | "Metadata" | "Object", apiVersion: string): ApiObject | null {
  switch (include) {
    case "None":
      return null;
    case "Metadata":
      return { kind: "PartialObjectMetadata", apiVersion, metadata: object.metadata };
    case "Object":
      return object;
  }
}
