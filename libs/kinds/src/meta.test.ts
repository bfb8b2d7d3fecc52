import { fieldErrorBody, type FieldError } from "@pilothouse/errors";
import { describe, expect, test } from "vitest";
import type { ApiObject, ObjectMeta } from "./kind.ts";
import { keepServerMeta, validateObjectMeta, validateObjectMetaUpdate } from "./meta.ts";

const NAMESPACED = { namespaced: true };

function created(metadata: ObjectMeta): string[] {
  return texts(validateObjectMeta(NAMESPACED, { metadata: { name: "x", namespace: "default", ...metadata } }));
}

function updated(metadata: ObjectMeta, old: ObjectMeta): string[] {
  const base = { name: "x", namespace: "default", uid: "1", creationTimestamp: "2026-01-01T00:00:00Z" };
  return texts(validateObjectMetaUpdate(object({ ...base, ...metadata }), object({ ...base, ...old })));
}

describe("metadata of a new object", () => {
  test.each<[string, ObjectMeta, string[]]>([
    ["a plain one", {}, []],
    ["no name", { name: "" }, ["metadata.name: Required value: name or generateName is required"]],
    ["no namespace", { namespace: "" }, ["metadata.namespace: Required value"]],
    [
      "a name in capitals",
      { name: "Web" },
      [
        'metadata.name: Invalid value: "Web": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, ' +
          "'-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is " +
          "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
      ],
    ],
    ["a prefix ending in a dash", { generateName: "web-" }, []],
    [
      "annotations of 256 KiB and a byte",
      { annotations: { a: "x".repeat(256 * 1024) } },
      ["metadata.annotations: Too long: may not be more than 262144 bytes"],
    ],
    ["annotations of 256 KiB", { annotations: { a: "x".repeat(256 * 1024 - 1) } }, []],
    ["an annotation key in capitals", { annotations: { "Example.com/Key": "" } }, []],
    [
      "an unknown finalizer",
      { finalizers: ["mine"] },
      [
        'metadata.finalizers[0]: Invalid value: "mine": name is neither a standard finalizer name nor is it fully qualified',
      ],
    ],
    [
      "two ways to delete dependents",
      { finalizers: ["orphan", "foregroundDeletion"] },
      [
        'metadata.finalizers: Invalid value: ["orphan","foregroundDeletion"]: finalizer orphan and foregroundDeletion cannot be both set',
      ],
    ],
    [
      "an owner without uid",
      { ownerReferences: [{ apiVersion: "v1", kind: "Pod", name: "a", uid: "" }] },
      ['metadata.ownerReferences[0].uid: Invalid value: "": uid must not be empty'],
    ],
  ])("%s", (_name, metadata, errors) => {
    expect(created(metadata)).toEqual(errors);
  });

  test("has one controller at most", () => {
    const owner = { apiVersion: "apps/v1", kind: "ReplicaSet", uid: "1", controller: true };
    expect(
      created({
        ownerReferences: [
          { ...owner, name: "a" },
          { ...owner, name: "b" },
        ],
      })[0],
    ).toContain(
      'Only one reference can have Controller set to true. Found "true" in references for ReplicaSet/a and ReplicaSet/b',
    );
  });

  test("has no namespace where the kind is the cluster's", () => {
    const errors = validateObjectMeta({ namespaced: false }, object({ name: "x", namespace: "default" }));
    expect(texts(errors)).toEqual(["metadata.namespace: Forbidden: not allowed on this type"]);
  });
});

describe("metadata of an update", () => {
  test.each<[string, ObjectMeta, ObjectMeta, string[]]>([
    ["nothing new", {}, {}, []],
    ["another name", { name: "y" }, {}, ['metadata.name: Invalid value: "y": field is immutable']],
    ["another uid", { uid: "2" }, {}, ['metadata.uid: Invalid value: "2": field is immutable']],
    [
      "a finalizer on the way out",
      { deletionTimestamp: "now", finalizers: ["a.b/c"] },
      { deletionTimestamp: "now" },
      [
        "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, " +
          'found new finalizers []string{"a.b/c"}',
      ],
    ],
    [
      "one finalizer less on the way out",
      { deletionTimestamp: "now", finalizers: [] },
      { deletionTimestamp: "now", finalizers: ["a.b/c"] },
      [],
    ],
  ])("%s", (_name, metadata, old, errors) => {
    expect(updated(metadata, old)).toEqual(errors);
  });

  test("what the server sets stays, whatever the client sends", () => {
    const meta: ObjectMeta = { name: "x", creationTimestamp: "1999-01-01T00:00:00Z", generation: 99 };
    keepServerMeta(meta, {
      uid: "1",
      creationTimestamp: "2026-01-01T00:00:00Z",
      deletionTimestamp: "soon",
      deletionGracePeriodSeconds: 30,
    });
    expect(meta).toEqual({
      name: "x",
      uid: "1",
      creationTimestamp: "2026-01-01T00:00:00Z",
      deletionTimestamp: "soon",
      deletionGracePeriodSeconds: 30,
    });
  });
});

function object(metadata: ObjectMeta): ApiObject {
  return { metadata };
}

function texts(errors: readonly FieldError[]): string[] {
  return errors.map((error) => `${error.field}: ${fieldErrorBody(error)}`);
}
