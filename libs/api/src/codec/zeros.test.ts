import { describe, expect, it, test } from "vitest";
import { encodeJson } from "./json.ts";
import { schemaOf, type StructureSchema } from "../schema.ts";
import type { JsonObject } from "./fit.ts";
import { dropZeros } from "./zeros.ts";

const schemaFor = (apiVersion: string, kind: string): StructureSchema => schemaOf(apiVersion, kind) as StructureSchema;
const textOf = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

function without(object: JsonObject, apiVersion: string, kind: string): JsonObject {
  const schema = schemaFor(apiVersion, kind);
  const before = textOf(encodeJson(structuredClone(object), schema));
  dropZeros(object, schema);
  expect(textOf(encodeJson(object, schema)), "what is stored is the same").toBe(before);
  return object;
}

describe("a chart says what it leaves as it is", () => {
  test("a Deployment's false switches, empty maps and empty lists are as if they were not there", () => {
    const object = {
      metadata: { name: "web", labels: {}, finalizers: [] },
      spec: {
        paused: false,
        minReadySeconds: 0,
        template: {
          spec: {
            hostNetwork: false,
            nodeSelector: {},
            tolerations: [],
            containers: [
              {
                name: "web",
                stdin: false,
                env: [{ name: "EMPTY", value: "" }],
                volumeMounts: [{ name: "a", mountPath: "/a", readOnly: false, subPath: "" }],
                livenessProbe: { initialDelaySeconds: 0, httpGet: { port: 80, path: "" } },
              },
            ],
          },
        },
      },
    };
    expect(without(object, "apps/v1", "Deployment")).toEqual({
      metadata: { name: "web" },
      spec: {
        template: {
          spec: {
            containers: [
              {
                name: "web",
                env: [{ name: "EMPTY" }],
                volumeMounts: [{ name: "a", mountPath: "/a" }],
                livenessProbe: { httpGet: { port: 80 } },
              },
            ],
          },
        },
      },
    });
  });
});

it("keeps the zeros that say something: behind pointers, and where the field is always written", () => {
  const object = {
    metadata: { name: "web" },
    spec: {
      replicas: 0,
      template: {
        spec: {
          enableServiceLinks: false,
          automountServiceAccountToken: false,
          securityContext: {},
          volumes: [{ name: "tmp", emptyDir: {} }],
          containers: [{ name: "", resources: {}, securityContext: { runAsUser: 0, privileged: false } }],
        },
      },
    },
  };
  expect(without(structuredClone(object), "apps/v1", "Deployment")).toEqual(object);
});

it("goes into maps of structures, and leaves values of maps and free-form values alone", () => {
  expect(without({ metadata: {}, data: { a: "" } }, "v1", "ConfigMap")).toEqual({ metadata: {}, data: { a: "" } });
  const revision = { metadata: {}, data: { spec: { paused: false } }, revision: 0 };
  expect(without(structuredClone(revision), "apps/v1", "ControllerRevision")).toEqual(revision);
});
