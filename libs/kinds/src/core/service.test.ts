import { fieldErrorBody, type FieldError } from "@pilothouse/errors";
import type { Service, ServiceSpec } from "@pilothouse/api/types/core-v1";
import { describe, expect, test } from "vitest";
import { service } from "./service.ts";
import { nodePortRangeRules } from "./service-rules.ts";

const PORT = { port: 80 };

function created(spec: ServiceSpec): Service {
  const object: Service = { metadata: { name: "web", namespace: "default" }, spec };
  service.defaults?.(object);
  service.prepareForCreate?.(object);
  return object;
}

function updated(spec: ServiceSpec, old: Service): Service {
  const object: Service = { metadata: old.metadata, spec };
  service.defaults?.(object);
  service.prepareForUpdate?.(object, old);
  return object;
}

test("a Service that says only its port", () => {
  const object = created({ ports: [{ port: 80 }], selector: { app: "web" } });
  expect(object).toEqual({
    metadata: { name: "web", namespace: "default" },
    spec: {
      ports: [{ port: 80, protocol: "TCP", targetPort: 80 }],
      selector: { app: "web" },
      type: "ClusterIP",
      sessionAffinity: "None",
      internalTrafficPolicy: "Cluster",
      ipFamilyPolicy: "SingleStack",
      ipFamilies: ["IPv4"],
    },
    status: { loadBalancer: {} },
  });
  expect(service.validate?.(object)).toEqual([]);
});

test("NodePort and LoadBalancer say how traffic comes in; affinity lasts three hours", () => {
  expect(created({ type: "NodePort", ports: [PORT] }).spec.externalTrafficPolicy).toBe("Cluster");
  expect(created({ type: "LoadBalancer", ports: [PORT] }).spec).toMatchObject({ allocateLoadBalancerNodePorts: true });
  expect(created({ sessionAffinity: "ClientIP", ports: [PORT] }).spec.sessionAffinityConfig).toEqual({
    clientIP: { timeoutSeconds: 10_800 },
  });
});

test("a Service with addresses outside says how traffic comes in, whatever its type", () => {
  const object = created({ ports: [{ port: 80 }], externalIPs: ["192.0.2.1"] });
  expect(object.spec.externalTrafficPolicy).toBe("Cluster");
  expect(service.validate?.(object)).toEqual([]);
});

test("clusterIP and clusterIPs say the same", () => {
  expect(created({ clusterIP: "None", ports: [PORT], selector: { a: "b" } }).spec).toMatchObject({
    clusterIPs: ["None"],
  });
});

test("headless without a selector may point to either family", () => {
  expect(created({ clusterIP: "None" }).spec).toMatchObject({
    ipFamilyPolicy: "RequireDualStack",
    ipFamilies: ["IPv4", "IPv6"],
  });
});

describe("what is wrong with a Service is said as upstream says it", () => {
  test.each<[string, ServiceSpec, string[]]>([
    ["no ports", {}, ["spec.ports: Required value"]],
    ["headless without ports", { clusterIP: "None" }, []],
    [
      "two ports without names",
      { ports: [{ port: 80 }, { port: 81 }] },
      ["spec.ports[0].name: Required value", "spec.ports[1].name: Required value"],
    ],
    [
      "one port twice",
      {
        ports: [
          { name: "a", port: 80 },
          { name: "b", port: 80 },
        ],
      },
      ['spec.ports[1]: Duplicate value: {"protocol":"TCP","port":80}'],
    ],
    [
      "port 0",
      { ports: [{ port: 0, targetPort: 80 }] },
      ["spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive"],
    ],
    [
      "an unknown type",
      { type: "Magic", ports: [PORT] },
      [
        'spec.type: Unsupported value: "Magic": supported values: "ClusterIP", "ExternalName", "LoadBalancer", "NodePort"',
      ],
    ],
    [
      "a node port without the type",
      { ports: [{ port: 80, nodePort: 30080 }] },
      ["spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"],
    ],
    [
      "a headless NodePort",
      { type: "NodePort", clusterIP: "None", ports: [PORT] },
      ["spec.clusterIPs[0]: Invalid value: \"None\": may not be set to 'None' for NodePort services"],
    ],
    ["ExternalName without a name", { type: "ExternalName" }, ["spec.externalName: Required value"]],
    ["ExternalName with a dot at the end", { type: "ExternalName", externalName: "example.com." }, []],
    [
      "an external policy inside",
      { ports: [PORT], externalTrafficPolicy: "Local" },
      ['spec.externalTrafficPolicy: Invalid value: "Local": may only be set for externally-accessible services'],
    ],
    [
      "the kubelet's port outside, which is the balancer's own affair",
      { type: "LoadBalancer", ports: [{ port: 10250 }] },
      [],
    ],
    [
      "ranges of a balancer that is none",
      { ports: [PORT], loadBalancerSourceRanges: [" 10.0.0.0/8", "10.0.0.0"] },
      [
        "spec.LoadBalancerSourceRanges: Forbidden: may only be used when `type` is 'LoadBalancer'",
        'spec.LoadBalancerSourceRanges[1]: Invalid value: "10.0.0.0": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)',
      ],
    ],
    [
      "two addresses of one family",
      {
        ports: [PORT],
        clusterIP: "198.19.0.1",
        clusterIPs: ["198.19.0.1", "198.19.0.2"],
        ipFamilies: ["IPv4", "IPv6"],
      },
      [
        'spec.clusterIPs: Invalid value: ["198.19.0.1","198.19.0.2"]: may specify no more than one IP for each IP family',
        'spec.clusterIPs[1]: Invalid value: "198.19.0.2": expected an IPv6 value as indicated by `ipFamilies[1]`',
      ],
    ],
    [
      "a class of another type",
      { ports: [PORT], loadBalancerClass: "not a name" },
      ["spec.loadBalancerClass: Forbidden: may only be used when `type` is 'LoadBalancer'"],
    ],
    [
      "affinity for two days",
      { ports: [PORT], sessionAffinity: "ClientIP", sessionAffinityConfig: { clientIP: { timeoutSeconds: 172_800 } } },
      [
        "spec.sessionAffinityConfig.clientIP.timeoutSeconds: Invalid value: 172800: must be greater than 0 and less than 86400",
      ],
    ],
    [
      "an address that is none",
      { ports: [PORT], clusterIP: "1.2.3" },
      ['spec.clusterIPs[0]: Invalid value: "1.2.3": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)'],
    ],
  ])("%s", (_name, spec, errors) => {
    expect(texts(service.validate?.(created(spec)) ?? [])).toEqual(errors);
  });

  test("a node port out of range", () => {
    const object = created({ type: "NodePort", ports: [{ port: 80, nodePort: 80 }] });
    expect(texts([...nodePortRangeRules(object, 30000, 32767)])).toEqual([
      "spec.ports[0].nodePort: Invalid value: 80: provided port is not in the valid range. The range of valid ports is 30000-32767",
    ]);
  });

  test("a name that starts with a digit", () => {
    expect(service.validateName?.("1web", false)).toHaveLength(1);
  });
});

describe("a Service that exists", () => {
  const allocated = (): Service => {
    const object = created({ type: "NodePort", ports: [{ port: 80 }], selector: { app: "web" } });
    object.spec.clusterIP = "198.19.0.9";
    object.spec.clusterIPs = ["198.19.0.9"];
    for (const port of object.spec.ports ?? []) port.nodePort = 30080;
    return object;
  };

  test("keeps what was allocated when a client leaves it out", () => {
    const object = updated({ type: "NodePort", ports: [{ port: 80 }], selector: { app: "web" } }, allocated());
    expect(object.spec).toEqual(allocated().spec);
  });

  test("may not get another address", () => {
    const old = allocated();
    const object = updated({ ...old.spec, clusterIP: "198.19.0.10" }, old);
    expect(texts(service.validateUpdate?.(object, old) ?? [])).toEqual([
      'spec.clusterIPs[0]: Invalid value: ["198.19.0.10"]: may not change once set',
    ]);
  });

  test("may change its families while it has no address, and not when it has", () => {
    const families = (clusterIP: string, ipFamilies: string[]): Service =>
      created({ clusterIP, ports: [PORT], ipFamilies });
    const errors = (to: Service, from: Service): string[] => texts(service.validateUpdate?.(to, from) ?? []);
    expect(errors(families("None", ["IPv6"]), families("None", ["IPv4"]))).toEqual([]);
    expect(errors(families("198.19.0.9", ["IPv6"]), families("198.19.0.9", ["IPv4"]))).toEqual([
      'spec.ipFamilies[0]: Invalid value: ["IPv6"]: may not change once set',
    ]);
    expect(errors(families("None", ["IPv4"]), families("198.19.0.9", ["IPv4"]))).toEqual([
      'spec.clusterIPs[0]: Invalid value: ["None"]: may not change once set',
    ]);
  });

  test("gives its second address back only when it asks for one", () => {
    const both: ServiceSpec = {
      ports: [PORT],
      clusterIP: "198.19.0.9",
      clusterIPs: ["198.19.0.9", "fd00::9"],
      ipFamilies: ["IPv4", "IPv6"],
      ipFamilyPolicy: "PreferDualStack",
    };
    const one = { ...both, clusterIPs: ["198.19.0.9"], ipFamilies: ["IPv4"] };
    const errors = (policy: string): string[] =>
      texts(service.validateUpdate?.(created({ ...one, ipFamilyPolicy: policy }), created(both)) ?? []);
    expect(errors("SingleStack")).toEqual([]);
    expect(errors("PreferDualStack")).toEqual([
      "spec.ipFamilyPolicy: Invalid value: \"PreferDualStack\": must be set to 'SingleStack' when releasing the secondary clusterIP",
      "spec.ipFamilyPolicy: Invalid value: \"PreferDualStack\": must be set to 'SingleStack' when releasing the secondary ipFamily",
    ]);
  });

  test("is reached at what its balancer says, in the mode that it says, or as a virtual address", () => {
    const balanced = (type: string, ...ingress: object[]): Service => {
      const object = created({ type, ports: [PORT] });
      object.status = { loadBalancer: { ingress } };
      service.defaults?.(object);
      return object;
    };
    const errors = (object: Service): string[] => texts(service.validateStatusUpdate?.(object, object) ?? []);
    const good = balanced("LoadBalancer", { ip: "192.0.2.1" }, { hostname: "lb.example" });
    expect(good.status?.loadBalancer?.ingress?.[0]).toEqual({ ip: "192.0.2.1", ipMode: "VIP" });
    expect(errors(good)).toEqual([]);
    expect(
      errors(balanced("LoadBalancer", { ip: "lb", ipMode: "Magic" }, { hostname: "192.0.2.1", ipMode: "VIP" })),
    ).toEqual([
      'status.loadBalancer.ingress[0].ip: Invalid value: "lb": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)',
      'status.loadBalancer.ingress[0].ipMode: Unsupported value: "Magic": supported values: "Proxy", "VIP"',
      "status.loadBalancer.ingress[1].ipMode: Forbidden: may not be specified when `ip` is not set",
      'status.loadBalancer.ingress[1].hostname: Invalid value: "192.0.2.1": must be a DNS name, not an IP address',
    ]);
    expect(errors(balanced("NodePort", { ip: "192.0.2.1" }))).toEqual([
      "status.loadBalancer.ingress: Forbidden: may only be used when `spec.type` is 'LoadBalancer'",
    ]);
  });

  test("is warned of what has no effect", () => {
    const object = created({ clusterIP: "None", ports: [PORT], sessionAffinity: "ClientIP", externalName: "a.b" });
    expect(service.warnings?.(object, undefined)).toEqual([
      "spec.SessionAffinity is ignored for headless services",
      'spec.externalName is ignored when spec.type is not "ExternalName"',
    ]);
  });

  test("loses its node port when it becomes ClusterIP", () => {
    const old = allocated();
    const object = updated({ ...old.spec, ports: [{ port: 80, nodePort: 30080 }], type: "ClusterIP" }, old);
    expect(object.spec.ports).toEqual([{ port: 80, protocol: "TCP", targetPort: 80 }]);
    expect(object.spec.externalTrafficPolicy).toBeUndefined();
    expect(service.validate?.(object)).toEqual([]);
  });

  test("gives its address back when it becomes ExternalName", () => {
    const old = allocated();
    const object = updated({ ...allocated().spec, type: "ExternalName", externalName: "example.com" }, old);
    expect(object.spec.clusterIP).toBeUndefined();
    expect(object.spec.clusterIPs).toBeUndefined();
    expect(texts(service.validate?.(object) ?? [])).toEqual([]);
  });
});

describe("kubectl get services", () => {
  test.each<[string, Service, unknown[]]>([
    [
      "ClusterIP",
      { metadata: {}, spec: { type: "ClusterIP", clusterIP: "198.19.0.1", ports: [{ port: 443, protocol: "TCP" }] } },
      ["ClusterIP", "198.19.0.1", "<none>", "443/TCP", "<unknown>", "<none>"],
    ],
    [
      "headless",
      { metadata: {}, spec: { type: "ClusterIP", clusterIP: "None", clusterIPs: ["None"] } },
      ["ClusterIP", "None", "<none>", "<none>", "<unknown>", "<none>"],
    ],
    [
      "NodePort",
      {
        metadata: {},
        spec: {
          type: "NodePort",
          clusterIP: "198.19.0.2",
          selector: { b: "2", a: "1" },
          ports: [
            { port: 80, nodePort: 30080, protocol: "TCP" },
            { port: 53, nodePort: 30053, protocol: "UDP" },
          ],
        },
      },
      ["NodePort", "198.19.0.2", "<none>", "80:30080/TCP,53:30053/UDP", "<unknown>", "a=1,b=2"],
    ],
    [
      "LoadBalancer that waits",
      { metadata: {}, spec: { type: "LoadBalancer", clusterIP: "198.19.0.3" } },
      ["LoadBalancer", "198.19.0.3", "<pending>", "<none>", "<unknown>", "<none>"],
    ],
    [
      "LoadBalancer",
      {
        metadata: {},
        spec: { type: "LoadBalancer", clusterIP: "198.19.0.3" },
        status: { loadBalancer: { ingress: [{ ip: "192.0.2.1" }, { hostname: "lb.example" }] } },
      },
      ["LoadBalancer", "198.19.0.3", "192.0.2.1,lb.example", "<none>", "<unknown>", "<none>"],
    ],
    [
      "ExternalName",
      { metadata: {}, spec: { type: "ExternalName", externalName: "example.com" } },
      ["ExternalName", "<none>", "example.com", "<none>", "<unknown>", "<none>"],
    ],
  ])("%s", (_name, object, row) => {
    expect(service.columns?.map(({ cell }) => cell(object, 0))).toEqual(row);
  });
});

function texts(errors: readonly FieldError[]): string[] {
  return errors.map((error) => `${error.field}: ${fieldErrorBody(error)}`);
}
