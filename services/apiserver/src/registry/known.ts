/** Kinds that the apiserver itself works with, with the TypeScript type of their objects. */
import type {
  ConfigMap,
  Endpoints,
  Event,
  LimitRange,
  Namespace,
  Node,
  PersistentVolume,
  Pod,
  ResourceQuota,
  Secret,
  Service,
  ServiceAccount,
} from "@pilothouse/api/types/core-v1";
import type { IngressClass } from "@pilothouse/api/types/networking-v1";
import type { RuntimeClass } from "@pilothouse/api/types/node-v1";
import type { StorageClass } from "@pilothouse/api/types/storage-v1";
import type { IPAddress, ServiceCIDR } from "@pilothouse/api/types/networking-v1";
import type { PodDisruptionBudget } from "@pilothouse/api/types/policy-v1";
import type { ClusterRole, ClusterRoleBinding, Role, RoleBinding } from "@pilothouse/api/types/rbac-v1";
import type { PriorityClass } from "@pilothouse/api/types/scheduling-v1";
import { kindOf, type KindDefinition } from "@pilothouse/kinds";

export interface Known<T> {
  readonly kind: KindDefinition;
  /** Never set: carries the object's TypeScript type. */
  readonly object?: T;
}

const RBAC = "rbac.authorization.k8s.io";

export const known = {
  namespaces: knownKind<Namespace>("", "namespaces"),
  nodes: knownKind<Node>("", "nodes"),
  pods: knownKind<Pod>("", "pods"),
  configMaps: knownKind<ConfigMap>("", "configmaps"),
  secrets: knownKind<Secret>("", "secrets"),
  events: knownKind<Event>("", "events"),
  services: knownKind<Service>("", "services"),
  endpoints: knownKind<Endpoints>("", "endpoints"),
  ipAddresses: knownKind<IPAddress>("networking.k8s.io", "ipaddresses"),
  serviceCidrs: knownKind<ServiceCIDR>("networking.k8s.io", "servicecidrs"),
  serviceAccounts: knownKind<ServiceAccount>("", "serviceaccounts"),
  resourceQuotas: knownKind<ResourceQuota>("", "resourcequotas"),
  limitRanges: knownKind<LimitRange>("", "limitranges"),
  runtimeClasses: knownKind<RuntimeClass>("node.k8s.io", "runtimeclasses"),
  podDisruptionBudgets: knownKind<PodDisruptionBudget>("policy", "poddisruptionbudgets"),
  priorityClasses: knownKind<PriorityClass>("scheduling.k8s.io", "priorityclasses"),
  persistentVolumes: knownKind<PersistentVolume>("", "persistentvolumes"),
  storageClasses: knownKind<StorageClass>("storage.k8s.io", "storageclasses"),
  ingressClasses: knownKind<IngressClass>("networking.k8s.io", "ingressclasses"),
  clusterRoles: knownKind<ClusterRole>(RBAC, "clusterroles"),
  clusterRoleBindings: knownKind<ClusterRoleBinding>(RBAC, "clusterrolebindings"),
  roles: knownKind<Role>(RBAC, "roles"),
  roleBindings: knownKind<RoleBinding>(RBAC, "rolebindings"),
} as const;

function knownKind<T>(group: string, resource: string): Known<T> {
  const kind = kindOf(group, "v1", resource);
  if (!kind) throw new Error(`${resource} are not served`);
  return { kind };
}
