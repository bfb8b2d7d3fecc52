/**
 * The roles and bindings that every cluster has, as data: upstream's names and rights for what Pilothouse serves, and one
 * identity for each of our own processes.
 */
import type {
  ClusterRole,
  ClusterRoleBinding,
  PolicyRule,
  Role,
  RoleBinding,
  Subject,
} from "@pilothouse/api/types/rbac-v1";
import { READ, rule, WRITE } from "./policy-rule.ts";
import { USER_ROLES, type UserRole } from "./user-roles.ts";

const RBAC = "rbac.authorization.k8s.io";
const API_VERSION = `${RBAC}/v1`;
const META = {
  labels: { "kubernetes.io/bootstrapping": "rbac-defaults" },
  annotations: { "rbac.authorization.kubernetes.io/autoupdate": "true" },
} as const;

const CSR = "certificates.k8s.io";
const REQUESTS = "certificatesigningrequests";

const ALL = ["*"];

const EVENTS = rule(["create", "patch", "update"], ["", "events.k8s.io"], ["events"]);
const REVIEWS = [
  rule(["create"], ["authentication.k8s.io"], ["tokenreviews"]),
  rule(["create"], ["authorization.k8s.io"], ["subjectaccessreviews"]),
];
const DISCOVERY_URLS = [
  "/api",
  "/api/*",
  "/apis",
  "/apis/*",
  "/healthz",
  "/livez",
  "/openapi",
  "/openapi/*",
  "/readyz",
  "/version",
  "/version/",
];

const SCHEDULER: readonly PolicyRule[] = [
  EVENTS,
  ...REVIEWS,
  rule(READ, [""], ["nodes", "namespaces", "persistentvolumeclaims", "persistentvolumes", "services"]),
  rule(["patch", "update"], [""], ["persistentvolumeclaims", "persistentvolumes"]),
  rule([...READ, "delete"], [""], ["pods"]),
  rule(["create"], [""], ["pods/binding", "bindings"]),
  rule(["patch", "update"], [""], ["pods/status"]),
  rule(READ, [""], ["replicationcontrollers"]),
  rule(READ, ["apps"], ["replicasets", "statefulsets"]),
  rule(READ, ["policy"], ["poddisruptionbudgets"]),
  rule(READ, ["scheduling.k8s.io"], ["priorityclasses"]),
  rule(
    READ,
    ["storage.k8s.io"],
    ["csidrivers", "csinodes", "csistoragecapacities", "storageclasses", "volumeattachments"],
  ),
  rule(READ, ["resource.k8s.io"], ["deviceclasses", "resourceclaims", "resourceslices"]),
  rule([...READ, "create", "update", "patch"], ["coordination.k8s.io"], ["leases"]),
];

const CONTROLLER_MANAGER: readonly PolicyRule[] = [
  EVENTS,
  ...REVIEWS,
  rule(
    [...READ, ...WRITE],
    [""],
    [
      "configmaps",
      "endpoints",
      "persistentvolumeclaims",
      "persistentvolumes",
      "pods",
      "replicationcontrollers",
      "secrets",
      "serviceaccounts",
      "services",
    ],
  ),
  rule([...READ, "delete", "patch", "update"], [""], ["namespaces", "nodes"]),
  rule(
    ["patch", "update"],
    [""],
    [
      "namespaces/finalize",
      "namespaces/status",
      "nodes/status",
      "persistentvolumeclaims/status",
      "persistentvolumes/status",
      "pods/status",
      "replicationcontrollers/status",
      "resourcequotas/status",
      "services/status",
    ],
  ),
  rule(["create"], [""], ["pods/eviction", "serviceaccounts/token"]),
  rule(
    [...READ, ...WRITE],
    ["apps", "autoscaling", "batch", "coordination.k8s.io", "discovery.k8s.io", "policy"],
    ["*"],
  ),
  rule(["update"], [CSR], [`${REQUESTS}/approval`, `${REQUESTS}/status`]),
  signers(["approve", "sign"], "kubernetes.io/*", "pilothouse.io/*"),
  rule(["update"], ["*"], ["*/finalizers"]),
  // ClusterRoles that gather others' rules get rights that the controller itself does not have.
  rule(["escalate"], [RBAC], ["clusterroles"]),
  // The garbage collector and the namespace controller touch every kind.
  rule([...READ, "delete", "deletecollection", "patch", "update"], ["*"], ["*"]),
  { verbs: ["get"], nonResourceURLs: ["*"] },
];

/** Of single controllers, as upstream has them: for those who run one of them by its own ServiceAccount. */
const CONTROLLERS: Readonly<Record<string, readonly PolicyRule[]>> = {
  "cronjob-controller": [
    rule(["create", "delete", "get", "list", "patch", "update", "watch"], ["batch"], ["jobs"]),
    rule(["get", "list", "patch", "update", "watch"], ["batch"], ["cronjobs"]),
    rule(["update"], ["batch"], ["cronjobs/finalizers", "cronjobs/status"]),
    rule(["delete", "list"], [""], ["pods"]),
    EVENTS,
  ],
  "horizontal-pod-autoscaler": [
    rule(["get", "list", "watch"], ["autoscaling"], ["horizontalpodautoscalers"]),
    rule(["update"], ["autoscaling"], ["horizontalpodautoscalers/status"]),
    rule(["get", "update"], ["*"], ["*/scale"]),
    rule(["list"], [""], ["pods"]),
    rule(["get", "list"], ["custom.metrics.k8s.io", "external.metrics.k8s.io"], ["*"]),
    rule(["list"], ["metrics.k8s.io"], ["pods"]),
    EVENTS,
  ],
  "job-controller": [
    rule(["get", "list", "patch", "update", "watch"], ["batch"], ["jobs"]),
    rule(["update"], ["batch"], ["jobs/finalizers", "jobs/status"]),
    rule(["create", "delete", "list", "patch", "watch"], [""], ["pods"]),
    EVENTS,
  ],
  "service-cidrs-controller": [
    rule(["get", "list", "patch", "update", "watch"], ["networking.k8s.io"], ["servicecidrs"]),
    rule(["patch", "update"], ["networking.k8s.io"], ["servicecidrs/finalizers", "servicecidrs/status"]),
    rule(["get", "list", "watch"], ["networking.k8s.io"], ["ipaddresses"]),
    EVENTS,
  ],
  "ttl-after-finished-controller": [rule(["delete", "get", "list", "watch"], ["batch"], ["jobs"]), EVENTS],
};

const PROXY: readonly PolicyRule[] = [
  EVENTS,
  rule(READ, [""], ["endpoints", "namespaces", "nodes", "pods", "services"]),
  rule(READ, ["discovery.k8s.io"], ["endpointslices"]),
  rule(READ, ["networking.k8s.io"], ["networkpolicies", "servicecidrs"]),
];

const DNS: readonly PolicyRule[] = [
  rule(READ, [""], ["endpoints", "namespaces", "pods", "services"]),
  rule(READ, ["discovery.k8s.io"], ["endpointslices"]),
];

const ROLES: readonly (readonly [name: string, rules: readonly PolicyRule[]])[] = [
  ["cluster-admin", [rule(ALL, ALL, ALL), { verbs: ["*"], nonResourceURLs: ["*"] }]],
  ["system:discovery", [{ verbs: ["get"], nonResourceURLs: DISCOVERY_URLS }]],
  [
    "system:basic-user",
    [
      rule(["create"], ["authorization.k8s.io"], ["selfsubjectaccessreviews", "selfsubjectrulesreviews"]),
      rule(["create"], ["authentication.k8s.io"], ["selfsubjectreviews"]),
    ],
  ],
  [
    "system:public-info-viewer",
    [{ verbs: ["get"], nonResourceURLs: ["/healthz", "/livez", "/readyz", "/version", "/version/"] }],
  ],
  ["system:monitoring", [{ verbs: ["get"], nonResourceURLs: monitoringUrls() }]],
  ["system:auth-delegator", REVIEWS],
  ["system:service-account-issuer-discovery", [{ verbs: ["get"], nonResourceURLs: issuerUrls() }]],
  ["system:node-problem-detector", [EVENTS, rule(["get"], [""], ["nodes"]), rule(["patch"], [""], ["nodes/status"])]],
  ["system:node-bootstrapper", [rule(["create", "get", "list", "watch"], [CSR], [REQUESTS])]],
  [
    "system:kube-aggregator",
    [rule(READ, [""], ["endpoints", "services"]), rule(READ, ["discovery.k8s.io"], ["endpointslices"])],
  ],
  [
    "system:kube-dns",
    [
      rule(["list", "watch"], [""], ["endpoints", "services"]),
      rule(["list", "watch"], ["discovery.k8s.io"], ["endpointslices"]),
    ],
  ],
  [
    "system:persistent-volume-provisioner",
    [
      rule([...READ, "create", "delete"], [""], ["persistentvolumes"]),
      rule([...READ, "update"], [""], ["persistentvolumeclaims"]),
      rule(READ, ["storage.k8s.io"], ["storageclasses"]),
      rule(["watch"], [""], ["events"]),
      EVENTS,
    ],
  ],
  [
    "system:volume-scheduler",
    [
      rule([...READ, "patch", "update"], [""], ["persistentvolumes"]),
      rule(READ, ["storage.k8s.io"], ["storageclasses"]),
      rule([...READ, "patch", "update"], [""], ["persistentvolumeclaims"]),
    ],
  ],
  ["system:kube-scheduler", SCHEDULER],
  ["system:kube-controller-manager", CONTROLLER_MANAGER],
  ...Object.entries(CONTROLLERS).map(([name, rules]) => [`system:controller:${name}`, rules] as const),
  ["system:node-proxier", PROXY],
  ["system:dns", DNS],
  [
    "system:kubelet-api-admin",
    [
      rule(READ, [""], ["nodes"]),
      rule(["proxy"], [""], ["nodes"]),
      rule(ALL, [""], ["nodes/log", "nodes/metrics", "nodes/proxy", "nodes/stats"]),
    ],
  ],
  ...["nodeclient", "selfnodeclient", "selfnodeserver", "selfnodeagent"].map(
    (what) =>
      [`system:certificates.k8s.io:${REQUESTS}:${what}`, [rule(["create"], [CSR], [`${REQUESTS}/${what}`])]] as const,
  ),
  ...["kube-apiserver-client", "kube-apiserver-client-kubelet", "kubelet-serving", "legacy-unknown"].map(
    (signer) =>
      [`system:certificates.k8s.io:${signer}-approver`, [signers(["approve"], `kubernetes.io/${signer}`)]] as const,
  ),
  // A kubelet's rights depend on what it asks for: core/node-authorizer.ts. The role is named by tools all the same.
  ["system:node", []],
];

const BINDINGS: readonly (readonly [name: string, role: string, subjects: readonly Subject[]])[] = [
  ["cluster-admin", "cluster-admin", [group("system:masters")]],
  ["system:discovery", "system:discovery", [group("system:authenticated")]],
  ["system:basic-user", "system:basic-user", [group("system:authenticated")]],
  [
    "system:public-info-viewer",
    "system:public-info-viewer",
    [group("system:authenticated"), group("system:unauthenticated")],
  ],
  ["system:monitoring", "system:monitoring", [group("system:monitoring")]],
  [
    "system:service-account-issuer-discovery",
    "system:service-account-issuer-discovery",
    [group("system:serviceaccounts")],
  ],
  ["system:kube-scheduler", "system:kube-scheduler", [user("system:kube-scheduler")]],
  ["system:volume-scheduler", "system:volume-scheduler", [user("system:kube-scheduler")]],
  ["system:kube-dns", "system:kube-dns", [{ kind: "ServiceAccount", namespace: "kube-system", name: "kube-dns" }]],
  ["system:node", "system:node", []],
  ["system:kube-controller-manager", "system:kube-controller-manager", [user("system:kube-controller-manager")]],
  ...Object.keys(CONTROLLERS).map(
    (name) => [`system:controller:${name}`, `system:controller:${name}`, [serviceAccount(name)]] as const,
  ),
  ["system:node-proxier", "system:node-proxier", [user("system:kube-proxy")]],
  ["system:dns", "system:dns", [user("system:dns")]],
  // A node renews its own certificates, and those of what runs beside its kubelet.
  ...["selfnodeclient", "selfnodeserver", "selfnodeagent"].map(
    (what) =>
      [
        `pilothouse:node-certificates:${what}`,
        `system:certificates.k8s.io:${REQUESTS}:${what}`,
        [group("system:nodes")],
      ] as const,
  ),
];

/** Every bootstrap ClusterRole. */
export function bootstrapClusterRoles(): readonly ClusterRole[] {
  const plain = ROLES.map(([name, rules]): UserRole => ({ name, rules }));
  return [...plain, ...USER_ROLES].map(({ name, rules, labels, aggregationRule }) => ({
    apiVersion: API_VERSION,
    kind: "ClusterRole",
    metadata: { ...metaOf(name), labels: { ...META.labels, ...labels } },
    ...(aggregationRule ? { aggregationRule } : {}),
    rules: rules.map((row) => ({ ...row })),
  }));
}

export function bootstrapClusterRoleBindings(): readonly ClusterRoleBinding[] {
  return BINDINGS.map(([name, role, subjects]) => ({
    apiVersion: API_VERSION,
    kind: "ClusterRoleBinding",
    metadata: metaOf(name),
    roleRef: { apiGroup: RBAC, kind: "ClusterRole", name: role },
    subjects: [...subjects],
  }));
}

interface NamespacedRole {
  readonly namespace: "kube-system" | "kube-public";
  readonly name: string;
  readonly rules: readonly PolicyRule[];
  /** Of its binding, where that has another name. */
  readonly binding?: string;
  readonly subjects: readonly Subject[];
}

const SIGNER = "system:controller:bootstrap-signer";
const CLEANER = "system:controller:token-cleaner";

const NAMESPACED: readonly NamespacedRole[] = [
  {
    // Aggregated API servers read the client CA from a ConfigMap (wire trap 56).
    namespace: "kube-system",
    name: "extension-apiserver-authentication-reader",
    rules: [{ ...rule(READ, [""], ["configmaps"]), resourceNames: ["extension-apiserver-authentication"] }],
    binding: "system::extension-apiserver-authentication-reader",
    subjects: [user("system:kube-controller-manager"), user("system:kube-scheduler")],
  },
  {
    namespace: "kube-system",
    name: SIGNER,
    rules: [rule(READ, [""], ["secrets"])],
    subjects: [serviceAccount("bootstrap-signer")],
  },
  {
    namespace: "kube-system",
    name: CLEANER,
    rules: [rule([...READ, "delete"], [""], ["secrets"]), EVENTS],
    subjects: [serviceAccount("token-cleaner")],
  },
  {
    namespace: "kube-public",
    name: SIGNER,
    rules: [
      rule(READ, [""], ["configmaps"]),
      { ...rule(["update"], [""], ["configmaps"]), resourceNames: ["cluster-info"] },
      EVENTS,
    ],
    subjects: [serviceAccount("bootstrap-signer")],
  },
];

export function bootstrapRoles(): readonly Role[] {
  return NAMESPACED.map(({ namespace, name, rules }) => ({
    apiVersion: API_VERSION,
    kind: "Role",
    metadata: { ...metaOf(name), namespace },
    rules: [...rules],
  }));
}

export function bootstrapRoleBindings(): readonly RoleBinding[] {
  return NAMESPACED.map(({ namespace, name, binding = name, subjects }) => ({
    apiVersion: API_VERSION,
    kind: "RoleBinding",
    metadata: { ...metaOf(binding), namespace },
    roleRef: { apiGroup: RBAC, kind: "Role", name },
    subjects: [...subjects],
  }));
}

function metaOf(name: string): ClusterRole["metadata"] {
  return { name, labels: { ...META.labels }, annotations: { ...META.annotations } };
}

function signers(verbs: readonly string[], ...names: string[]): PolicyRule {
  return { ...rule(verbs, [CSR], ["signers"]), resourceNames: names };
}

function user(name: string): Subject {
  return { kind: "User", apiGroup: RBAC, name };
}

function serviceAccount(name: string): Subject {
  return { kind: "ServiceAccount", namespace: "kube-system", name };
}

function group(name: string): Subject {
  return { kind: "Group", apiGroup: RBAC, name };
}

function monitoringUrls(): string[] {
  return ["/metrics", "/metrics/slis", "/healthz", "/healthz/*", "/livez", "/livez/*", "/readyz", "/readyz/*"];
}

function issuerUrls(): string[] {
  return [
    "/.well-known/openid-configuration",
    "/.well-known/openid-configuration/",
    "/openid/v1/jwks",
    "/openid/v1/jwks/",
  ];
}
