import { fieldErrorBody } from "@pilothouse/errors";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { kindByName, type ApiObject, type KindDefinition } from "../index.ts";
import { isWithin } from "../ip.ts";

function kind(name: string): KindDefinition {
  return kindByName("networking.k8s.io", "v1", name) as KindDefinition;
}

function errorsOf(name: string, spec: object): string[] {
  const object: ApiObject = { metadata: { name: "x", namespace: "default" }, spec };
  kind(name).defaults?.(object);
  return (kind(name).validate?.(object) ?? []).map((error) => `${error.field}: ${fieldErrorBody(error)}`);
}

function cells(name: string, object: object): unknown[] {
  return (kind(name).columns ?? []).map(({ cell }) => cell({ metadata: {}, ...object }, 0)).slice(0, -1);
}

describe("NetworkPolicy", () => {
  it("says what it is about when its author does not", () => {
    const typesOf = (spec: Record<string, unknown>) => {
      const object: ApiObject = { metadata: {}, spec };
      kind("NetworkPolicy").defaults?.(object);
      return spec["policyTypes"];
    };
    expect(typesOf({})).toEqual(["Ingress"]);
    expect(typesOf({ egress: [{}] })).toEqual(["Ingress", "Egress"]);
    expect(typesOf({ policyTypes: ["Egress"] })).toEqual(["Egress"]);
  });

  it.each<[object, string]>([
    [{ ingress: [{ from: [{}] }] }, "spec.ingress[0].from[0]: Required value: must specify a peer"],
    [
      { egress: [{ to: [{ ipBlock: { cidr: "198.18.0.0/16", except: ["198.19.0.0/24"] } }] }] },
      'spec.egress[0].to[0].ipBlock.except[0]: Invalid value: "198.19.0.0/24": must be a strict subset of `cidr`',
    ],
    [
      { ingress: [{ from: [{ podSelector: {}, ipBlock: { cidr: "198.18.0.0/16" } }] }] },
      "spec.ingress[0].from[0]: Forbidden: may not specify both ipBlock and another peer",
    ],
    [
      { ingress: [{ ports: [{ port: 90, endPort: 80 }] }] },
      "spec.ingress[0].ports[0].endPort: Invalid value: 80: must be greater than or equal to `port`",
    ],
    [
      { ingress: [{ ports: [{ port: "web", endPort: 80 }] }] },
      "spec.ingress[0].ports[0].endPort: Invalid value: 80: may not be specified when `port` is non-numeric",
    ],
    [{ policyTypes: ["In"] }, 'spec.policyTypes[0]: Unsupported value: "In": supported values: "Ingress", "Egress"'],
  ])("%j is refused in upstream's words", (spec, error) => {
    expect(errorsOf("NetworkPolicy", spec)).toEqual([error]);
  });

  it("knows a part of a range by its bits", () => {
    fc.assert(
      fc.property(fc.nat(0xffffffff), fc.integer({ min: 0, max: 31 }), fc.nat(0xffffffff), (base, bits, other) => {
        const text = (value: number) => [24, 16, 8, 0].map((shift) => (value >>> shift) & 255).join(".");
        const mask = bits === 0 ? 0 : (0xffffffff << (32 - bits)) >>> 0;
        const same = (base & mask) >>> 0 === (other & mask) >>> 0;
        expect(isWithin(`${text(other)}/32`, `${text(base)}/${bits}`)).toBe(same);
      }),
    );
    expect(isWithin("198.18.0.0/16", "198.18.0.0/16")).toBe(false);
    expect(isWithin("2001:db8::/64", "198.18.0.0/16")).toBe(false);
  });
});

describe("Ingress", () => {
  const backend = { service: { name: "web", port: { number: 80 } } };
  const path = (more: object) => ({
    rules: [{ http: { paths: [{ path: "/", pathType: "Prefix", backend, ...more }] } }],
  });
  const AT = "spec.rules[0].http.paths[0]";

  it("may be a default backend alone, and rules with paths", () => {
    expect(errorsOf("Ingress", { defaultBackend: backend })).toEqual([]);
    expect(errorsOf("Ingress", { ...path({}), tls: [{ hosts: ["*.shop.example"], secretName: "s" }] })).toEqual([]);
  });

  it.each<[object, string]>([
    [{}, "spec: Invalid value: null: either `defaultBackend` or `rules` must be specified"],
    [path({ pathType: undefined }), `${AT}.pathType: Required value: pathType must be specified`],
    [path({ path: "a" }), `${AT}.path: Invalid value: "a": must be an absolute path`],
    [path({ path: "/a//b" }), `${AT}.path: Invalid value: "/a//b": must not contain '//'`],
    [path({ path: "/.." }), `${AT}.path: Invalid value: "/..": cannot end with '/..'`],
    [
      path({ pathType: "Odd" }),
      `${AT}.pathType: Unsupported value: "Odd": supported values: "Exact", "ImplementationSpecific", "Prefix"`,
    ],
    [path({ backend: {} }), `${AT}.backend: Invalid value: "": resource or service backend is required`],
    [path({ backend: { service: { name: "web" } } }), `${AT}.backend: Required value: port name or number is required`],
  ])("%j is refused in upstream's words", (spec, error) => {
    expect(errorsOf("Ingress", spec)).toEqual([error]);
  });

  it("keeps its status apart, and shows hosts, address and ports", () => {
    const status = { loadBalancer: { ingress: [{ ip: "203.0.113.1" }, { hostname: "lb.example" }] } };
    const rules = ["a", "b", "c", "d"].map((host) => ({ host }));
    expect(cells("Ingress", { spec: { rules, tls: [{}], ingressClassName: "nginx" }, status })).toEqual([
      "nginx",
      "a,b,c + 1 more...",
      "203.0.113.1,lb.example",
      "80, 443",
    ]);
    expect(cells("Ingress", { spec: {} })).toEqual(["<none>", "*", "", "80"]);
  });
});

describe("IngressClass, IPAddress and ServiceCIDR", () => {
  it.each<[string, object, string[]]>([
    ["IngressClass", { controller: "acme.io/lb" }, []],
    ["IngressClass", {}, ["spec.controller: Required value"]],
    [
      "IngressClass",
      { controller: "lb" },
      ['spec.controller: Invalid value: "lb": must be a domain-prefixed path (such as "acme.io/foo")'],
    ],
    [
      "IngressClass",
      { controller: "acme.io/lb", parameters: { kind: "P", name: "p", namespace: "n" } },
      ["spec.parameters.namespace: Forbidden: `parameters.scope` is set to 'Cluster'"],
    ],
    ["IPAddress", {}, ["spec.parentRef: Required value"]],
    ["IPAddress", { parentRef: { resource: "services", name: "web", namespace: "default" } }, []],
    ["ServiceCIDR", {}, ["spec.cidrs: Required value: at least one CIDR required"]],
    ["ServiceCIDR", { cidrs: ["198.19.0.0/16", "2001:db8::/64"] }, []],
    [
      "ServiceCIDR",
      { cidrs: ["198.19.0.0"] },
      ['spec.cidrs[0]: Invalid value: "198.19.0.0": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)'],
    ],
  ])("%s %j", (name, spec, errors) => {
    expect(errorsOf(name, spec)).toEqual(errors);
  });

  it("never change what they stand for", () => {
    const changed = (name: string, spec: object, old: object) =>
      (kind(name).validateUpdate?.({ metadata: {}, spec }, { metadata: {}, spec: old }) ?? []).map(
        ({ field }) => field,
      );
    expect(changed("IngressClass", { controller: "a.b/c" }, { controller: "a.b/d" })).toEqual(["spec.controller"]);
    expect(changed("IPAddress", { parentRef: { name: "a" } }, { parentRef: { name: "b" } })).toEqual([
      "spec.parentRef",
    ]);
    expect(changed("ServiceCIDR", { cidrs: ["198.19.0.0/16"] }, { cidrs: [] })).toEqual(["spec.cidrs"]);
  });

  it("show what they hold", () => {
    const parameters = { kind: "P", apiGroup: "acme.io", name: "p" };
    expect(cells("IngressClass", { spec: { controller: "acme.io/lb", parameters } })).toEqual([
      "acme.io/lb",
      "P.acme.io/p",
    ]);
    const parentRef = { resource: "services", namespace: "default", name: "web" };
    expect(cells("IPAddress", { spec: { parentRef } })).toEqual(["services/default/web"]);
  });
});
