import { schemaOf, type StructureSchema } from "@pilothouse/api";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { applyStrategicMergePatch } from "./strategic-merge-patch.ts";

const podSchema = schemaOf("v1", "Pod") as StructureSchema;
const deploymentSchema = schemaOf("apps/v1", "Deployment") as StructureSchema;
const serviceSchema = schemaOf("v1", "Service") as StructureSchema;

const pod = {
  metadata: { name: "web", finalizers: ["a", "b"], labels: { app: "web" } },
  spec: {
    nodeSelector: { disk: "ssd" },
    containers: [
      { name: "web", image: "web:1", args: ["-x"], env: [{ name: "A", value: "1" }] },
      { name: "log", image: "log:1" },
    ],
    tolerations: [{ key: "old" }],
    volumes: [{ name: "data", emptyDir: {} }],
  },
};
const onPod = (patch: unknown) => applyStrategicMergePatch(pod, patch, podSchema) as typeof pod;

describe("lists and maps", () => {
  it("a container is found by its name; what the patch does not name stays", () => {
    const { containers } = onPod({ spec: { containers: [{ name: "log", image: "log:2" }] } }).spec;
    expect(containers).toEqual([pod.spec.containers[0], { name: "log", image: "log:2" }]);
    expect(containers[0]).toBe(pod.spec.containers[0]);
  });

  it("a new container comes first, as upstream has it", () => {
    expect(onPod({ spec: { containers: [{ name: "new" }] } }).spec.containers.map(({ name }) => name)).toEqual([
      "new",
      "web",
      "log",
    ]);
  });

  it("merges within merged elements", () => {
    const env = [{ name: "B", value: "2" }];
    expect(onPod({ spec: { containers: [{ name: "web", env }] } }).spec.containers[0]?.env).toEqual([
      { name: "B", value: "2" },
      { name: "A", value: "1" },
    ]);
  });

  it("lists without a merge strategy are replaced", () => {
    expect(onPod({ spec: { tolerations: [{ key: "new" }] } }).spec.tolerations).toEqual([{ key: "new" }]);
    expect(onPod({ spec: { containers: [{ name: "web", args: ["-y"] }] } }).spec.containers[0]?.args).toEqual(["-y"]);
  });

  it("lists of scalars with a merge strategy are united", () => {
    expect(onPod({ metadata: { finalizers: ["c", "b"] } }).metadata.finalizers).toEqual(["c", "a", "b"]);
  });

  it("null deletes, and is never stored", () => {
    const patched = onPod({ metadata: { labels: { app: null, x: null } }, spec: { affinity: { podAffinity: null } } });
    expect(patched.metadata.labels).toEqual({});
    expect(patched.spec).toMatchObject({ affinity: {} });
  });
});

describe("directives", () => {
  it("$patch: delete takes an element, or empties a map", () => {
    const patched = onPod({
      metadata: { labels: { $patch: "delete" } },
      spec: { containers: [{ name: "log", $patch: "delete" }] },
    });
    expect(patched.metadata.labels).toEqual({});
    expect(patched.spec.containers).toEqual([pod.spec.containers[0]]);
  });

  it("$patch: replace takes the patch's own list or map", () => {
    const patched = onPod({
      spec: {
        nodeSelector: { $patch: "replace", zone: "a" },
        containers: [{ $patch: "replace" }, { name: "only" }],
      },
    });
    expect(patched.spec.nodeSelector).toEqual({ zone: "a" });
    expect(patched.spec.containers).toEqual([{ name: "only" }]);
  });

  it("$setElementOrder orders what it names, with or without a list beside it", () => {
    const order = [{ name: "log" }, { name: "web" }];
    expect(onPod({ spec: { "$setElementOrder/containers": order } }).spec.containers.map(({ name }) => name)).toEqual([
      "log",
      "web",
    ]);
    const patched = onPod({
      spec: {
        "$setElementOrder/containers": [{ name: "web" }, { name: "new" }, { name: "log" }],
        containers: [{ name: "new", image: "new:1" }],
      },
    });
    expect(patched.spec.containers.map(({ name }) => name)).toEqual(["web", "new", "log"]);
    expect(onPod({ metadata: { "$setElementOrder/finalizers": ["b", "a"] } }).metadata.finalizers).toEqual(["b", "a"]);
  });

  it("kubectl apply: order, change and deletion of one list together", () => {
    const patched = onPod({
      spec: {
        "$setElementOrder/containers": [{ name: "web" }],
        containers: [
          { name: "web", image: "web:2" },
          { $patch: "delete", name: "log" },
        ],
      },
    });
    expect(patched.spec.containers).toEqual([{ ...pod.spec.containers[0], image: "web:2" }]);
  });

  it("$deleteFromPrimitiveList deletes scalars", () => {
    const patch = { metadata: { "$deleteFromPrimitiveList/finalizers": ["a", "zz"] } };
    expect(onPod(patch).metadata.finalizers).toEqual(["b"]);
  });

  it("$retainKeys drops what it does not name", () => {
    const deployment = { spec: { strategy: { type: "RollingUpdate", rollingUpdate: { maxSurge: 1 } } } };
    const patch = { spec: { strategy: { $retainKeys: ["type"], type: "Recreate" } } };
    expect(applyStrategicMergePatch(deployment, patch, deploymentSchema)).toEqual({
      spec: { strategy: { type: "Recreate" } },
    });
    const volume = { name: "data", $retainKeys: ["name", "hostPath"], hostPath: { path: "/x" } };
    expect(onPod({ spec: { volumes: [volume] } }).spec.volumes).toEqual([{ name: "data", hostPath: { path: "/x" } }]);
  });

  it("a Service's ports merge by port", () => {
    const service = { spec: { ports: [{ port: 80, targetPort: 8080 }] } };
    const patch = { spec: { ports: [{ port: 80, nodePort: 30000 }] } };
    expect(applyStrategicMergePatch(service, patch, serviceSchema)).toEqual({
      spec: { ports: [{ port: 80, targetPort: 8080, nodePort: 30000 }] },
    });
  });

  it("directives never reach an object", () => {
    const patch = {
      spec: {
        initContainers: [
          { name: "x", $patch: "delete" },
          { name: "y", env: [{ name: "A", $patch: "delete" }] },
        ],
        securityContext: { $retainKeys: ["runAsUser"], runAsUser: 1 },
      },
    };
    expect(onPod(patch).spec).toMatchObject({
      initContainers: [{ name: "y", env: [] }],
      securityContext: { runAsUser: 1 },
    });
    expect(JSON.stringify(onPod(patch))).not.toContain("$");
  });
});

describe("bad patches", () => {
  it.each([
    [{ spec: { containers: [{ image: "x" }] } }, "map: map[image:x] does not contain declared merge key: name"],
    [{ spec: { $patch: "explode" } }, "unknown patch type: explode in map: map[$patch:explode]"],
    [
      { spec: { containers: [{ name: "web", $patch: "merge" }] } },
      "merging lists cannot yet be specified in the patch",
    ],
    [{ spec: { containers: [{ name: "web" }, "x"] } }, "list element types are not identical"],
    [{ spec: { $retainKeys: "x" } }, "invalid patch format of retainKeys"],
    [{ spec: { $retainKeys: ["x"], nodeName: "n" } }, "invalid patch format of retainKeys"],
    [{ metadata: { "$deleteFromPrimitiveList/finalizers": "a" } }, "invalid patch format of primitive list"],
    [{ spec: { "$setElementOrder/containers": "web" } }, "expected a []interface {}, but received a string"],
    [{ spec: { "$setElementOrder/zz": [] } }, 'unable to find api field in struct PodSpec for the json field "zz"'],
    [
      { spec: { "$setElementOrder/containers": [{ name: "log" }], containers: [{ name: "web" }] } },
      "The order in patch list:\n[map[name:web]]\n doesn't match $setElementOrder list:\n[map[name:log]]\n",
    ],
    [[1], "strategic merge patch format is not supported"],
  ])("%j: %s", (patch, message) => {
    expect(() => onPod(patch)).toThrow(message);
  });
});

const name: fc.Arbitrary<string> = fc.constantFrom("a", "b", "c", "d");
const elements = fc.uniqueArray(fc.record({ name, image: name }), { selector: (item) => item.name, maxLength: 4 });
const anyPod = fc.record({
  metadata: fc.record({ finalizers: fc.uniqueArray(name), labels: fc.dictionary(name, name) }, { requiredKeys: [] }),
  spec: fc.record({ containers: elements, nodeSelector: fc.dictionary(name, name) }, { requiredKeys: [] }),
});
const junk = fc.oneof(
  fc.jsonValue({ maxDepth: 2 }),
  fc.array(fc.dictionary(fc.constantFrom("name", "$patch", "image"), fc.constantFrom("a", "delete", "replace", null))),
);
const anyPatch = fc.dictionary(
  fc.constantFrom("metadata", "spec", "$patch"),
  fc.dictionary(
    fc.constantFrom(
      "containers",
      "$setElementOrder/containers",
      "finalizers",
      "$deleteFromPrimitiveList/finalizers",
      "$retainKeys",
      "$patch",
      "__proto__",
    ),
    junk,
  ),
);

describe("properties", () => {
  it("an object merged onto itself is itself", () => {
    fc.assert(
      fc.property(anyPod, (object) => {
        expect(applyStrategicMergePatch(object, object, podSchema)).toEqual(object);
      }),
    );
  });

  it("whatever the patch: a result or a StatusError, and unchanged inputs", () => {
    fc.assert(
      fc.property(anyPod, anyPatch, (object, patch) => {
        const before = JSON.stringify([object, patch]);
        try {
          applyStrategicMergePatch(object, patch, podSchema);
        } catch (error) {
          expect(error).toMatchObject({ name: "StatusError" });
        }
        expect(JSON.stringify([object, patch])).toBe(before);
      }),
      { numRuns: 500 },
    );
  });

  it("the order asked for is the order given", () => {
    fc.assert(
      fc.property(elements, fc.uniqueArray(name), (containers, order) => {
        const patch = { spec: { "$setElementOrder/containers": order.map((name) => ({ name })) } };
        const patched = applyStrategicMergePatch({ spec: { containers } }, patch, podSchema) as {
          spec: { containers: { name: string }[] };
        };
        const names = patched.spec.containers.map((item) => item.name);
        expect(names.filter((item) => order.includes(item))).toEqual(order.filter((item) => names.includes(item)));
        expect(names).toHaveLength(containers.length);
      }),
    );
  });
});
