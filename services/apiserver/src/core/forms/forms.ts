/** Which form a request asks for: objects as they are, metadata only, or table rows; in JSON, YAML or protobuf. */
import { encodeYaml } from "@pilothouse/api/codec/yaml";
import { encodeMessage } from "@pilothouse/api/codec/protobuf-encode";
import { encodeProtobuf, envelopeOf } from "@pilothouse/api/codec/protobuf";
import { jsonWatchFrame, protobufWatchFrame } from "@pilothouse/api/codec/watch-frame";
import { MEDIA_TYPES, negotiate, RESOURCE_MEDIA, type Served, type WireFormat } from "@pilothouse/api/media";
import { schemaOf, type StructureSchema } from "@pilothouse/api/schema";
import { formatTraceparent } from "@pilothouse/api/trace-context";
import { notAcceptable } from "@pilothouse/errors";
import { storedKindOf, type ApiObject, type KindDefinition } from "@pilothouse/kinds/kind";
import {
  INITIAL_EVENTS_END,
  jsonError,
  jsonList,
  NOTHING,
  parsed,
  type Form,
  type ListForm,
  type Shown,
} from "./form.ts";
import { tableForm } from "./table-form.ts";
import { apiVersionOf, canonical } from "../wire.ts";

export type FormVerb = "get" | "list" | "watch";

/** Our own clients send it with `true`: each event of a JSON watch then names the trace of its cause. */
export const EVENT_TRACES_HEADER = "pilothouse-event-traces";

/**
 * The form that a request asks for by its Accept header.
 *
 * @throws StatusError 406
 */
export function formOf(
  kind: KindDefinition,
  accept: string | undefined,
  query: URLSearchParams,
  verb: FormVerb,
  nowMs: number,
): Form {
  const served = verb === "watch" ? WATCH_MEDIA : RESOURCE_MEDIA;
  const negotiated = negotiate(accept, served);
  if (!negotiated) throw notAcceptable(served.formats.map((format) => MEDIA_TYPES[format]));
  const { format, transform } = negotiated;
  if (!transform) return objectForm(format, plainType(kind));
  const apiVersion = `${transform.group}/${transform.version}`;
  return transform.kind === "Table"
    ? tableForm({
        kind: storedKindOf(kind),
        apiVersion,
        includeObject: query.get("includeObject"),
        nowMs,
        project: projectionOf(kind),
      })
    : objectForm(format, partialType(apiVersion));
}

const WATCH_MEDIA: Served = { ...RESOURCE_MEDIA, formats: ["json", "protobuf"] };

/** What objects are shown as. */
interface ShownType {
  readonly apiVersion: string;
  readonly kind: string;
  /** Undefined: the stored bytes are what is shown. */
  readonly project: ((object: ApiObject) => ApiObject) | undefined;
}

function plainType(kind: KindDefinition): ShownType {
  return { apiVersion: apiVersionOf(kind), kind: kind.kind, project: projectionOf(kind) };
}

/** Undefined for kinds that are shown as they are stored. */
function projectionOf(kind: KindDefinition): ShownType["project"] {
  const { view } = kind;
  return view && ((object) => canonical(view.fromStored(object), kind));
}

function partialType(apiVersion: string): ShownType {
  const kind = "PartialObjectMetadata";
  return { apiVersion, kind, project: ({ metadata }) => ({ kind, apiVersion, metadata }) };
}

function objectForm(format: WireFormat, type: ShownType): Form {
  switch (format) {
    case "json":
      return jsonForm(type);
    case "yaml":
      return yamlForm(type);
    case "protobuf":
      return protobufForm(type);
  }
}

function jsonForm(type: ShownType): Form {
  const { project } = type;
  const item = project
    ? (shown: Shown) => Buffer.from(JSON.stringify(project(parsed(shown))))
    : ({ bytes }: Shown) => bytes;
  return {
    shareKey: project && `json ${type.apiVersion}`,
    changeShareKey: `json ${type.apiVersion}`,
    contentType: MEDIA_TYPES.json,
    watchContentType: MEDIA_TYPES.json,
    object: item,
    item,
    list: jsonList(
      (metadata) => ({ kind: `${type.kind}List`, apiVersion: type.apiVersion, metadata }),
      "items",
      !project,
    ),
    event: (eventType, shown) => jsonWatchFrame(eventType, item(shown)),
    bookmark: (resourceVersion, end) =>
      jsonWatchFrame("BOOKMARK", Buffer.from(JSON.stringify(bookmarkOf(type, resourceVersion, end)))),
    error: jsonError,
  };
}

/** A JSON watch whose events carry the trace of their cause (invariant 6). */
export function withEventTraces(form: Form): Form {
  if (form.watchContentType !== MEDIA_TYPES.json) return form;
  return {
    ...form,
    shareKey: form.shareKey && `${form.shareKey} traced`,
    changeShareKey: form.changeShareKey && `${form.changeShareKey} traced`,
    event: (eventType, shown) =>
      jsonWatchFrame(eventType, form.item(shown), shown.trace && formatTraceparent(shown.trace)),
  };
}

function yamlForm(type: ShownType): Form {
  const json = jsonForm(type);
  const { apiVersion, kind } = type;
  return {
    ...json,
    shareKey: undefined,
    contentType: MEDIA_TYPES.yaml,
    object: (shown) => encodeYaml(parsed({ bytes: json.object(shown) })),
    item: (shown) => encodeYaml([parsed({ bytes: json.item(shown) })]),
    list: {
      isMeasured: false,
      lead: () => NOTHING,
      // In the order of the alphabet, as Go writes maps.
      around: (metadata, count) => ({
        head: Buffer.from(`apiVersion: ${apiVersion}\nitems:${count === 0 ? " []" : ""}\n`),
        tail: encodeYaml({ kind: `${kind}List`, metadata }),
      }),
    },
  };
}

function protobufForm(type: ShownType): Form {
  const schema = schemaNamed(type.apiVersion, type.kind);
  const shownObject = (shown: Shown): ApiObject => type.project?.(parsed(shown)) ?? parsed(shown);
  const enveloped = (shown: Shown): Uint8Array => encodeProtobuf(shownObject(shown), schema);
  return {
    shareKey: `protobuf ${type.apiVersion} ${type.kind}`,
    changeShareKey: `protobuf ${type.apiVersion} ${type.kind}`,
    contentType: MEDIA_TYPES.protobuf,
    watchContentType: `${MEDIA_TYPES.protobuf};stream=watch`,
    object: enveloped,
    item: (shown) => encodeMessage(shownObject(shown), schema),
    list: protobufList(type),
    event: (eventType, shown) => protobufWatchFrame(eventType, enveloped(shown)),
    bookmark: (resourceVersion, end) =>
      protobufWatchFrame("BOOKMARK", encodeProtobuf(bookmarkOf(type, resourceVersion, end), schema)),
    error: (status) =>
      protobufWatchFrame(
        "ERROR",
        encodeProtobuf({ ...status, kind: "Status", apiVersion: "v1" }, schemaNamed("v1", "Status")),
      ),
  };
}

/** Lists are {1: metadata, 2: items} in every group: encoded elements follow the encoded metadata. */
function protobufList({ apiVersion, kind }: ShownType): ListForm {
  const listKind = `${kind}List`;
  return {
    isMeasured: true,
    lead: (item) => Uint8Array.of(ITEMS_TAG, ...varint(item.length)),
    around: (metadata, _count, itemsBytes) => {
      const listMeta = encodeMessage({ metadata }, schemaNamed(apiVersion, listKind));
      const { head, tail } = envelopeOf(apiVersion, listKind, listMeta.length + itemsBytes);
      return { head: Buffer.concat([head, listMeta]), tail };
    },
  };
}

/** Field 2, length-delimited. */
const ITEMS_TAG = 0x12;

function varint(value: number): readonly number[] {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes.push((rest % 0x80) + 0x80);
  return [...bytes, rest];
}

function bookmarkOf(type: ShownType, resourceVersion: string, initialEventsEnd: boolean): ApiObject {
  const annotations = initialEventsEnd ? { annotations: { [INITIAL_EVENTS_END]: "true" } } : {};
  return { kind: type.kind, apiVersion: type.apiVersion, metadata: { resourceVersion, ...annotations } };
}

function schemaNamed(apiVersion: string, kind: string): StructureSchema {
  const schema = schemaOf(apiVersion, kind);
  if (!schema) throw new Error(`no structure is known for ${apiVersion} ${kind}`);
  return schema;
}
