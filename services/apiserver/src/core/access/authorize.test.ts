import { describe, expect, it } from "vitest";
import type { PolicyRule } from "@pilothouse/api/types/rbac-v1";
import type { ApiObject } from "@pilothouse/kinds/kind";
import { covers, isAllowed, type Attributes, type RbacPolicy } from "./authorize.ts";
import { nodeDeleteProblem, nodeMay, nodeWriteProblem, type NamedByPods } from "./node-authorizer.ts";

const asked = (over: Partial<Attributes>): Attributes => ({
  user: { name: "u", groups: ["g"] },
  verb: "get",
  group: "",
  resource: "pods",
  subresource: "",
  namespace: "a",
  name: "",
  path: "",
  isResourceRequest: true,
  ...over,
});

function policy(rules: PolicyRule[], subject: { kind: string; name: string; namespace?: string }): RbacPolicy {
  const binding = {
    metadata: {},
    subjects: [subject],
    roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "Role", name: "r" },
  };
  return {
    clusterRoleBindings: () => [],
    roleBindings: (namespace) => (namespace === "a" ? [binding] : []),
    clusterRole: () => undefined,
    role: (_, name) => (name === "r" ? { metadata: {}, rules } : undefined),
  };
}

describe("RBAC", () => {
  const pods: PolicyRule = { verbs: ["get"], apiGroups: [""], resources: ["pods"] };

  it("denies by default and allows within the binding's namespace alone", () => {
    const mine = policy([pods], { kind: "User", name: "u" });
    expect(isAllowed(asked({}), mine)).toBe(true);
    expect(isAllowed(asked({ verb: "delete" }), mine)).toBe(false);
    expect(isAllowed(asked({ namespace: "b" }), mine)).toBe(false);
    expect(isAllowed(asked({ subresource: "log" }), mine)).toBe(false);
    expect(isAllowed(asked({ group: "apps" }), mine)).toBe(false);
  });

  it("knows users by group and ServiceAccounts by their own namespace", () => {
    expect(isAllowed(asked({}), policy([pods], { kind: "Group", name: "g" }))).toBe(true);
    const account = { name: "system:serviceaccount:a:robot", groups: [] };
    expect(isAllowed(asked({ user: account }), policy([pods], { kind: "ServiceAccount", name: "robot" }))).toBe(true);
    const other = policy([pods], { kind: "ServiceAccount", name: "robot", namespace: "b" });
    expect(isAllowed(asked({ user: account }), other)).toBe(false);
  });

  it("reads names, wildcards and subresources as upstream does", () => {
    const allows = (rule: Partial<PolicyRule>, over: Partial<Attributes>): boolean =>
      isAllowed(asked(over), policy([{ ...pods, ...rule }], { kind: "User", name: "u" }));
    expect(allows({ resourceNames: ["p"] }, { name: "p" })).toBe(true);
    expect(allows({ resourceNames: ["p"] }, { name: "q" })).toBe(false);
    expect(allows({ resources: ["*/scale"] }, { subresource: "scale" })).toBe(true);
    expect(allows({ resources: ["*"] }, { subresource: "log" })).toBe(true);
  });

  it("judges what somebody grants by what they have", () => {
    const own: PolicyRule[] = [{ verbs: ["get", "list"], apiGroups: ["*"], resources: ["pods"] }];
    expect(covers(own, pods)).toBe(true);
    expect(covers(own, { ...pods, verbs: ["get", "delete"] })).toBe(false);
    expect(covers([{ ...pods, resourceNames: ["p"] }], pods)).toBe(false);
  });
});

describe("a kubelet", () => {
  const pods: NamedByPods = {
    names: (resource, _, name) =>
      `${resource}/${name}` === "secrets/s" || `${resource}/${name}` === "persistentvolumeclaims/c",
    claimOf: (volume) => ({ "volume-of-c": { namespace: "default", name: "c" }, other: { name: "d" } })[volume],
  };
  const may = (over: Partial<Attributes>): boolean => nodeMay(asked(over), "n1", pods);

  it("reads what its pods name, and writes its own node and pods", () => {
    expect(may({ resource: "secrets", name: "s" })).toBe(true);
    expect(may({ resource: "secrets", name: "t" })).toBe(false);
    expect(may({ resource: "secrets", verb: "list", name: "" })).toBe(false);
    expect(may({ resource: "persistentvolumes", name: "volume-of-c" })).toBe(true);
    expect(may({ resource: "persistentvolumes", name: "other" })).toBe(false);
    expect(may({ resource: "persistentvolumes", name: "nobody's" })).toBe(false);
    expect(may({ resource: "nodes", subresource: "status", verb: "patch", name: "n1" })).toBe(true);
    expect(may({ resource: "nodes", subresource: "status", verb: "patch", name: "n2" })).toBe(false);
    expect(may({ resource: "pods", subresource: "status", verb: "patch", name: "mine" })).toBe(true);
    expect(may({ resource: "pods", verb: "update", name: "mine" })).toBe(false);
    expect(may({ resource: "pods", subresource: "exec", verb: "create", name: "mine" })).toBe(false);
  });

  it("changes and ends pods of its own only", () => {
    const mine = { metadata: { name: "mine" }, spec: { nodeName: "n1" } };
    const theirs = { metadata: { name: "theirs" }, spec: { nodeName: "n2" } };
    expect(nodeWriteProblem("n1", "pods", mine, mine)).toBeUndefined();
    expect(nodeWriteProblem("n1", "pods", { ...theirs, spec: { nodeName: "n1" } }, theirs)).toBe(
      'node "n1" can only update pod status for pods with spec.nodeName set to itself',
    );
    expect(nodeDeleteProblem("n1", "pods", "", mine)).toBeUndefined();
    expect(nodeDeleteProblem("n1", "pods", "", theirs)).toBe(
      'node "n1" can only delete pods with spec.nodeName set to itself',
    );
    expect(nodeDeleteProblem("n1", "pods", "eviction", theirs)).toBe(
      'node "n1" can only evict pods with spec.nodeName set to itself',
    );
  });

  it("gives itself no rights by a mirror pod that names what it wants to read", () => {
    const metadata = {
      annotations: { "kubernetes.io/config.mirror": "x" },
      ownerReferences: [{ apiVersion: "v1", kind: "Node", name: "n1", uid: "u", controller: true }],
    };
    const spec = { nodeName: "n1", containers: [], volumes: [{ name: "v", secret: { secretName: "anybody's" } }] };
    expect(nodeWriteProblem("n1", "pods", { metadata, spec }, undefined)).toBe(
      'node "n1" can not create pods that reference secrets',
    );
  });

  it("makes mirror pods on itself only, and does not lift its own taints", () => {
    const owner = { apiVersion: "v1", kind: "Node", name: "n1", uid: "u", controller: true };
    const mirror = (ownerReferences: object[], spec: object = {}): ApiObject =>
      ({
        metadata: { annotations: { "kubernetes.io/config.mirror": "x" }, ownerReferences },
        spec: { nodeName: "n1", containers: [], ...spec },
      }) as unknown as ApiObject;
    const problem = (pod: ApiObject): string | undefined => nodeWriteProblem("n1", "pods", pod, undefined);
    const pod = mirror([owner]);
    expect(problem(pod)).toBeUndefined();
    expect(nodeWriteProblem("n2", "pods", pod, undefined)).toContain("set to itself");
    expect(problem(mirror([]))).toBe('node "n1" can only create pods with an owner reference set to itself');
    expect(problem(mirror([{ ...owner, name: "n2" }]))).toContain("an owner reference set to itself");
    expect(problem(mirror([owner, owner]))).toContain("a single owner reference set to itself");
    expect(problem(mirror([{ ...owner, controller: false }]))).toContain("a controller owner reference");
    expect(problem(mirror([{ ...owner, blockOwnerDeletion: true }]))).toContain("must not set blockOwnerDeletion");
    const node = { metadata: { name: "n1" }, spec: { taints: [{ key: "k" }] } };
    expect(nodeWriteProblem("n1", "nodes", { ...node, spec: {} }, node)).toContain("taints");
  });
});
