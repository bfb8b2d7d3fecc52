import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { duplicateKeys, scanJson } from "./json-scan.ts";
import { fitToSchema } from "./fit.ts";
import { decodeJson, decodeValue, encodeJson, parseJson, stringifyJson } from "./json.ts";
import { DecodeError } from "./limits.ts";
import { schemaOf, type StructureSchema } from "../schema.ts";

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);
const textOf = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
const pod = schemaOf("v1", "Pod") as StructureSchema;
const controllerRevision = schemaOf("apps/v1", "ControllerRevision") as StructureSchema;
const deployment = schemaOf("apps/v1", "Deployment") as StructureSchema;

function problem(text: string, schema = pod): string {
  try {
    decodeJson(bytesOf(text), schema);
  } catch (error) {
    expect(error).toBeInstanceOf(DecodeError);
    return (error as DecodeError).message;
  }
  return "no problem";
}

describe("decoding", () => {
  it("drops unknown fields and reports each with its path", () => {
    const text = `{"metadata":{"name":"a"},"Spec":{},"spec":{"zz":{"q":1},"containers":[{"name":"c","imag":"x"}]}}`;
    const { object, strictProblems } = decodeJson(bytesOf(text), pod);
    expect(strictProblems).toEqual([
      `unknown field "Spec"`,
      `unknown field "spec.zz"`,
      `unknown field "spec.containers[0].imag"`,
    ]);
    expect(object).toEqual({ metadata: { name: "a" }, spec: { containers: [{ name: "c" }] } });
  });

  it("is not misled by quotes, brackets and backslashes within strings", () => {
    const labels = { a: '"}', 'b"': "\\", c: '\\\\"{', d: `${"[".repeat(2_000)}\\"` };
    const text = `{"metadata":{"labels":${JSON.stringify(labels).replace("{", '{"c":"\\"",')}}}`;
    const { object, strictProblems } = decodeJson(bytesOf(text), pod, { findDuplicates: true });
    expect(object).toEqual(JSON.parse(text));
    expect(strictProblems).toEqual([`duplicate field "metadata.labels.c"`]);
  });

  it("finds what is doubled by the count of members, whatever stands in strings", () => {
    const scalar = fc.constantFrom("1", "null", `"a:b"`, `"\\"x\\":{"`, "-1.5e3");
    const key = fc.constantFrom("a", "b", "__proto__", "c:d", `q\\"`, "1");
    const { json } = fc.letrec<{ json: string }>((tie) => ({
      json: fc.oneof(
        { maxDepth: 4 },
        scalar,
        fc.array(tie("json"), { maxLength: 3 }).map((items) => `[${items.join(" , ")}]`),
        fc
          .array(fc.tuple(key, tie("json")), { maxLength: 4 })
          .map((members) => `{${members.map(([name, value]) => `"${name}" : ${value}`).join(",")}}`),
      ),
    }));
    fc.assert(
      fc.property(json, (text) => {
        const body = `{"metadata":{"labels":{"l":"m"}},"raw":${text}}`;
        const { members } = fitToSchema(JSON.parse(body), controllerRevision);
        expect(members < scanJson(bytesOf(body)).members).toBe(duplicateKeys(body).length > 0);
        const asData = `{"metadata":{"labels":{"l":"m"}},"data":${text}}`;
        const { strictProblems } = decodeJson(bytesOf(asData), controllerRevision, { findDuplicates: true });
        expect(strictProblems).toEqual(duplicateKeys(asData).map((path) => `duplicate field ${JSON.stringify(path)}`));
      }),
    );
  });

  it("refuses an integer of any length that a double would round, and looks into no string", () => {
    const grace = (number: string): string => `{"spec":{"terminationGracePeriodSeconds":${number}}}`;
    const words = (number: string): string => `json: cannot unmarshal number ${number} into Go value of type int64`;
    expect(problem(grace("9007199254740993"))).toBe(words("9007199254740993"));
    expect(problem(grace("-9007199254740993"))).toBe(words("-9007199254740993"));
    expect(problem(grace("9".repeat(1_000)))).toBe(words(`${"9".repeat(310)}...`));
    expect(problem(grace("9007199254740992"))).toBe("no problem");
    expect(problem(`{"metadata":{"name":"9007199254740993"}}`)).toBe("no problem");
  });

  it("reports duplicate fields when asked, and lets the last one win", () => {
    const text = `{"spec":{"nodeName":"a","nodeName":"b","zz":{"x":1,"x":2}},"metadata":{"labels":{"k":"1","k":"2"}}}`;
    expect(decodeJson(bytesOf(text), pod).strictProblems).toEqual([`unknown field "spec.zz"`]);
    const { object, strictProblems } = decodeJson(bytesOf(text), pod, { findDuplicates: true });
    expect(strictProblems).toEqual([
      `unknown field "spec.zz"`,
      `duplicate field "spec.nodeName"`,
      `duplicate field "metadata.labels.k"`,
    ]);
    expect(object).toEqual({ spec: { nodeName: "b" }, metadata: { labels: { k: "2" } } });
  });

  it("takes null as absent, as old clients send it", () => {
    const text = `{"metadata":{"creationTimestamp":null,"name":"a"},"spec":{"containers":null},"status":{}}`;
    const { object, strictProblems } = decodeJson(bytesOf(text), pod);
    expect(strictProblems).toEqual([]);
    expect(object).toEqual({ metadata: { name: "a" }, spec: {}, status: {} });
  });

  it.each([
    [
      `{"spec":{"terminationGracePeriodSeconds":"x"}}`,
      "json: cannot unmarshal string into Go struct field PodSpec.spec.terminationGracePeriodSeconds of type int64",
    ],
    [
      `{"spec":{"containers":[{"env":[{"name":"A","value":1}]}]}}`,
      "json: cannot unmarshal number into Go struct field EnvVar.spec.containers.env.value of type string",
    ],
    [
      `{"spec":{"containers":[{"ports":[{"containerPort":1.5}]}]}}`,
      "json: cannot unmarshal number 1.5 into Go struct field ContainerPort.spec.containers.ports.containerPort of type int32",
    ],
    [
      `{"spec":{"containers":{}}}`,
      "json: cannot unmarshal object into Go struct field PodSpec.spec.containers of type []v1.Container",
    ],
    [`{"spec":[]}`, "json: cannot unmarshal array into Go struct field Pod.spec of type v1.PodSpec"],
    [
      `{"metadata":{"labels":{"a":true}}}`,
      "json: cannot unmarshal bool into Go struct field ObjectMeta.metadata.labels of type string",
    ],
    [`[]`, "json: cannot unmarshal array into Go value of type v1.Pod"],
    [
      `{"spec":{"containers":[{"resources":{"limits":{"cpu":"lots"}}}]}}`,
      "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
    ],
    [
      `{"metadata":{"creationTimestamp":"soon"}}`,
      `parsing time "soon" as "2006-01-02T15:04:05Z07:00": cannot parse "soon" as "2006"`,
    ],
    [
      `{"metadata":{"creationTimestamp":"2026-02-30T00:00:00Z"}}`,
      `parsing time "2026-02-30T00:00:00Z": day out of range`,
    ],
  ])("%s: %s", (text, message) => {
    expect(problem(text)).toBe(message);
  });

  it("says what is wrong with a Secret's data", () => {
    const secret = schemaOf("v1", "Secret") as StructureSchema;
    expect(problem(`{"data":{"a":"no base64"}}`, secret)).toBe("illegal base64 data at input byte 2");
    expect(decodeJson(bytesOf(`{"data":{"a":"Zm9v\\nYmFy"}}`), secret).object).toEqual({ data: { a: "Zm9vYmFy" } });
  });

  it.each([
    [``, "unexpected end of JSON input"],
    [`{"a":1`, "unexpected end of JSON input"],
    [`{a:1}`, "invalid character 'a' looking for beginning of object key string"],
    [`{"a" 1}`, "invalid character '1' after object key"],
    [`{"a":1 "b":2}`, `invalid character '"' after object key:value pair`],
    [`[1 2]`, "invalid character '2' after array element"],
    [`{} x`, "invalid character 'x' after top-level value"],
    [`{"a":tru}`, "invalid character '}' in literal true (expecting 'e')"],
    [`{"a":"\t"}`, "invalid character '\\t' in string literal"],
    [`{"a":"\\x"}`, "invalid character 'x' in string escape code"],
    [`{"a":1.}`, "invalid character '}' after decimal point in numeric literal"],
    [`apiVersion: v1`, "invalid character 'a' looking for beginning of value"],
  ])("malformed JSON %s: %s", (text, message) => {
    expect(problem(text)).toBe(message);
  });

  it("normalises times: Time in whole seconds, MicroTime with six digits, both UTC", () => {
    const lease = schemaOf("coordination.k8s.io/v1", "Lease") as StructureSchema;
    const text = `{"metadata":{"creationTimestamp":"2026-01-01T01:00:00.9+01:00"},"spec":{"renewTime":"2026-01-01T00:00:00.123Z"}}`;
    expect(decodeJson(bytesOf(text), lease).object).toEqual({
      metadata: { creationTimestamp: "2026-01-01T00:00:00Z" },
      spec: { renewTime: "2026-01-01T00:00:00.123000Z" },
    });
  });

  it("takes the zero time as absent", () => {
    expect(decodeValue({ metadata: { creationTimestamp: "0001-01-01T00:00:00Z" } }, pod).object).toEqual({
      metadata: {},
    });
  });

  it("writes quantities in canonical form, numbers too", () => {
    const text = `{"spec":{"containers":[{"name":"c","resources":{"limits":{"cpu":0.5,"memory":"1024Mi"}}}]}}`;
    const { object } = decodeJson(bytesOf(text), pod);
    expect(object).toMatchObject({ spec: { containers: [{ resources: { limits: { cpu: "500m", memory: "1Gi" } } }] } });
  });
});

describe("hostile input", () => {
  it("refuses what nests too deep, in known, unknown and free-form places", () => {
    for (const inner of ["[".repeat(200_000), '{"a":'.repeat(200_000)]) {
      expect(problem(`{"spec":${inner}`)).toBe("exceeded max depth");
    }
    expect(() => parseJson(bytesOf("[".repeat(5000) + "]".repeat(5000)))).toThrow("exceeded max depth");
  });

  it("takes time in proportion to the size, whatever is unknown, doubled or long", () => {
    const pairs = Array.from({ length: 60_000 }, (_, n) => `"k${n}":1,"k${n}":2`).join(",");
    const long = "a.".repeat(300_000);
    const text = `{"zz":1,"spec":{${pairs}},"metadata":{"labels":{"${long}":{${pairs}}}}}`;
    expect(() => decodeJson(bytesOf(text), pod, { findDuplicates: true })).toThrow("cannot unmarshal object");
    const { strictProblems } = decodeJson(bytesOf(`{"spec":{${pairs}},"zz":{"${long}":{${pairs}}}}`), pod, {
      findDuplicates: true,
    });
    expect(strictProblems[0]).toBe(`unknown field "spec.k0"`);
  });

  it("keeps a __proto__ key as data and touches no prototype", () => {
    const configMap = schemaOf("v1", "ConfigMap") as StructureSchema;
    const text = `{"kind":"ConfigMap","apiVersion":"v1","metadata":{},"data":{"__proto__":"x","a":"y"}}`;
    const { object } = decodeJson(bytesOf(text), configMap);
    expect(textOf(encodeJson(object, configMap))).toBe(text);
    expect(decodeJson(bytesOf(`{"__proto__":{"polluted":1}}`), configMap).strictProblems).toEqual([
      `unknown field "__proto__"`,
    ]);
    expect(({} as Record<string, unknown>)["polluted"]).toBeUndefined();
  });

  it("keeps the largest int64 exact and writes other large integers as integers", () => {
    const text = `{"spec":{"terminationGracePeriodSeconds":9223372036854775807}}`;
    const { object } = decodeJson(bytesOf(text), pod);
    expect(textOf(encodeJson(object, pod))).toContain(`"terminationGracePeriodSeconds":9223372036854775807`);
    expect(stringifyJson({ a: 2 ** 60, b: 1e25, c: "12345678901234567890" })).toBe(
      `{"a":1152921504606846976,"b":10000000000000000905969664,"c":"12345678901234567890"}`,
    );
    expect(stringifyJson([2 ** 60, -(2 ** 60)])).toBe("[1152921504606846976,-1152921504606846976]");
    expect(stringifyJson(2 ** 60)).toBe("1152921504606846976");
    expect(problem(`{"spec":{"priority":4294967296}}`)).toContain(
      "cannot unmarshal number 4294967296 into Go struct field",
    );
  });

  it("replaces bytes that are not UTF-8", () => {
    const bytes = Uint8Array.from([...bytesOf(`{"metadata":{"name":"`), 0xff, ...bytesOf(`"}}`)]);
    expect(decodeJson(bytes, pod).object).toEqual({ metadata: { name: "\uFFFD" } });
  });
});

describe("encoding", () => {
  it("writes what Go writes for an almost empty object", () => {
    expect(textOf(encodeJson({ apiVersion: "apps/v1", kind: "Deployment", spec: {} }, deployment))).toBe(
      `{"kind":"Deployment","apiVersion":"apps/v1","metadata":{},"spec":{"selector":null,` +
        `"template":{"metadata":{},"spec":{"containers":null}},"strategy":{}},"status":{}}`,
    );
  });

  it("leaves out empty optional scalars, lists and maps, and keeps empty pointers", () => {
    const object = {
      metadata: { name: "", labels: {}, finalizers: [] },
      spec: { containers: [], nodeName: "", priority: 0, securityContext: {}, hostNetwork: false },
    };
    expect(textOf(encodeJson(object, pod))).toBe(
      `{"metadata":{},"spec":{"containers":[],"securityContext":{},"priority":0},"status":{}}`,
    );
  });

  it("sorts map keys and keeps the order of lists", () => {
    const object = { metadata: { labels: { b: "1", a: "2" }, finalizers: ["z", "y"] } };
    expect(textOf(encodeJson(object, pod))).toContain(`{"labels":{"a":"2","b":"1"},"finalizers":["z","y"]}`);
  });

  it("writes null for required times, as upstream does in conditions", () => {
    const object = { status: { conditions: [{ type: "Ready", status: "True" }] } };
    expect(textOf(encodeJson(object, pod))).toContain(
      `[{"type":"Ready","status":"True","lastProbeTime":null,"lastTransitionTime":null}]`,
    );
  });
});
