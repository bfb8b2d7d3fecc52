import { fieldErrorBody, type FieldError } from "@pilothouse/errors";
import { describe, expect, test } from "vitest";
import { kindByName, type ApiObject, type KindDefinition } from "./index.ts";

const NOW_MS = Date.parse("2026-01-01T01:00:00Z");
const CREATED = "2026-01-01T00:00:00Z";

function kind(name: string, group = "", version = "v1"): KindDefinition {
  const found = kindByName(group, version, name);
  if (!found) throw new Error(`no kind ${name}`);
  return found;
}

function object(fields: Omit<ApiObject, "metadata"> & { metadata?: ApiObject["metadata"] } = {}): ApiObject {
  return { ...fields, metadata: { name: "x", namespace: "default", creationTimestamp: CREATED, ...fields.metadata } };
}

function errorsOf(definition: KindDefinition, given: ApiObject): string[] {
  definition.defaults?.(given);
  return texts(definition.validate?.(given) ?? []);
}

function row(definition: KindDefinition, given: ApiObject): string {
  return (definition.columns ?? []).map(({ cell }) => String(cell(given, NOW_MS))).join(" | ");
}

describe("ConfigMap and Secret", () => {
  const configMap = kind("ConfigMap");
  const secret = kind("Secret");
  const base64 = (text: string) => Buffer.from(text).toString("base64");

  test("a key that is no file name", () => {
    expect(errorsOf(configMap, object({ data: { "a/b": "" } }))[0]).toMatch(
      /^data\[a\/b\]: Invalid value: "a\/b": a valid config key must consist of/,
    );
  });

  test("one key in both maps", () => {
    expect(errorsOf(configMap, object({ data: { a: "" }, binaryData: { a: "" } }))).toEqual([
      'data[a]: Invalid value: "a": duplicate of key present in binaryData',
    ]);
  });

  test("more than a mebibyte", () => {
    const tooMuch = "x".repeat(1024 * 1024 + 1);
    expect(errorsOf(configMap, object({ data: { a: tooMuch } }))).toEqual([
      ": Too long: may not be more than 1048576 bytes",
    ]);
    expect(errorsOf(secret, object({ stringData: { a: tooMuch } }))).toEqual([
      "data: Too long: may not be more than 1048576 bytes",
    ]);
  });

  test("once immutable, always", () => {
    const old = object({ immutable: true, data: { a: "1" } });
    const change = object({ data: { a: "2" } });
    expect(texts(configMap.validateUpdate?.(change, old) ?? [])).toEqual([
      "immutable: Forbidden: field is immutable when `immutable` is set",
      "data: Forbidden: field is immutable when `immutable` is set",
    ]);
    expect(configMap.validateUpdate?.(object({ immutable: true, data: { a: "1" } }), old)).toEqual([]);
  });

  test("stringData becomes data, and is Opaque unless it says otherwise", () => {
    const given = object({ data: { a: base64("old"), b: base64("b") }, stringData: { a: "new" } });
    secret.defaults?.(given);
    expect(given).toEqual(object({ type: "Opaque", data: { a: base64("new"), b: base64("b") } }));
  });

  test.each<[string, Record<string, string>, string[]]>([
    ["kubernetes.io/tls", {}, ["data[tls.crt]: Required value", "data[tls.key]: Required value"]],
    ["kubernetes.io/ssh-auth", {}, ["data[ssh-privatekey]: Required value"]],
    ["kubernetes.io/basic-auth", {}, ["data[username]: Required value", "data[password]: Required value"]],
    ["kubernetes.io/basic-auth", { username: "" }, []],
    ["kubernetes.io/dockerconfigjson", { ".dockerconfigjson": base64("{}") }, []],
    ["kubernetes.io/dockerconfigjson", {}, ["data[.dockerconfigjson]: Required value"]],
    [
      "kubernetes.io/service-account-token",
      {},
      ["metadata.annotations[kubernetes.io/service-account.name]: Required value"],
    ],
    ["mine.example/own", {}, []],
  ])("type %s with %j", (type, data, errors) => {
    expect(errorsOf(secret, object({ type, data }))).toEqual(errors);
  });

  test("its type is for life, and may be left out", () => {
    const old = object({ type: "kubernetes.io/tls" });
    const other = object({ type: "Opaque" });
    expect(texts(secret.validateUpdate?.(other, old) ?? [])).toEqual([
      'type: Invalid value: "Opaque": field is immutable',
    ]);
  });

  test("their rows", () => {
    expect(row(configMap, object({ data: { a: "" }, binaryData: { b: "" } }))).toBe("2 | 60m");
    expect(row(secret, object({ type: "Opaque", data: { a: "" } }))).toBe("Opaque | 1 | 60m");
  });
});

describe("Namespace", () => {
  const namespace = kind("Namespace");

  test("begins active, with its finalizer and its name as a label", () => {
    const given: ApiObject = { metadata: { name: "shop" } };
    namespace.defaults?.(given);
    namespace.prepareForCreate?.(given);
    expect(given).toEqual({
      metadata: { name: "shop", labels: { "kubernetes.io/metadata.name": "shop" } },
      spec: { finalizers: ["kubernetes"] },
      status: { phase: "Active" },
    });
    expect(row(namespace, given)).toBe("Active | <unknown>");
  });

  test("terminates by deletion only", () => {
    const old: ApiObject = { metadata: { name: "shop" }, status: { phase: "Active" } };
    expect(texts(namespace.validateStatusUpdate?.({ ...old, status: { phase: "Terminating" } }, old) ?? [])).toEqual([
      "status.Phase: Invalid value: \"Terminating\": may only be 'Active' if `deletionTimestamp` is empty",
    ]);
  });

  test("keeps its finalizers in an update", () => {
    const old: ApiObject = { metadata: { name: "shop" }, spec: { finalizers: ["kubernetes"] } };
    const given: ApiObject = { metadata: { name: "shop" } };
    namespace.prepareForUpdate?.(given, old);
    expect(given["spec"]).toEqual({ finalizers: ["kubernetes"] });
  });

  test("has a DNS label for a name", () => {
    expect(namespace.validateName?.("a.b", false)).toEqual(["must not contain dots"]);
  });
});

describe("Node", () => {
  const node = kind("Node");

  test("its row", () => {
    const given = object({
      metadata: { labels: { "node-role.kubernetes.io/worker": "", "kubernetes.io/role": "edge" } },
      spec: { unschedulable: true },
      status: {
        conditions: [{ type: "Ready", status: "True" }],
        addresses: [{ type: "InternalIP", address: "198.51.100.7" }],
        nodeInfo: {
          kubeletVersion: "v1.36.0",
          osImage: "Debian GNU/Linux 12",
          kernelVersion: "6.1",
          containerRuntimeVersion: "containerd://1.6.20",
        },
      },
    });
    expect(row(node, given)).toBe(
      "Ready,SchedulingDisabled | edge,worker | 60m | v1.36.0 | 198.51.100.7 | <none> | Debian GNU/Linux 12 | 6.1 | containerd://1.6.20",
    );
    expect(row(node, object())).toBe("Unknown | <none> | 60m |  | <none> | <none> | <unknown> | <unknown> | <unknown>");
  });

  test("taints are one of a kind", () => {
    const taint = { key: "a", effect: "NoSchedule" };
    expect(errorsOf(node, object({ spec: { taints: [taint, taint, { key: "b", effect: "Never" }] } }))).toEqual([
      'spec.taints[1]: Duplicate value: {"key":"a","effect":"NoSchedule"}: taints must be unique by key and effect pair',
      'spec.taints[2].effect: Unsupported value: "Never": supported values: "NoSchedule", "PreferNoSchedule", "NoExecute"',
    ]);
  });

  test("its pod range is for life", () => {
    const old = object({ spec: { podCIDR: "198.18.0.0/24", podCIDRs: ["198.18.0.0/24"] } });
    const given = object({ spec: { podCIDR: "198.18.1.0/24", podCIDRs: ["198.18.1.0/24"] } });
    expect(texts(node.validateUpdate?.(given, old) ?? [])).toEqual([
      'spec.podCIDRs: Forbidden: node updates may not change podCIDR except from "" to valid',
    ]);
  });

  test("an update keeps the status, an update of the status keeps the spec", () => {
    const old = object({ spec: { unschedulable: true }, status: { phase: "a" } });
    const given = object({ spec: {}, status: { phase: "b" } });
    node.prepareForUpdate?.(given, old);
    expect(given).toMatchObject({ spec: {}, status: { phase: "a" } });
    node.prepareForStatusUpdate?.(given, old, "2026-01-01T00:00:00Z");
    expect(given).toMatchObject({ spec: { unschedulable: true } });
  });
});

describe("Endpoints and EndpointSlice", () => {
  const endpoints = kind("Endpoints");
  const slice = kind("EndpointSlice", "discovery.k8s.io");
  const ips = ["198.18.0.1", "198.18.0.2", "198.18.0.3", "198.18.0.4"];

  test("their rows name three and count the rest", () => {
    const subsets = [{ addresses: ips.map((ip) => ({ ip })), ports: [{ port: 80 }] }];
    expect(row(endpoints, object({ subsets }))).toBe("198.18.0.1:80,198.18.0.2:80,198.18.0.3:80 + 1 more... | 60m");
    expect(row(endpoints, object())).toBe("<none> | 60m");
    expect(
      row(
        slice,
        object({ addressType: "IPv4", ports: [{ port: 80 }], endpoints: ips.map((ip) => ({ addresses: [ip] })) }),
      ),
    ).toBe("IPv4 | 80 | 198.18.0.1,198.18.0.2,198.18.0.3 + 1 more... | 60m");
    expect(row(slice, object({ addressType: "IPv4" }))).toBe("IPv4 | <unset> | <unset> | 60m");
  });

  test("what is wrong is said as upstream says it", () => {
    expect(errorsOf(endpoints, object({ subsets: [{}, { addresses: [{ ip: "127.0.0.1" }] }] }))).toEqual([
      "subsets[0]: Required value: must specify `addresses` or `notReadyAddresses`",
      'subsets[1].addresses[0].ip: Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8, ::1/128)',
    ]);
    expect(
      errorsOf(slice, object({ addressType: "IPv4", endpoints: [{ addresses: [] }, { addresses: ["fd00::1"] }] })),
    ).toEqual([
      "endpoints[0].addresses: Required value: must contain at least 1 address",
      'endpoints[1].addresses[0]: Invalid value: "fd00::1": must be a valid IPv4 address',
    ]);
  });

  test("a slice counts its generations", () => {
    const old = object({ addressType: "IPv4", endpoints: [], ports: [] });
    slice.prepareForCreate?.(old);
    const given = { ...object({ addressType: "IPv4", endpoints: [{ addresses: ["198.18.0.1"] }], ports: [] }) };
    slice.prepareForUpdate?.(given, old);
    expect(given.metadata.generation).toBe(2);
  });
});

describe("Lease and Event", () => {
  const lease = kind("Lease", "coordination.k8s.io");
  const event = kind("Event");

  test("a lease lasts", () => {
    expect(
      errorsOf(lease, object({ spec: { leaseDurationSeconds: 0, leaseTransitions: -1, preferredHolder: "b" } })),
    ).toEqual([
      "spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0",
      "spec.leaseTransitions: Invalid value: -1: must be greater than or equal to 0",
      "spec.preferredHolder: Forbidden: may only be specified if `strategy` is defined",
    ]);
    expect(row(lease, object({ spec: { holderIdentity: "a" } }))).toBe("a | 60m");
  });

  test("a lease that its leader gives up has no holder: client-go writes an empty one", () => {
    expect(errorsOf(lease, object({ spec: { holderIdentity: "", leaseDurationSeconds: 1 } }))).toEqual([]);
  });

  test("an event is at home with what it is about", () => {
    const involvedObject = { kind: "Pod", name: "web", namespace: "other" };
    expect(errorsOf(event, object({ involvedObject }))).toEqual([
      'involvedObject.namespace: Invalid value: "other": does not match event.namespace',
    ]);
    expect(errorsOf(event, object({ involvedObject: { kind: "Node", name: "a" } }))).toEqual([]);
  });

  test("an event of the newer shape says who reports what", () => {
    const involvedObject = { kind: "Pod", name: "web", namespace: "default" };
    const eventTime = "2026-01-01T00:00:00.000000Z";
    const given = {
      involvedObject,
      eventTime,
      reportingComponent: "mine.example/a",
      reportingInstance: "a",
      reason: "R",
    };
    expect(errorsOf(event, object({ ...given, message: "x".repeat(1025) }))).toEqual([
      "action: Required value",
      'message: Invalid value: "": can have at most 1024 characters',
    ]);
  });

  test("the row of an event, which does not begin with its name", () => {
    expect(event.nameColumn).toBe(false);
    const given = object({
      involvedObject: { kind: "Pod", name: "web", fieldPath: "spec.containers{web}" },
      type: "Normal",
      reason: "Pulled",
      message: "Image is there\n",
      count: 2,
      firstTimestamp: "2026-01-01T00:30:00Z",
      lastTimestamp: "2026-01-01T00:59:00Z",
      source: { component: "kubelet", host: "worker-1" },
    });
    expect(row(event, given)).toBe(
      "60s | Normal | Pulled | pod/web | spec.containers{web} | kubelet, worker-1 | Image is there | 30m | 2 | x",
    );
  });
});

describe("RBAC", () => {
  const group = "rbac.authorization.k8s.io";
  const role = kind("Role", group);
  const clusterRole = kind("ClusterRole", group);
  const roleBinding = kind("RoleBinding", group);
  const clusterRoleBinding = kind("ClusterRoleBinding", group);

  test("names may hold colons, not slashes", () => {
    expect(clusterRole.validateName?.("system:node", false)).toEqual([]);
    expect(clusterRole.validateName?.("a/b", false)).toEqual(["may not contain '/'"]);
  });

  test("a rule has verbs, and resources or URLs", () => {
    expect(errorsOf(role, object({ rules: [{}] }))).toEqual([
      "rules[0].verbs: Required value: verbs must contain at least one value",
      "rules[0].apiGroups: Required value: resource rules must supply at least one api group",
      "rules[0].resources: Required value: resource rules must supply at least one resource",
    ]);
    const urls = { verbs: ["get"], nonResourceURLs: ["/healthz"] };
    expect(errorsOf(clusterRole, object({ rules: [urls] }))).toEqual([]);
    expect(errorsOf(role, object({ rules: [urls] }))).toEqual([
      'rules[0].nonResourceURLs: Invalid value: ["/healthz"]: namespaced rules cannot apply to non-resource URLs',
    ]);
  });

  test("a binding gets the group of its role and users, not of service accounts", () => {
    const given = object({
      roleRef: { kind: "ClusterRole", name: "view" },
      subjects: [
        { kind: "User", name: "ada" },
        { kind: "ServiceAccount", name: "robot", namespace: "default" },
      ],
    });
    expect(errorsOf(roleBinding, given)).toEqual([]);
    expect(given).toMatchObject({
      roleRef: { apiGroup: group },
      subjects: [{ apiGroup: group }, { kind: "ServiceAccount" }],
    });
    expect(row(roleBinding, given)).toBe("ClusterRole/view | 60m | ada |  | default/robot");
  });

  test("a cluster-wide binding says where its service account lives, and grants cluster roles only", () => {
    const given = object({
      roleRef: { kind: "Role", name: "r" },
      subjects: [{ kind: "ServiceAccount", name: "robot" }],
    });
    expect(errorsOf(clusterRoleBinding, given)).toEqual([
      'roleRef.kind: Unsupported value: "Role": supported values: "ClusterRole"',
      "subjects[0].namespace: Required value",
    ]);
  });

  test("a binding's role is for life", () => {
    const old = object({ roleRef: { apiGroup: group, kind: "Role", name: "a" } });
    const given = object({ roleRef: { apiGroup: group, kind: "Role", name: "b" } });
    expect(texts(roleBinding.validateUpdate?.(given, old) ?? [])[0]).toMatch(
      /^roleRef: Invalid value: .*: cannot change roleRef$/,
    );
  });
});

describe("LimitRange", () => {
  const limitRange = kind("LimitRange");
  const of = (...limits: object[]) => object({ spec: { limits } });

  test("what a container item does not say follows from what it says", () => {
    const given = of({ type: "Container", max: { cpu: "2" }, min: { cpu: "1", memory: "1Gi" }, default: { gpu: "1" } });
    limitRange.defaults?.(given);
    expect(given["spec"]).toMatchObject({
      limits: [{ default: { cpu: "2", gpu: "1" }, defaultRequest: { cpu: "2", memory: "1Gi", gpu: "1" } }],
    });
  });

  test("one item of a type, of a known type, with known names", () => {
    expect(errorsOf(limitRange, of({ type: "Pod" }, { type: "Pod", max: { gpu: "1" } }, { type: "Node" }))).toEqual([
      'spec.limits[1].type: Duplicate value: "Pod"',
      'spec.limits[1].max[gpu]: Invalid value: "gpu": must be a standard resource type or fully qualified',
      'spec.limits[1].max[gpu]: Invalid value: "gpu": must be a standard resource for containers',
      'spec.limits[2].type: Invalid value: "Node": must be a standard limit type or fully qualified',
    ]);
    expect(errorsOf(limitRange, of({ type: "PersistentVolumeClaim" }))).toEqual([
      "spec.limits[0].limits: Required value: either minimum or maximum storage value is required, but neither was provided",
    ]);
    expect(errorsOf(limitRange, of({ type: "Pod", default: { cpu: "1" } }))).toEqual([
      "spec.limits[0].default: Forbidden: may not be specified when `type` is 'Pod'",
    ]);
  });

  test("min ≤ default request ≤ default ≤ max", () => {
    const turned = { min: { cpu: "4" }, defaultRequest: { cpu: "3" }, default: { cpu: "2" }, max: { cpu: "1" } };
    expect(errorsOf(limitRange, of({ type: "Container", ...turned }))).toEqual([
      'spec.limits[0].min[cpu]: Invalid value: "4": min value 4 is greater than max value 1',
      'spec.limits[0].defaultRequest[cpu]: Invalid value: "3": min value 4 is greater than default request value 3',
      'spec.limits[0].defaultRequest[cpu]: Invalid value: "3": default request value 3 is greater than max value 1',
      'spec.limits[0].defaultRequest[cpu]: Invalid value: "3": default request value 3 is greater than default limit value 2',
      'spec.limits[0].default[cpu]: Invalid value: "4": min value 4 is greater than default value 2',
      'spec.limits[0].default[cpu]: Invalid value: "1": default value 2 is greater than max value 1',
    ]);
  });

  test("a ratio is between one and what the bounds allow", () => {
    const bounds = { min: { cpu: "1" }, max: { cpu: "2" } };
    expect(errorsOf(limitRange, of({ type: "Pod", ...bounds, maxLimitRequestRatio: { cpu: "500m" } }))).toEqual([
      'spec.limits[0].maxLimitRequestRatio[cpu]: Invalid value: "500m": ratio 500m is less than 1',
    ]);
    expect(errorsOf(limitRange, of({ type: "Pod", ...bounds, maxLimitRequestRatio: { cpu: "3" } }))).toEqual([
      'spec.limits[0].maxLimitRequestRatio[cpu]: Invalid value: "3": ratio 3 is greater than max/min = 2.000000',
    ]);
  });
});

describe("PriorityClass and RuntimeClass", () => {
  const priorityClass = kind("PriorityClass", "scheduling.k8s.io");
  const runtimeClass = kind("RuntimeClass", "node.k8s.io");
  const named = (name: string, fields: object) => object({ ...fields, metadata: { name } });

  test("a user's number is below the system's, whose names are its own", () => {
    expect(errorsOf(priorityClass, named("high", { value: 1_000_000_001 }))).toEqual([
      "value: Forbidden: maximum allowed value of a user defined priority is 1000000000",
    ]);
    const reserved = "priority class names with 'system-' prefix are reserved for system use only. error: ";
    expect(errorsOf(priorityClass, named("system-mine", { value: 1 }))).toEqual([
      `metadata.name: Forbidden: ${reserved}system-mine is not a known system priority class`,
    ]);
    expect(errorsOf(priorityClass, named("system-node-critical", { value: 1 }))).toEqual([
      `metadata.name: Forbidden: ${reserved}value of system-node-critical PriorityClass must be 2000001000`,
    ]);
  });

  test("number and policy are for life", () => {
    const [old, given] = [named("a", { value: 1 }), named("a", { value: 2, preemptionPolicy: "Never" })];
    [old, given].forEach((one) => priorityClass.defaults?.(one));
    expect(texts(priorityClass.validateUpdate?.(given, old) ?? [])).toEqual([
      "value: Forbidden: may not be changed in an update.",
      'preemptionPolicy: Invalid value: "Never": field is immutable',
    ]);
    expect(row(priorityClass, { ...given, metadata: old.metadata })).toBe("2 | false | 60m | Never");
  });

  test("a handler is a label, for life", () => {
    expect(errorsOf(runtimeClass, named("a", { handler: "a.b" }))).toEqual([
      'handler: Invalid value: "a.b": must not contain dots',
    ]);
    expect(
      texts(runtimeClass.validateUpdate?.(named("a", { handler: "b" }), named("a", { handler: "a" })) ?? []),
    ).toEqual(['handler: Invalid value: "b": field is immutable']);
  });
});

describe("ResourceQuota", () => {
  const quota = kind("ResourceQuota");
  const of = (spec: object) => object({ spec });

  test("amounts of what is known, whole where they are counted", () => {
    expect(errorsOf(quota, of({ hard: { gpu: "1", pods: "1500m", "requests.cpu": "-1" } }))).toEqual([
      'spec.hard[gpu]: Invalid value: "gpu": must be a standard resource type or fully qualified',
      'spec.hard[gpu]: Invalid value: "gpu": must be a standard resource for quota',
      'spec.hard[pods]: Invalid value: "1500m": must be an integer',
      'spec.hard[requests.cpu]: Invalid value: "-1": must be greater than or equal to 0',
    ]);
    const fine = { "count/deployments.apps": "1", "requests.example.com/gpu": "1", "requests.hugepages-2Mi": "1Gi" };
    expect(errorsOf(quota, of({ hard: fine }))).toEqual([]);
  });

  test("scopes that exclude each other, or say nothing about what is limited", () => {
    expect(errorsOf(quota, of({ scopes: ["Terminating", "NotTerminating"] }))).toEqual([
      'spec.scopes: Invalid value: ["Terminating","NotTerminating"]: conflicting scopes',
    ]);
    expect(errorsOf(quota, of({ hard: { services: "1" }, scopes: ["BestEffort"] }))).toEqual([
      'spec.scopes: Invalid value: ["BestEffort"]: unsupported scope applied to resource',
    ]);
    const matchExpressions = [{ scopeName: "PriorityClass", operator: "In" }];
    expect(errorsOf(quota, of({ scopeSelector: { matchExpressions } }))).toEqual([
      "spec.scopeSelector.matchExpressions.values: Required value: must be at least one value when `operator` is 'In' or 'NotIn' for scope selector",
    ]);
  });
});

function texts(errors: readonly FieldError[]): string[] {
  return errors.map((error) => `${error.field}: ${fieldErrorBody(error)}`);
}
