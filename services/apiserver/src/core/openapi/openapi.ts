/**
 * The published description of the API: OpenAPI v3 per group version, OpenAPI v2 in JSON and protobuf, of exactly the kinds that
 * are served (wire traps 1 to 6). Pure; each document is made when first asked for and kept as bytes.
 */
import type { KindDefinition } from "@pilothouse/kinds/kind";
import { parseMediaType } from "@pilothouse/api/media";
import { basePath, operationsOf, type Operation } from "./operations.ts";
import { v2Document, v3Document } from "./documents.ts";
import { v2DocumentProtobuf } from "./protobuf-v2.ts";
import { v3DocumentProtobuf } from "./protobuf-v3.ts";

export interface OpenApiOptions {
  readonly kinds: readonly KindDefinition[];
  /** e.g. `v1.36.0` */
  readonly version: string;
  /** Lower-case hex of the content's digest: equal content has equal hashes on every apiserver. */
  readonly sha256Hex: (bytes: Uint8Array) => string;
}

export interface OpenApiRequest {
  /** `/openapi/v2`, `/openapi/v3`, `/openapi/v3/apis/apps/v1` */
  readonly path: string;
  /** Of the query parameter `hash`. */
  readonly hash: string | null;
  readonly accept: string | undefined;
  readonly ifNoneMatch: string | undefined;
}

export interface OpenApiAnswer {
  readonly status: 200 | 301 | 304 | 406;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
}

export interface OpenApi {
  /** Undefined: there is no such document. */
  answer(request: OpenApiRequest): OpenApiAnswer | undefined;
  /** Makes the v3 documents one a step, so that a caller can yield in between: the first index would take 80 ms at once. */
  warmUp(): Iterable<void>;
}

export function openApi(options: OpenApiOptions): OpenApi {
  const documents = new Documents(options);
  return {
    answer(request) {
      if (request.path === "/openapi/v2" || request.path === "/swagger-2.0.0.pb-v1")
        return v2Answer(documents, request);
      if (request.path === "/openapi/v3" || request.path === "/openapi/v3/") return v3IndexAnswer(documents, request);
      return v3Answer(documents, request);
    },
    *warmUp() {
      for (const groupVersion of documents.groupVersions) yield void documents.v3(groupVersion);
    },
  };
}

interface Document {
  readonly bytes: Uint8Array;
  /** Upper-case, as upstream writes it. */
  readonly hash: string;
}

class Documents {
  readonly #options: OpenApiOptions;
  readonly #operations: readonly Operation[];
  readonly #made = new Map<string, Document>();
  /** `api/v1`, `apis/apps/v1`, sorted. */
  readonly groupVersions: readonly string[];

  constructor(options: OpenApiOptions) {
    this.#options = options;
    this.#operations = operationsOf(options.kinds);
    this.groupVersions = [...new Set(options.kinds.map((kind) => basePath(kind).slice(1)))].sort();
  }

  v2Json(): Document {
    return this.#make("v2 json", () => encodeJson(v2Document(this.#operations, this.#options.version)));
  }

  v2Protobuf(): Document {
    return this.#make("v2 protobuf", () => v2DocumentProtobuf(v2Document(this.#operations, this.#options.version)));
  }

  v3Index(): Document {
    return this.#make("v3", () => {
      const entries = this.groupVersions.map((name) => {
        const serverRelativeURL = `/openapi/v3/${name}?hash=${this.v3(name)?.hash}`;
        return [name, { serverRelativeURL }];
      });
      return encodeJson({ paths: Object.fromEntries(entries) });
    });
  }

  v3(groupVersion: string): Document | undefined {
    if (!this.groupVersions.includes(groupVersion)) return undefined;
    const own = (): readonly Operation[] => this.#operationsOf(groupVersion);
    return this.#make(`v3 ${groupVersion}`, () => encodeJson(v3Document(own(), this.#options.version)));
  }

  /** The same; what is kept by its hash in a URL is kept by the hash of the JSON, whichever form is asked for. */
  v3Protobuf(groupVersion: string): Document | undefined {
    if (!this.groupVersions.includes(groupVersion)) return undefined;
    return this.#make(`v3 protobuf ${groupVersion}`, () =>
      v3DocumentProtobuf(v3Document(this.#operationsOf(groupVersion), this.#options.version)),
    );
  }

  #operationsOf(groupVersion: string): readonly Operation[] {
    return this.#operations.filter(({ path }) => path.startsWith(`/${groupVersion}/`));
  }

  #make(name: string, make: () => Uint8Array): Document {
    const known = this.#made.get(name);
    if (known) return known;
    const bytes = make();
    const made = { bytes, hash: this.#options.sha256Hex(bytes).toUpperCase() };
    this.#made.set(name, made);
    return made;
  }
}

const V2_PROTOBUF = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
/** How old clients spell it; it is no valid media type. */
const V2_PROTOBUF_OLD = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
const V3_PROTOBUF = "application/com.github.proto-openapi.spec.v3.v1.0+protobuf";
const V3_PROTOBUF_OLD = "application/com.github.proto-openapi.spec.v3@v1.0+protobuf";

function v2Answer(documents: Documents, request: OpenApiRequest): OpenApiAnswer {
  const format = request.path === "/openapi/v2" ? formatOf(request.accept, [V2_PROTOBUF, V2_PROTOBUF_OLD]) : "protobuf";
  if (!format) return { status: 406, headers: {}, body: new Uint8Array() };
  const document = format === "json" ? documents.v2Json() : documents.v2Protobuf();
  return found(document, format === "json" ? "application/json" : V2_PROTOBUF, request.ifNoneMatch);
}

function formatOf(accept: string | undefined, protobuf: readonly string[]): "json" | "protobuf" | undefined {
  for (const clause of (accept || "*/*").split(",")) {
    const { type } = parseMediaType(clause);
    if (protobuf.includes(type)) return "protobuf";
    if (isJson(type)) return "json";
  }
  return undefined;
}

function v3IndexAnswer(documents: Documents, { accept, ifNoneMatch }: OpenApiRequest): OpenApiAnswer {
  if (!acceptsJson(accept)) return { status: 406, headers: {}, body: new Uint8Array() };
  return found(documents.v3Index(), "application/json", ifNoneMatch);
}

function v3Answer(documents: Documents, request: OpenApiRequest): OpenApiAnswer | undefined {
  const groupVersion = request.path.slice("/openapi/v3/".length);
  const document = documents.v3(groupVersion);
  if (!document) return undefined;
  const format = formatOf(request.accept, [V3_PROTOBUF, V3_PROTOBUF_OLD]);
  if (!format) return { status: 406, headers: {}, body: new Uint8Array() };
  if (request.hash !== null && request.hash !== "" && request.hash !== document.hash) {
    // a client keeps what it gets under this URL for a year: never another content than it names
    const location = `/openapi/v3/${groupVersion}?hash=${document.hash}`;
    return { status: 301, headers: { location, ...REVALIDATE }, body: new Uint8Array() };
  }
  const shown = format === "json" ? document : (documents.v3Protobuf(groupVersion) ?? document);
  const answer = found(shown, format === "json" ? "application/json" : V3_PROTOBUF, request.ifNoneMatch);
  return request.hash === document.hash ? { ...answer, headers: { ...answer.headers, ...IMMUTABLE } } : answer;
}

const REVALIDATE = { "cache-control": "no-cache, private" };
const IMMUTABLE = { "cache-control": "public, immutable, max-age=31536000" };

function found(document: Document, contentType: string, ifNoneMatch: string | undefined): OpenApiAnswer {
  const etag = `"${document.hash}"`;
  const headers = { ...REVALIDATE, etag, vary: "Accept" };
  if (matchesEtag(ifNoneMatch, etag)) return { status: 304, headers, body: new Uint8Array() };
  return { status: 200, headers: { ...headers, "content-type": contentType }, body: document.bytes };
}

/** By `If-None-Match`, which may list several. */
export function matchesEtag(ifNoneMatch: string | undefined, etag: string): boolean {
  const tags = (ifNoneMatch ?? "").split(",").map((tag) => tag.trim().replace(/^W\//, ""));
  return tags.includes(etag) || tags.includes("*");
}

function acceptsJson(accept: string | undefined): boolean {
  return (accept || "*/*").split(",").some((clause) => isJson(parseMediaType(clause).type));
}

function isJson(type: string): boolean {
  return type === "application/json" || type === "application/*" || type === "*/*";
}

function encodeJson(value: unknown): Uint8Array {
  return Buffer.from(JSON.stringify(value));
}
