/**
 * Content negotiation: which format a client wants, and whether as a Table, as metadata only, or as a discovery document.
 *
 * The first clause that is served wins (by q, then in the client's order); parameters come in any order and unknown ones are
 * ignored; a clause that asks for a transformation that is not served is passed over, not answered plainly.
 */
export type WireFormat = "json" | "yaml" | "protobuf";

/** What an object or list is turned into before it is sent. */
export interface Transform {
  readonly kind: TransformKind;
  readonly group: "meta.k8s.io" | "apidiscovery.k8s.io";
  readonly version: "v1" | "v1beta1" | "v2" | "v2beta1";
}

export type TransformKind = "Table" | "PartialObjectMetadata" | "PartialObjectMetadataList" | "APIGroupDiscoveryList";

export interface Negotiated {
  readonly format: WireFormat;
  readonly transform: Transform | undefined;
  /** `stream=watch` was asked for. */
  readonly isStream: boolean;
  readonly isPretty: boolean;
}

/** What an endpoint can answer with. */
export interface Served {
  /** In order of preference: the first answers a client that does not care. */
  readonly formats: readonly WireFormat[];
  readonly transforms: readonly TransformKind[];
}

/** Every built-in resource: get, list, watch and what patches answer. */
export const RESOURCE_MEDIA: Served = {
  formats: ["json", "yaml", "protobuf"],
  transforms: ["Table", "PartialObjectMetadata", "PartialObjectMetadataList"],
};

/** `/api` and `/apis`: aggregated when asked for. */
export const DISCOVERY_MEDIA: Served = { formats: ["json", "yaml"], transforms: ["APIGroupDiscoveryList"] };

export const MEDIA_TYPES: Readonly<Record<WireFormat, string>> = {
  json: "application/json",
  yaml: "application/yaml",
  protobuf: "application/vnd.kubernetes.protobuf",
};

/** For the texts of 406 and 415. */
export const ACCEPTED_MEDIA_TYPES: readonly string[] = Object.values(MEDIA_TYPES);

/** Undefined: nothing the client accepts is served (406). A missing or empty header accepts all. */
export function negotiate(accept: string | undefined, served: Served): Negotiated | undefined {
  if (accept === undefined || accept.trim() === "") return plain(served.formats[0]);
  for (const clause of parseAccept(accept)) {
    for (const format of served.formats) {
      const negotiated = matches(clause, format) ? accepted(clause, format, served) : undefined;
      if (negotiated) return negotiated;
    }
  }
  return undefined;
}

/** The format of a request body; undefined: not one that is decoded (415). No header means JSON. */
export function bodyFormat(contentType: string | undefined): WireFormat | undefined {
  const { type } = parseMediaType(contentType ?? "");
  if (type === "") return "json";
  return (Object.keys(MEDIA_TYPES) as WireFormat[]).find((format) => MEDIA_TYPES[format] === type);
}

/** The Content-Type of an answer. Discovery documents repeat what they are, or clients take them for the plain ones. */
export function contentTypeOf({ format, transform }: Negotiated, isWatch = false): string {
  const base = MEDIA_TYPES[format];
  if (isWatch && format === "protobuf") return `${base};stream=watch`;
  if (transform?.kind !== "APIGroupDiscoveryList") return base;
  return `${base};g=${transform.group};v=${transform.version};as=${transform.kind}`;
}

export interface MediaType {
  /** Lower case, without parameters: `application/json`. */
  readonly type: string;
  readonly parameters: ReadonlyMap<string, string>;
}

/** `application/json;as=Table;v=v1` in its parts. Never throws: what cannot be read is left out. */
export function parseMediaType(text: string): MediaType {
  const [type = "", ...parts] = text.split(";");
  const parameters = new Map<string, string>();
  for (const part of parts) {
    const at = part.indexOf("=");
    if (at < 0) continue;
    const value = part.slice(at + 1).trim();
    parameters.set(part.slice(0, at).trim().toLowerCase(), value.replace(/^"(.*)"$/, "$1"));
  }
  return { type: type.trim().toLowerCase(), parameters };
}

function parseAccept(accept: string): MediaType[] {
  const clauses = accept
    .split(",")
    .filter((clause) => clause !== "") // A header of nothing but commas is not worth a parse each.
    .map(parseMediaType)
    .filter(({ type }) => type !== "");
  return clauses.sort((a, b) => quality(b) - quality(a)).filter((clause) => quality(clause) > 0);
}

function quality({ parameters }: MediaType): number {
  const value = Number(parameters.get("q") ?? "1");
  return Number.isFinite(value) ? value : 1;
}

function matches({ type }: MediaType, format: WireFormat): boolean {
  return type === "*/*" || type === "application/*" || type === MEDIA_TYPES[format];
}

/** Undefined: this clause asks for more than is served. */
function accepted({ parameters }: MediaType, format: WireFormat, served: Served): Negotiated | undefined {
  const as = parameters.get("as");
  const transform = as === undefined ? undefined : transformOf(as, parameters);
  if (as !== undefined) {
    if (!transform || !served.transforms.includes(transform.kind)) return undefined;
    if (transform.kind === "Table" && format === "protobuf") return undefined;
  }
  const stream = parameters.get("stream") ?? "";
  if (stream !== "" && stream !== "watch") return undefined;
  return { format, transform, isStream: stream === "watch", isPretty: parameters.get("pretty") === "1" };
}

function transformOf(kind: string, parameters: ReadonlyMap<string, string>): Transform | undefined {
  const group = parameters.get("g");
  const version = parameters.get("v");
  return TRANSFORMS.find((known) => known.kind === kind && known.group === group && known.version === version);
}

const TRANSFORMS: readonly Transform[] = [
  { kind: "Table", group: "meta.k8s.io", version: "v1" },
  { kind: "Table", group: "meta.k8s.io", version: "v1beta1" },
  { kind: "PartialObjectMetadata", group: "meta.k8s.io", version: "v1" },
  { kind: "PartialObjectMetadataList", group: "meta.k8s.io", version: "v1" },
  { kind: "APIGroupDiscoveryList", group: "apidiscovery.k8s.io", version: "v2" },
  { kind: "APIGroupDiscoveryList", group: "apidiscovery.k8s.io", version: "v2beta1" },
];

function plain(format: WireFormat | undefined): Negotiated | undefined {
  return format && { format, transform: undefined, isStream: false, isPretty: false };
}
