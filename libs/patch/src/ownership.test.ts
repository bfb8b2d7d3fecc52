import { schemaOf, type StructureSchema } from "@pilothouse/api";
import { StatusError } from "@pilothouse/errors";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { applyConfiguration, fieldSetOf, trackUpdate, type ManagedFieldsEntry, type Write } from "./index.ts";

const structure = schemaOf("apps/v1", "Deployment") as StructureSchema;
const write = (manager: string, minute = 0, more: Partial<Write> = {}): Write => ({
  structure,
  manager,
  apiVersion: "apps/v1",
  time: `2026-01-01T00:${String(minute).padStart(2, "0")}:00Z`,
  ...more,
});
const apply = (live: Json | undefined, applied: Json, manager: string, minute = 0, force = false) =>
  applyConfiguration(live, applied, { ...write(manager, minute), force });

type Json = Record<string, unknown>;
const named = (spec: Json, metadata: Json = {}): Json => ({
  apiVersion: "apps/v1",
  kind: "Deployment",
  metadata: { name: "web", namespace: "default", ...metadata },
  spec,
});
const withManagers = (object: Json, managedFields: unknown): Json => ({
  ...object,
  metadata: { ...(object["metadata"] as Json), uid: "u1", managedFields },
});
/** Stores `next` as the apiserver would: after tracking who changed what. */
const update = (live: Json | undefined, next: Json, manager: string, minute = 0, more: Partial<Write> = {}): Json => {
  const entries = trackUpdate(live, next, write(manager, minute, more));
  return withManagers(next, entries);
};
const entriesOf = (object: Json) => (object["metadata"] as Json)["managedFields"] as ManagedFieldsEntry[];
const ownersOf = (object: Json) =>
  Object.fromEntries(entriesOf(object).map(({ manager, fieldsV1 }) => [manager, JSON.stringify(fieldsV1)]));
const container = (name: string, more: Json = {}): Json => ({ name, image: `${name}:1`, ...more });
const template = (...containers: Json[]): Json => ({ template: { metadata: {}, spec: { containers } } });
const statusError = (run: () => unknown): StatusError => {
  try {
    run();
  } catch (error) {
    if (error instanceof StatusError) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
};

describe("updates", () => {
  it("the creator owns what it set, in upstream's form", () => {
    const object = named(
      {
        replicas: 1,
        selector: { matchLabels: { app: "web" } },
        strategy: { type: "RollingUpdate", rollingUpdate: { maxSurge: "25%" } },
        template: {
          metadata: { labels: { app: "web" } },
          spec: {
            containers: [
              container("web", { ports: [{ containerPort: 80, protocol: "TCP" }], resources: {}, args: ["a"] }),
            ],
          },
        },
      },
      { uid: "u1", labels: { app: "web" } },
    );
    expect(trackUpdate(undefined, object, write("kubectl-create"))).toEqual([
      {
        manager: "kubectl-create",
        operation: "Update",
        apiVersion: "apps/v1",
        time: "2026-01-01T00:00:00Z",
        fieldsType: "FieldsV1",
        fieldsV1: {
          "f:metadata": { "f:labels": { ".": {}, "f:app": {} } },
          "f:spec": {
            "f:replicas": {},
            "f:selector": {},
            "f:strategy": { "f:rollingUpdate": { ".": {}, "f:maxSurge": {} }, "f:type": {} },
            "f:template": {
              "f:metadata": { "f:labels": { ".": {}, "f:app": {} } },
              "f:spec": {
                "f:containers": {
                  'k:{"name":"web"}': {
                    ".": {},
                    "f:args": {},
                    "f:image": {},
                    "f:name": {},
                    "f:ports": {
                      ".": {},
                      'k:{"containerPort":80,"protocol":"TCP"}': { ".": {}, "f:containerPort": {}, "f:protocol": {} },
                    },
                    "f:resources": {},
                  },
                },
              },
            },
          },
        },
      },
    ]);
  });

  it("who changes a field takes it from its owner", () => {
    const first = update(undefined, named({ replicas: 1, paused: true }), "a");
    const second = update(first, named({ replicas: 2, paused: true }), "b", 1);
    expect(ownersOf(second)).toEqual({
      a: '{"f:spec":{"f:paused":{}}}',
      b: '{"f:spec":{"f:replicas":{}}}',
    });
    expect(entriesOf(second).map(({ time }) => time)).toEqual(["2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z"]);
    const third = update(second, named({ replicas: 3, paused: false }), "b", 2);
    expect(ownersOf(third)).toEqual({ b: '{"f:spec":{"f:paused":{},"f:replicas":{}}}' });
  });

  it("writing the same again changes no owner and no time", () => {
    const first = update(undefined, named({ replicas: 1 }), "a");
    expect(trackUpdate(first, first, write("b", 5))).toEqual(entriesOf(first));
    expect(trackUpdate(first, named({ replicas: 1 }), write("b", 5))).toEqual(entriesOf(first));
  });

  it("nobody owns what is gone", () => {
    const first = update(undefined, named({ replicas: 1, paused: true }), "a");
    expect(ownersOf(update(first, named({ replicas: 1 }), "b", 1))).toEqual({ a: '{"f:spec":{"f:replicas":{}}}' });
  });

  it("the server's own fields are nobody's", () => {
    const object = named(
      {},
      { uid: "u", resourceVersion: "5", generation: 2, creationTimestamp: "2026-01-01T00:00:00Z" },
    );
    expect(trackUpdate(undefined, object, write("a"))).toBeUndefined();
  });

  it("a subresource and another version are other owners", () => {
    const first = update(undefined, named({ replicas: 1 }), "a");
    const scaled = update(first, named({ replicas: 2 }), "a", 1, { subresource: "scale" });
    expect(entriesOf(scaled)).toMatchObject([{ manager: "a", subresource: "scale" }]);
    expect(entriesOf(update(scaled, named({ replicas: 2, paused: true }), "a", 2))).toHaveLength(2);
  });

  it("what the strategy resets is not owned", () => {
    const resetFields = fieldSetOf(["status"]);
    const object = { ...named({ replicas: 1 }), status: { replicas: 7 } };
    expect(ownersOf(update(undefined, object, "a", 0, { resetFields }))).toEqual({ a: '{"f:spec":{"f:replicas":{}}}' });
  });

  it.each([[[]], [[{}]]])("managedFields of %j forget all managers, until the next apply", (reset) => {
    const first = update(undefined, named({ replicas: 1 }), "a");
    expect(trackUpdate(first, withManagers(named({ replicas: 2 }), reset), write("b"))).toBeUndefined();
    const untracked = named({ replicas: 2 }, { uid: "u1" });
    expect(trackUpdate(untracked, named({ replicas: 3 }, { uid: "u1" }), write("b"))).toBeUndefined();
    const applied = apply(untracked, named({ replicas: 2 }), "c", 1);
    expect(ownersOf(applied.object)).toEqual({
      c: '{"f:spec":{"f:replicas":{}}}',
      "before-first-apply": '{"f:spec":{"f:replicas":{}}}',
    });
  });

  it("a client may rewrite managedFields, but not with nonsense and not through a subresource", () => {
    const first = update(undefined, named({ replicas: 1 }), "a");
    const renamed = [{ ...entriesOf(first)[0], manager: "z" }];
    expect(trackUpdate(first, withManagers(first, renamed), write("b"))).toMatchObject([{ manager: "z" }]);
    expect(trackUpdate(first, withManagers(first, renamed), write("b", 0, { subresource: "status" }))).toMatchObject([
      { manager: "a" },
    ]);
    const nonsense = [
      { manager: "z", operation: "Update", apiVersion: "apps/v1", fieldsType: "FieldsV1", fieldsV1: { x: 1 } },
    ];
    expect(trackUpdate(first, withManagers(first, nonsense), write("b"))).toMatchObject([{ manager: "a" }]);
  });

  it("keeps ten updaters, the oldest together as ancient-changes", () => {
    let object = update(undefined, named({}, { labels: { l0: "x" } }), "m0");
    for (let i = 1; i <= 12; i++) {
      const labels = Object.fromEntries(Array.from({ length: i + 1 }, (_, n) => [`l${n}`, "x"]));
      object = update(object, named({}, { labels }), `m${i}`, i);
    }
    expect(entriesOf(object)).toHaveLength(10);
    expect(ownersOf(object)["ancient-changes"]).toBe(
      '{"f:metadata":{"f:labels":{".":{},"f:l0":{},"f:l1":{},"f:l2":{},"f:l3":{}}}}',
    );
  });
});

describe("server-side apply", () => {
  it("creates", () => {
    const { object, managedFields, changed } = apply(undefined, named({ replicas: 1 }), "kubectl");
    expect(changed).toBe(true);
    expect(object).toMatchObject(named({ replicas: 1 }));
    expect(managedFields).toEqual([
      {
        manager: "kubectl",
        operation: "Apply",
        apiVersion: "apps/v1",
        time: "2026-01-01T00:00:00Z",
        fieldsType: "FieldsV1",
        fieldsV1: { "f:spec": { "f:replicas": {} } },
      },
    ]);
  });

  it("removes what is applied no more and nobody else owns", () => {
    const first = apply(undefined, named({ replicas: 1, paused: true }, { labels: { a: "1", b: "2" } }), "x").object;
    const second = apply(first, named({ replicas: 1 }, { labels: { a: "1" } }), "x", 1).object;
    expect(second["spec"]).toEqual({ replicas: 1 });
    expect((second["metadata"] as Json)["labels"]).toEqual({ a: "1" });
    expect(ownersOf(second)).toEqual({ x: '{"f:metadata":{"f:labels":{"f:a":{}}},"f:spec":{"f:replicas":{}}}' });
  });

  it("leaves what others own, and only gives up its own share", () => {
    const first = apply(undefined, named({ replicas: 1, paused: true }), "x").object;
    const shared = apply(first, named({ paused: true }), "y", 1).object;
    const second = apply(shared, named({ replicas: 1 }), "x", 2).object;
    expect(second["spec"]).toEqual({ replicas: 1, paused: true });
    expect(ownersOf(second)).toEqual({ x: '{"f:spec":{"f:replicas":{}}}', y: '{"f:spec":{"f:paused":{}}}' });
  });

  it("list elements come and go by their keys", () => {
    const first = apply(undefined, named(template(container("a"), container("b"))), "x").object;
    const other = apply(first, named(template({ name: "c", image: "c:1" })), "y", 1).object;
    const second = apply(other, named(template(container("b"))), "x", 2).object;
    expect(second["spec"]).toEqual(template(container("b"), container("c")));
  });

  it("elements keep an order in which everybody's own holds", () => {
    const live = named(template(container("a"), container("b"), container("c")), { uid: "u1" });
    const { object } = apply(live, named(template({ name: "c" }, { name: "new" }, { name: "a" })), "x");
    const { containers } = (object["spec"] as { template: { spec: { containers: Json[] } } }).template.spec;
    expect(containers.map(({ name }) => name)).toEqual(["b", "c", "new", "a"]);
  });

  it("one conflict", () => {
    const live = update(undefined, named({ replicas: 1 }), "kube-controller-manager");
    expect(statusError(() => apply(live, named({ replicas: 2 }), "x")).status).toMatchObject({
      code: 409,
      reason: "Conflict",
      message: 'Apply failed with 1 conflict: conflict with "kube-controller-manager" using apps/v1: .spec.replicas',
      details: {
        causes: [
          {
            reason: "FieldManagerConflict",
            message: 'conflict with "kube-controller-manager" using apps/v1',
            field: ".spec.replicas",
          },
        ],
      },
    });
  });

  it("several conflicts, by owner", () => {
    const first = apply(undefined, named({ ...template(container("web")), paused: true }), "a").object;
    const scaled = update(first, named({ ...template(container("web")), paused: true, replicas: 3 }), "k", 1, {
      subresource: "scale",
    });
    const wanted = named({ ...template({ name: "web", image: "web:2" }), paused: false, replicas: 1 });
    expect(statusError(() => apply(scaled, wanted, "x")).message).toBe(
      [
        'Apply failed with 3 conflicts: conflicts with "a":',
        "- .spec.paused",
        '- .spec.template.spec.containers[name="web"].image',
        'conflicts with "k" with subresource "scale" using apps/v1:',
        "- .spec.replicas",
      ].join("\n"),
    );
    const forced = apply(scaled, wanted, "x", 2, true).object;
    expect(ownersOf(forced)["k"]).toBeUndefined();
    expect((forced["spec"] as Json)["replicas"]).toBe(1);
  });

  it("agreeing is no conflict, and both own", () => {
    const live = update(undefined, named({ replicas: 1 }), "a");
    const { object, changed } = apply(live, named({ replicas: 1 }), "x", 1);
    expect(changed).toBe(false);
    expect(Object.keys(ownersOf(object))).toEqual(["x", "a"]);
  });

  it("atomic maps and lists have one owner", () => {
    const selector = (labels: Json) => named({ selector: { matchLabels: labels } });
    const first = apply(undefined, selector({ a: "1" }), "a").object;
    expect(statusError(() => apply(first, selector({ b: "1" }), "x")).message).toContain(".spec.selector");
    expect(apply(first, selector({ b: "1" }), "x", 1, true).object["spec"]).toEqual({
      selector: { matchLabels: { b: "1" } },
    });
  });

  it("ports are known by number and protocol, which is TCP where unsaid", () => {
    const ports = (...list: Json[]) => named(template(container("web", { ports: list })));
    const first = apply(undefined, ports({ containerPort: 80, protocol: "TCP", name: "http" }), "a").object;
    const second = apply(first, ports({ containerPort: 80, hostPort: 80 }), "x", 1).object;
    expect(second["spec"]).toEqual(
      template(container("web", { ports: [{ containerPort: 80, protocol: "TCP", name: "http", hostPort: 80 }] })),
    );
  });

  it.each([
    [named({ zz: 1 }), ".spec.zz: field not declared in schema"],
    [
      named(template(container("a"), container("a"))),
      '.spec.template.spec.containers: duplicate entries for key [name="a"]',
    ],
    [
      named(template({ image: "x" })),
      `.spec.template.spec.containers: element 0: associative list with keys has an element that omits key field "name" (and doesn't have default value)`,
    ],
    [{ ...named({}), spec: 5 }, ".spec: expected map, got &{5}"],
    [named({ replicas: "lots" }), ".spec.replicas: expected numeric (int or float), got string"],
    [
      named({ replicas: "lots", zz: 1 }),
      "errors:\n  .spec.replicas: expected numeric (int or float), got string\n  .spec.zz: field not declared in schema",
    ],
  ])("refuses %j", (applied, fault) => {
    expect(statusError(() => apply(undefined, applied, "x")).message).toBe(
      `failed to create typed patch object (default/web; apps/v1, Kind=Deployment): ${fault}`,
    );
  });

  it("refuses managedFields and other versions", () => {
    expect(statusError(() => apply(undefined, withManagers(named({}), []), "x")).message).toBe(
      "metadata.managedFields must be nil",
    );
    expect(statusError(() => apply(undefined, { ...named({}), apiVersion: "v1" }, "x")).message).toBe(
      "Incorrect version specified in apply patch. Specified patch version: v1, expected: apps/v1",
    );
  });

  it("kubectl takes over from client-side apply without a fight", () => {
    const applied = named({ replicas: 1, paused: true });
    const annotations = { "kubectl.kubernetes.io/last-applied-configuration": JSON.stringify(applied) };
    const live = update(undefined, named({ replicas: 1, paused: true }, { annotations }), "kubectl-client-side-apply");
    const { object } = apply(live, named({ replicas: 2, paused: true }), "kubectl", 1);
    expect((object["spec"] as Json)["replicas"]).toBe(2);
    const kept = ((object["metadata"] as Json)["annotations"] as Record<string, string>)[
      "kubectl.kubernetes.io/last-applied-configuration"
    ];
    expect(JSON.parse(kept ?? "")).toMatchObject({ spec: { replicas: 2 } });
    const scaled = update(live, named({ replicas: 5, paused: true }, { annotations }), "kubectl-scale", 1);
    expect(statusError(() => apply(scaled, named({ replicas: 2, paused: true }), "kubectl", 2)).message).toContain(
      'conflict with "kubectl-scale" using apps/v1: .spec.replicas',
    );
  });
});

describe("hostile input", () => {
  it("an annotation nested without end is no last-applied configuration", () => {
    const depth = 60_000;
    const annotations = {
      "kubectl.kubernetes.io/last-applied-configuration": `{"spec":${"[".repeat(depth)}${"]".repeat(depth)}}`,
    };
    const live = update(undefined, named({ replicas: 1 }, { annotations }), "a");
    expect(statusError(() => apply(live, named({ replicas: 2 }), "kubectl")).code).toBe(409);
  });

  it("a label called __proto__ is a label", () => {
    const labels: unknown = JSON.parse('{"__proto__":"x","constructor":"y"}');
    const live = update(undefined, named({}, { labels }), "a");
    expect(ownersOf(live)["a"]).toContain('"f:__proto__":{}');
    const { object } = apply(live, named({}, { labels: { b: "z" } }), "x");
    expect(JSON.stringify((object["metadata"] as Json)["labels"])).toBe('{"__proto__":"x","constructor":"y","b":"z"}');
    expect("x" in {}).toBe(false);
  });
});

const word: fc.Arbitrary<string> = fc.constantFrom("a", "b", "c");
// Nothing empty but structures: Go leaves empty maps and lists out of what it stores.
const labels = fc.dictionary(word, word, { minKeys: 1 });
const anySpec = fc.record(
  {
    replicas: fc.integer({ min: 1, max: 3 }),
    paused: fc.boolean(),
    template: fc.record({
      metadata: fc.record({ labels: labels }, { requiredKeys: [] }),
      spec: fc.record({
        containers: fc.uniqueArray(
          fc.record(
            { name: word, image: word, args: fc.array(word, { minLength: 1 }), resources: fc.constant({}) },
            { requiredKeys: ["name"] },
          ),
          { selector: ({ name }) => name, minLength: 1 },
        ),
        nodeSelector: labels,
      }),
    }),
  },
  { requiredKeys: ["template"] },
);
const anyDeployment = fc
  .tuple(
    anySpec,
    fc.record({ finalizers: fc.uniqueArray(word, { minLength: 1 }), labels: labels }, { requiredKeys: [] }),
  )
  .map(([spec, metadata]) => named(spec, metadata));

describe("properties", () => {
  it("applying the same twice changes nothing the second time", () => {
    fc.assert(
      fc.property(anyDeployment, anyDeployment, (live, applied) => {
        const first = apply(update(undefined, live, "a"), applied, "x", 1, true);
        const second = apply(first.object, applied, "x", 2);
        expect(second.changed).toBe(false);
        expect(second.object).toEqual(first.object);
      }),
    );
  });

  it("what was applied is in the object, and inputs stay as they were", () => {
    fc.assert(
      fc.property(anyDeployment, anyDeployment, anyDeployment, (live, one, two) => {
        const before = JSON.stringify([live, one, two]);
        const first = apply(update(undefined, live, "a"), one, "x", 1, true).object;
        const second = apply(first, two, "x", 2, true).object;
        const { changed } = apply(second, two, "y", 3);
        expect(changed).toBe(false);
        expect(JSON.stringify([live, one, two])).toBe(before);
      }),
    );
  });

  it("who applies alone gets exactly what it applies last", () => {
    fc.assert(
      fc.property(anyDeployment, anyDeployment, (one, two) => {
        const alone = apply(apply(undefined, one, "x").object, two, "x", 1).object;
        const fresh = apply(undefined, two, "x").object;
        expect(ownersOf(alone)).toEqual(ownersOf(fresh));
      }),
    );
  });

  it("every field has an owner, and only fields that are there", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(anyDeployment, word), { minLength: 1, maxLength: 5 }), (writes) => {
        let object: Json | undefined;
        for (const [next, manager] of writes) object = update(object, next, manager);
        // A new manager that applies the whole object owns all of it, so nothing may be owned besides.
        const { managedFields: _, uid: __, ...metadata } = (object as Json)["metadata"] as Json;
        const all = apply(object, { ...object, metadata }, "all", 1);
        expect(all.changed).toBe(false);
      }),
    );
  });
});
