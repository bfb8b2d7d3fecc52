import { createHash } from "node:crypto";
import { kinds } from "@pilothouse/kinds";
import { describe, expect, it } from "vitest";
import { openApi, type OpenApiAnswer } from "./openapi.ts";

const sha256Hex = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
const api = openApi({ kinds, version: "v1.36.0", sha256Hex });

type Json = Record<string, unknown>;

function ask(path: string, more: { hash?: string; accept?: string; ifNoneMatch?: string } = {}): OpenApiAnswer {
  const { hash = null, accept, ifNoneMatch } = more;
  return api.answer({ path, hash, accept, ifNoneMatch }) as OpenApiAnswer;
}

function json(answer: OpenApiAnswer): Json {
  return JSON.parse(Buffer.from(answer.body).toString()) as Json;
}

describe("what kubectl apply needs (wire traps 1 and 2)", () => {
  const { paths } = json(ask("/openapi/v3/apis/apps/v1")) as { paths: Record<string, Record<string, Json>> };
  const patches = Object.entries(paths).filter(([, item]) => item["patch"]);

  it("every PATCH operation names fieldValidation itself, its kind as one object, and strategic merge", () => {
    expect(patches.length).toBeGreaterThan(8);
    for (const [, { patch }] of patches) {
      expect(patch?.["parameters"]).toContainEqual(expect.objectContaining({ name: "fieldValidation", in: "query" }));
      expect(patch?.["x-kubernetes-group-version-kind"]).toHaveProperty("kind");
      expect(patch).toHaveProperty(["requestBody", "content", "application/strategic-merge-patch+json"]);
    }
  });

  it("schemas carry their kinds as an array", () => {
    const { components } = json(ask("/openapi/v3/apis/apps/v1")) as unknown as {
      components: { schemas: Record<string, Json> };
    };
    expect(components.schemas["io.k8s.api.apps.v1.Deployment"]?.["x-kubernetes-group-version-kind"]).toEqual([
      { group: "apps", kind: "Deployment", version: "v1" },
    ]);
  });
});

describe("the v3 index (wire traps 4 and 5)", () => {
  const index = json(ask("/openapi/v3", { accept: "application/json, */*" })) as {
    paths: Record<string, { serverRelativeURL: string }>;
  };
  const hash = index.paths["api/v1"]?.serverRelativeURL.split("hash=")[1] as string;

  it("names each group version with the hash of its content, equal on all apiservers", () => {
    expect(Object.keys(index.paths)).toContain("apis/apps/v1");
    const other = openApi({ kinds, version: "v1.36.0", sha256Hex });
    const request = { path: "/openapi/v3", hash: null, accept: undefined, ifNoneMatch: undefined };
    expect(other.answer(request)?.headers["etag"]).toBe(ask("/openapi/v3").headers["etag"]);
  });

  it("the right hash may be kept for a year, a stale one is sent on", () => {
    expect(ask("/openapi/v3/api/v1", { hash }).headers["cache-control"]).toBe("public, immutable, max-age=31536000");
    const stale = ask("/openapi/v3/api/v1", { hash: "OLD" });
    expect(stale.status).toBe(301);
    expect(stale.headers["location"]).toBe(`/openapi/v3/api/v1?hash=${hash}`);
    expect(ask("/openapi/v3/api/v1").headers["cache-control"]).toBe("no-cache, private");
  });

  it("answers 304 to a known ETag, and nothing for an unknown group version", () => {
    const { etag } = ask("/openapi/v3/api/v1").headers;
    expect(etag).toBe(`"${hash}"`);
    expect(ask("/openapi/v3/api/v1", { ifNoneMatch: etag as string })).toMatchObject({
      status: 304,
      headers: { vary: "Accept" },
    });
    expect(ask("/openapi/v3/apis/nosuch/v1")).toBeUndefined();
  });
});

/** The fields of a message: bytes of what has a length, numbers of what has none. */
function fieldsOf(bytes: Uint8Array): Map<number, (Uint8Array | number)[]> {
  const found = new Map<number, (Uint8Array | number)[]>();
  let at = 0;
  const varint = (): number => {
    let [value, shift] = [0, 0];
    for (;;) {
      const byte = bytes[at++] ?? 0;
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
      shift += 7;
    }
  };
  while (at < bytes.length) {
    const tag = varint();
    const size = varint();
    const isLong = (tag & 7) === 2;
    const value = isLong ? bytes.subarray(at, at + size) : size;
    if (isLong) at += size;
    found.set(tag >> 3, [...(found.get(tag >> 3) ?? []), value]);
  }
  return found;
}

/** All values on a way of field numbers. */
function along(bytes: Uint8Array, ...numbers: readonly number[]): readonly (Uint8Array | number)[] {
  const [first = 0, ...rest] = numbers;
  const values = fieldsOf(bytes).get(first) ?? [];
  return rest.length === 0 ? values : values.flatMap((value) => along(value as Uint8Array, ...rest));
}

const texts = (values: readonly (Uint8Array | number)[]): string[] =>
  values.map((value) => Buffer.from(value as Uint8Array).toString());

describe("v3 as protobuf", () => {
  const PROTOBUF = "application/com.github.proto-openapi.spec.v3@v1.0+protobuf";

  it("is the same document in gnostic's message", () => {
    const answer = ask("/openapi/v3/api/v1", { accept: PROTOBUF });
    expect(answer.headers["content-type"]).toBe("application/com.github.proto-openapi.spec.v3.v1.0+protobuf");
    const document = json(ask("/openapi/v3/api/v1")) as unknown as {
      readonly paths: Readonly<Record<string, object>>;
      readonly components: { readonly schemas: Readonly<Record<string, { readonly properties?: object }>> };
    };
    expect(texts(along(answer.body, 1))).toEqual(["3.0.0"]);
    expect(texts(along(answer.body, 4, 1, 1))).toEqual(Object.keys(document.paths));
    expect(texts(along(answer.body, 5, 1, 1, 1))).toEqual(Object.keys(document.components.schemas));
    const properties = Object.values(document.components.schemas).flatMap((one) => Object.keys(one.properties ?? {}));
    expect(texts(along(answer.body, 5, 1, 1, 2, 1, 31, 1, 1))).toEqual(properties);
  });

  it("has an ETag of its own, under the URL of the same hash", () => {
    const { etag = "" } = ask("/openapi/v3/api/v1").headers;
    const answer = ask("/openapi/v3/api/v1", { accept: PROTOBUF, hash: etag.slice(1, -1) });
    expect(answer.headers["cache-control"]).toBe("public, immutable, max-age=31536000");
    expect(answer.headers["etag"]).not.toBe(etag);
    expect(ask("/openapi/v3/api/v1", { accept: "application/xml" }).status).toBe(406);
  });
});

describe("v2 (wire trap 3)", () => {
  it("answers in the dotted protobuf type whichever way it was asked for", () => {
    for (const accept of [
      "application/com.github.proto-openapi.spec.v2@v1.0+protobuf",
      "application/com.github.proto-openapi.spec.v2.v1.0+protobuf",
    ]) {
      const answer = ask("/openapi/v2", { accept });
      expect(answer.headers["content-type"]).toBe("application/com.github.proto-openapi.spec.v2.v1.0+protobuf");
      expect(Buffer.from(answer.body.subarray(0, 5)).toString()).toBe("\n\u00032.0");
    }
    expect(ask("/swagger-2.0.0.pb-v1").status).toBe(200);
  });

  it("answers in JSON to everybody else, and 406 to who takes neither", () => {
    expect(json(ask("/openapi/v2", { accept: "application/json" }))).toMatchObject({ swagger: "2.0" });
    expect(ask("/openapi/v2").headers["content-type"]).toBe("application/json");
    expect(ask("/openapi/v2", { accept: "text/html" }).status).toBe(406);
  });
});
