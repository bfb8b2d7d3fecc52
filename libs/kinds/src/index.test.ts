import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { kindByName, kindOf, kinds, type ApiObject, type KindDefinition } from "./index.ts";

const ORACLES = new URL("../../../test/oracles/", import.meta.url);
const NOW_MS = Date.parse("2026-01-01T00:00:00Z");
/** As upstream's storage strategies have them. */
const SHORT_NAMES =
  "configmaps cm,endpoints ep,events ev,limitranges limits,namespaces ns,nodes no,persistentvolumeclaims pvc," +
  "persistentvolumes pv,pods po,replicationcontrollers rc,resourcequotas quota,serviceaccounts sa,services svc," +
  "daemonsets ds,deployments deploy,replicasets rs,statefulsets sts,horizontalpodautoscalers hpa,cronjobs cj," +
  "certificatesigningrequests csr,ingresses ing,ipaddresses ip,networkpolicies netpol,poddisruptionbudgets pdb," +
  "priorityclasses pc,storageclasses sc,volumeattributesclasses vac";
const SHOWN_BY_GET_ALL =
  "pods,replicationcontrollers,services,daemonsets,deployments,replicasets,statefulsets,horizontalpodautoscalers," +
  "cronjobs,jobs";
const full = kinds.filter(({ depth }) => depth === "full");

describe("the list of kinds", () => {
  test("finds a kind by path and by name", () => {
    expect(kindOf("apps", "v1", "deployments")?.kind).toBe("Deployment");
    expect(kindByName("", "v1", "Pod")?.resource).toBe("pods");
    expect(kindOf("", "v1", "nothings")).toBeUndefined();
  });

  test("names every resource and kind once", () => {
    const names = kinds.flatMap(({ group, version, kind, resource }) => [
      `${group}/${version}/${kind}`,
      `${group}/${version}:${resource}`,
    ]);
    expect(new Set(names).size).toBe(names.length);
  });

  test("does not serve what would lie when merely stored", () => {
    const groups = new Set(kinds.map(({ group }) => group));
    for (const group of [
      "admissionregistration.k8s.io",
      "apiextensions.k8s.io",
      "apiregistration.k8s.io",
      "flowcontrol.apiserver.k8s.io",
    ]) {
      expect(groups).not.toContain(group);
    }
  });

  test("agrees with the published API on paths, scope, kinds, verbs and subresources", () => {
    const { paths } = JSON.parse(readFileSync(new URL("openapi-v1.36.json", ORACLES), "utf8")) as OpenApi;
    for (const kind of kinds) {
      const base = kind.group === "" ? `/api/${kind.version}` : `/apis/${kind.group}/${kind.version}`;
      const collection = `${base}/${kind.namespaced ? "namespaces/{namespace}/" : ""}${kind.resource}`;
      const published = paths[collection];
      expect(published, collection).toBeDefined();
      expect(published?.post?.["x-kubernetes-group-version-kind"]).toMatchObject({
        kind: kind.kind,
        group: kind.group,
      });
      expect(kind.verbs.includes("deletecollection"), collection).toBe(published?.delete !== undefined);
      for (const { name } of kind.subresources) expect(paths).toHaveProperty([`${collection}/{name}/${name}`]);
      const hasStatus = kind.subresources.some(({ name }) => name === "status");
      expect(hasStatus, collection).toBe(`${collection}/{name}/status` in paths);
    }
  });

  test("has upstream's short names and categories, which OpenAPI does not tell", () => {
    const short = kinds.flatMap(({ resource, shortNames }) => shortNames.map((name) => `${resource} ${name}`));
    expect(new Set(short)).toEqual(new Set(SHORT_NAMES.split(",")));
    const inAll = kinds.filter(({ categories }) => categories.includes("all")).map(({ resource }) => resource);
    expect(new Set(inAll)).toEqual(new Set(SHOWN_BY_GET_ALL.split(",")));
  });
});

test("what is published as GA is served, or docs/kinds.md says why not, or it is an answer and not an object", () => {
  const notStored = /reviews$|bindings$/;
  const notServed =
    /^(admissionregistration|apiextensions|apiregistration|events|flowcontrol\.apiserver)\.k8s\.io|^autoscaling\/v1|componentstatuses/;
  const { paths } = JSON.parse(readFileSync(new URL("openapi-v1.36.json", ORACLES), "utf8")) as OpenApi;
  for (const path of Object.keys(paths)) {
    const match = /^\/(?:api|apis\/([^/]+))\/(v\d+)\/(?:namespaces\/\{namespace\}\/)?([a-z]+)$/.exec(path);
    const [, group = "", version = "", resource = ""] = match ?? [];
    if (!match || kindOf(group, version, resource)) continue;
    const name = `${group}/${version}/${resource}`;
    expect(notStored.test(resource) || notServed.test(name) || path.includes("/watch/"), path).toBe(true);
  }
});

describe.each(full.map((kind) => [kind.kind, kind] as const))("%s", (_name, kind) => {
  test("takes an object with nothing in it: errors, no exceptions", () => {
    expect(() => useAll(kind, empty())).not.toThrow();
  });

  test("takes an object with every field filled", () => {
    expect(() => useAll(kind, filled(kind))).not.toThrow();
  });

  test("takes an object from which any one field is missing", () => {
    const whole = filled(kind);
    for (const path of pathsOf(whole)) {
      // The pod's own test covers what is inside a template.
      const isDeepInTemplate = path.length > 4 && path[1] === "template" && path[2] === "spec";
      if (path[0] === "metadata" || isDeepInTemplate) continue;
      const object = copy(whole);
      removeAt(object, path);
      expect(() => useAll(kind, object), path.join(".")).not.toThrow();
    }
  });

  test("defaults twice are defaults once", () => {
    for (const object of [empty(), filled(kind)]) {
      kind.defaults?.(object);
      const once = JSON.stringify(object);
      kind.defaults?.(object);
      expect(JSON.stringify(object)).toBe(once);
    }
  });

  test("an update that changes nothing is allowed, changes nothing and is no new generation", () => {
    const object = filled(kind);
    kind.defaults?.(object);
    kind.prepareForCreate?.(object);
    const old = copy(object);
    kind.prepareForUpdate?.(object, old);
    expect(object).toEqual(old);
    expect(kind.validateUpdate?.(object, old) ?? []).toEqual([]);
    kind.prepareForStatusUpdate?.(object, old, "2026-01-01T00:00:00Z");
    expect(object).toEqual(old);
  });

  test("has the same selectable fields, as strings, for every object", () => {
    const [bare, rich] = [empty(), filled(kind)].map((object) => {
      kind.defaults?.(object);
      return kind.selectableFields?.(object) ?? {};
    });
    expect(Object.keys(bare ?? {})).toEqual(Object.keys(rich ?? {}));
    for (const value of Object.values({ ...bare, ...rich })) expect(typeof value).toBe("string");
  });
});

function useAll(kind: KindDefinition, object: ApiObject): void {
  kind.defaults?.(object);
  kind.prepareForCreate?.(object);
  kind.validate?.(object);
  kind.validateCreate?.(object);
  kind.warnings?.(object, undefined);
  const changed = copy(object);
  kind.prepareForUpdate?.(changed, object);
  kind.validateUpdate?.(changed, object);
  kind.prepareForStatusUpdate?.(changed, object, "2026-01-01T00:00:00Z");
  kind.validateStatusUpdate?.(changed, object);
  kind.gracePeriodSeconds?.(object, undefined);
  kind.selectableFields?.(object);
  for (const column of kind.columns ?? []) column.cell(object, NOW_MS);
}

function empty(): ApiObject {
  return { metadata: { name: "x", namespace: "default" } };
}

/** Upstream's own fixture of the kind, in which no field is left out. */
function filled({ group, version, kind }: KindDefinition): ApiObject {
  const file = `${group === "" ? "core" : group}.${version}.${kind}.json`;
  return JSON.parse(readFileSync(new URL(`roundtrip-v1.36/${file}`, ORACLES), "utf8")) as ApiObject;
}

function pathsOf(value: unknown, path: readonly string[] = []): (readonly string[])[] {
  if (typeof value !== "object" || value === null) return [path];
  const below = Object.entries(value).flatMap(([key, child]) => pathsOf(child, [...path, key]));
  return path.length === 0 ? below : [path, ...below];
}

/** Removes a field; of a list, its item becomes empty. */
function removeAt(object: object, path: readonly string[]): void {
  const last = path.at(-1) ?? "";
  const parent = path.slice(0, -1).reduce((value, key) => (value as Record<string, object>)[key] as object, object);
  if (Array.isArray(parent)) parent[Number(last)] = typeof parent[Number(last)] === "string" ? "" : {};
  else delete (parent as Record<string, unknown>)[last];
}

function copy<T>(value: T): T {
  return JSON.parse(JSON.stringify(value)) as T;
}

interface OpenApi {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation | undefined>> | undefined>>;
}

interface Operation {
  readonly "x-kubernetes-group-version-kind"?: { readonly group: string; readonly kind: string };
}
