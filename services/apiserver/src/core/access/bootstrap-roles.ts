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

const RBAC = "rbac.authorization.k8s.io";
const API_VERSION = `${RBAC}/v1`;
const META = {
  labels: { "kubernetes.io/bootstrapping": "rbac-defaults" },
  annotations: { "rbac.authorization.kubernetes.io/autoupdate": "true" },
} as const;

const CSR = "certificates.k8s.io";
const REQUESTS = "certificatesigningrequests";

const READ = ["get", "list", "watch"];
const WRITE = ["create", "delete", "deletecollection", "patch", "update"];
const ALL = ["*"];

const CORE_READ = [
  "configmaps",
  "endpoints",
  "persistentvolumeclaims",
  "persistentvolumeclaims/status",
  "pods",
  "replicationcontrollers",
  "replicationcontrollers/scale",
  "serviceaccounts",
  "services",
  "services/status",
  "bindings",
  "events",
  "limitranges",
  "namespaces/status",
  "pods/log",
  "pods/status",
  "replicationcontrollers/status",
  "resourcequotas",
  "resourcequotas/status",
  "namespaces",
];
const CORE_WRITE = [
  "configmaps",
  "endpoints",
  "events",
  "persistentvolumeclaims",
  "pods",
  "replicationcontrollers",
  "replicationcontrollers/scale",
  "secrets",
  "serviceaccounts",
  "services",
];
const APPS = [
  "daemonsets",
  "deployments",
  "deployments/scale",
  "replicasets",
  "replicasets/scale",
  "statefulsets",
  "statefulsets/scale",
];
const APPS_STATUS = ["daemonsets/status", "deployments/status", "replicasets/status", "statefulsets/status"];

const VIEW: readonly PolicyRule[] = [
  rule(READ, [""], CORE_READ),
  rule(READ, ["discovery.k8s.io"], ["endpointslices"]),
  rule(READ, ["apps"], ["controllerrevisions", ...APPS, ...APPS_STATUS]),
  rule(READ, ["autoscaling"], ["horizontalpodautoscalers", "horizontalpodautoscalers/status"]),
  rule(READ, ["batch"], ["cronjobs", "cronjobs/status", "jobs", "jobs/status"]),
  rule(READ, ["policy"], ["poddisruptionbudgets", "poddisruptionbudgets/status"]),
  rule(READ, ["networking.k8s.io"], ["ingresses", "ingresses/status", "networkpolicies"]),
];

const EDIT: readonly PolicyRule[] = [
  ...VIEW,
  rule(READ, [""], ["pods/attach", "pods/exec", "pods/portforward", "pods/proxy", "secrets", "services/proxy"]),
  rule(["impersonate"], [""], ["serviceaccounts"]),
  rule(WRITE, [""], ["pods/attach", "pods/exec", "pods/portforward", "pods/proxy", "services/proxy"]),
  rule(["create"], [""], ["pods/eviction", "serviceaccounts/token"]),
  rule(WRITE, [""], CORE_WRITE),
  rule(["create", "delete", "deletecollection", "patch", "update"], ["apps"], [...APPS, "deployments/rollback"]),
  rule(WRITE, ["autoscaling"], ["horizontalpodautoscalers"]),
  rule(WRITE, ["batch"], ["cronjobs", "jobs"]),
  rule(WRITE, ["policy"], ["poddisruptionbudgets"]),
  rule(WRITE, ["networking.k8s.io"], ["ingresses", "networkpolicies"]),
  rule([...READ, ...WRITE], ["coordination.k8s.io"], ["leases"]),
];

const ADMIN: readonly PolicyRule[] = [
  ...EDIT,
  rule(["create"], ["authorization.k8s.io"], ["localsubjectaccessreviews"]),
  rule([...READ, ...WRITE], [RBAC], ["rolebindings", "roles"]),
];

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
  // The garbage collector and the namespace controller touch every kind.
  rule([...READ, "delete", "deletecollection", "patch", "update"], ["*"], ["*"]),
  { verbs: ["get"], nonResourceURLs: ["*"] },
];

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

const ROLES: readonly (readonly [name: string, rules: readonly PolicyRule[], labels?: Record<string, string>])[] = [
  ["cluster-admin", [rule(ALL, ALL, ALL), { verbs: ["*"], nonResourceURLs: ["*"] }]],
  ["admin", ADMIN],
  ["edit", EDIT],
  ["view", VIEW],
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
  ["system:kube-scheduler", SCHEDULER],
  ["system:kube-controller-manager", CONTROLLER_MANAGER],
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
  ...["kube-apiserver-client", "kube-apiserver-client-kubelet", "kubelet-serving"].map(
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
  ["system:kube-controller-manager", "system:kube-controller-manager", [user("system:kube-controller-manager")]],
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
  return ROLES.map(([name, rules]) => ({
    apiVersion: API_VERSION,
    kind: "ClusterRole",
    metadata: metaOf(name),
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

/** Aggregated API servers read the client CA from a ConfigMap in kube-system (wire trap 56). */
export function bootstrapRoles(): readonly Role[] {
  return [
    {
      apiVersion: API_VERSION,
      kind: "Role",
      metadata: { ...metaOf("extension-apiserver-authentication-reader"), namespace: "kube-system" },
      rules: [{ ...rule(READ, [""], ["configmaps"]), resourceNames: ["extension-apiserver-authentication"] }],
    },
  ];
}

export function bootstrapRoleBindings(): readonly RoleBinding[] {
  return [
    {
      apiVersion: API_VERSION,
      kind: "RoleBinding",
      metadata: { ...metaOf("system::extension-apiserver-authentication-reader"), namespace: "kube-system" },
      roleRef: { apiGroup: RBAC, kind: "Role", name: "extension-apiserver-authentication-reader" },
      subjects: [user("system:kube-controller-manager"), user("system:kube-scheduler")],
    },
  ];
}

function metaOf(name: string): ClusterRole["metadata"] {
  return { name, labels: { ...META.labels }, annotations: { ...META.annotations } };
}

function rule(verbs: readonly string[], apiGroups: readonly string[], resources: readonly string[]): PolicyRule {
  return { verbs: [...verbs], apiGroups: [...apiGroups], resources: [...resources] };
}

function signers(verbs: readonly string[], ...names: string[]): PolicyRule {
  return { ...rule(verbs, [CSR], ["signers"]), resourceNames: names };
}

function user(name: string): Subject {
  return { kind: "User", apiGroup: RBAC, name };
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
