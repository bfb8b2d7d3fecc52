import * as fc from "fast-check";
import { expect, test } from "vitest";
import type { ApiObject, KindDefinition } from "@pilothouse/kinds/kind";
import { kindOf } from "@pilothouse/kinds";
import {
  decodeDeleteCause,
  decodeStored,
  deleteCauseKey,
  DELETE_CAUSES,
  encodeDeleteCause,
  encodeObject,
  factsOf,
  isUnchanged,
  readStored,
  storedAt,
  storedValue,
} from "./stored.ts";

const pods = kindOf("", "v1", "pods") as KindDefinition;
const trace = { traceId: "0af7651916cd43dd8448eb211c80319c", spanId: "b7ad6b7169203331", sampled: true };

function pod(extra: Partial<ApiObject> = {}): ApiObject {
  return {
    apiVersion: "example.com/v1",
    kind: "Pod",
    metadata: { name: "web", namespace: "shop", uid: "u1" },
    ...extra,
  };
}

test("a stored value reads as JSON, then says who wrote it", () => {
  const value = storedValue(encodeObject(pod({ spec: { nodeName: "n1" } })), "w1", trace);
  const [body, trailer] = Buffer.from(value).toString().split("\n");
  expect(body).toBe(
    '{"kind":"Pod","apiVersion":"example.com/v1","metadata":{"name":"web","namespace":"shop","uid":"u1"},"spec":{"nodeName":"n1"}}',
  );
  expect(JSON.parse(trailer as string)).toEqual({
    schema: "v1.36/1",
    write: "w1",
    traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    splice: 56,
  });
});

test("the served bytes are the stored ones with the revision in place, whatever the object holds", () => {
  const json = fc.jsonValue({ maxDepth: 4 });
  fc.assert(
    fc.property(json, fc.string(), fc.nat(), (spec, label, revision) => {
      const object = pod({ spec, metadata: { name: "é", labels: { label }, resourceVersion: "9" } });
      const encoded = encodeObject(object);
      const read = readStored(pods, storedValue(encoded, "w", undefined), revision);
      expect(Buffer.from(read.bytes)).toEqual(Buffer.from(storedAt(encoded, revision).bytes));
      expect(JSON.parse(Buffer.from(read.bytes).toString())).toEqual(read.object);
      const metadata = { name: "é", labels: { label }, resourceVersion: String(revision) };
      expect(read.object).toEqual(JSON.parse(JSON.stringify({ ...object, metadata })));
    }),
  );
});

test("a kind of the schema is stored as Go would write it", () => {
  const { body } = encodeObject({ metadata: { name: "web" }, kind: "Pod", apiVersion: "v1" });
  expect(Buffer.from(body).toString()).toBe(
    '{"kind":"Pod","apiVersion":"v1","metadata":{"name":"web"},"spec":{"containers":null},"status":{}}',
  );
});

test("an object whose keys came in another order is the same object, unless it is stored in another form", () => {
  const before = pod({ spec: { a: 1, b: { c: 2, d: 3 } }, metadata: { name: "x", resourceVersion: "5" } });
  const after = pod({ metadata: { resourceVersion: "6", name: "x" }, spec: { b: { d: 3, c: 2 }, a: 1 } });
  const stored = storedAt(encodeObject(before), 5);
  expect(isUnchanged(stored, encodeObject(after))).toBe(true);
  expect(isUnchanged(stored, encodeObject(pod({ spec: { a: 1 }, metadata: { name: "x" } })))).toBe(false);
  expect(isUnchanged({ ...stored, foreign: true }, encodeObject(after))).toBe(false);
});

test("a value put by hand or by an older version is read, with today's defaults", () => {
  const kind: KindDefinition = { ...pods, defaults: (object) => void (object["defaulted"] = true) };
  const byHand = Buffer.from(
    '{"apiVersion":"example.com/v1","kind":"Pod",\n"metadata":{"resourceVersion":"3","name":"web"}}',
  );
  const older = Buffer.from(
    '{"kind":"Pod","apiVersion":"example.com/v1","metadata":{"name":"web"}}\n{"schema":"old","write":"w","splice":1}',
  );
  for (const value of [byHand, older]) {
    const read = readStored(kind, value, 7);
    expect(read.foreign).toBe(true);
    expect(read.object).toEqual({
      kind: "Pod",
      apiVersion: "example.com/v1",
      metadata: { name: "web", resourceVersion: "7" },
      defaulted: true,
    });
    expect(JSON.parse(Buffer.from(read.bytes).toString())).toEqual(read.object);
  }
  expect(() => decodeStored(Buffer.from("nonsense"))).toThrow();
});

test("what readers select by is read once", () => {
  const object = pod({
    metadata: {
      name: "web",
      namespace: "shop",
      uid: "u1",
      labels: { app: "web" },
      deletionTimestamp: "2026-01-01T00:00:00Z",
      ownerReferences: [{ apiVersion: "apps/v1", kind: "ReplicaSet", name: "rs", uid: "o1" }],
    },
  });
  expect(factsOf({ ...pods, selectableFields: () => ({ "spec.nodeName": "n1" }) }, object)).toEqual({
    namespace: "shop",
    name: "web",
    uid: "u1",
    labels: { app: "web" },
    fields: { "metadata.name": "web", "metadata.namespace": "shop", "spec.nodeName": "n1" },
    ownerUids: ["o1"],
    deleting: true,
  });
});

test("the causes of deletes take 256 keys at most", () => {
  const keys = new Set(Array.from({ length: 5_000 }, (_, i) => deleteCauseKey(`/registry/core/pods/a/p${i}`)));
  expect(keys.size).toBe(256);
  for (const key of keys) expect(key).toMatch(new RegExp(`^${DELETE_CAUSES}[0-9a-f]{2}$`));
  const cause = { key: "/registry/core/pods/a/p", writeId: "w", trace };
  expect(decodeDeleteCause(encodeDeleteCause(cause))).toEqual(cause);
  expect(decodeDeleteCause(Buffer.from("else"))).toBeUndefined();
});
