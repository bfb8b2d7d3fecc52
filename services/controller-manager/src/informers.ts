/** Every informer that the controllers read. They run from the start of the process, so that a new leader finds them warm. */
import type { Pod, Secret } from "@pilothouse/api/types/core-v1";
import { resources, type KubernetesObject, type ResourceType } from "@pilothouse/client";
import { startInformer, type Informer, type InformerOptions, type InformerPorts } from "@pilothouse/informer";
import { BOOTSTRAP_TOKEN_TYPE } from "./core/bootstrap-tokens.ts";
import { controllerOf } from "./core/ownership.ts";

/** Index names. */
export const BY_CONTROLLER = "controller";
export const BY_ORPHAN_NAMESPACE = "orphans of namespace";
export const BY_NAMESPACE = "namespace";
/** Pods, by `spec.nodeName`. */
export const BY_NODE = "node";
/** Secrets with tokens, by the key of the ServiceAccount that they name. */
export const BY_ACCOUNT = "account";

export const BY_UID = "uid";

/** Where kubelets say that they are alive. */
export const NODE_LEASES_NAMESPACE = "kube-node-lease";

export type Informers = ReturnType<typeof startInformers>;

const byNamespace = ({ metadata }: KubernetesObject): readonly string[] =>
  metadata.namespace === undefined ? [] : [metadata.namespace];

const byUid = ({ metadata }: KubernetesObject): readonly string[] => (metadata.uid === undefined ? [] : [metadata.uid]);

const byNode = ({ spec }: Pod): readonly string[] => (spec.nodeName ? [spec.nodeName] : []);

const byAccount = ({ metadata: { namespace = "", annotations } }: Secret): readonly string[] => [
  `${namespace}/${annotations?.["kubernetes.io/service-account.name"] ?? ""}`,
];

const byOwnership = {
  /** By the uid of the controller. */
  [BY_CONTROLLER]: (object: KubernetesObject): readonly string[] => {
    const controller = controllerOf(object);
    return controller ? [controller.uid] : [];
  },
  /** By namespace, but only what nobody controls. */
  [BY_ORPHAN_NAMESPACE]: (object: KubernetesObject): readonly string[] =>
    controllerOf(object) ? [] : byNamespace(object),
  [BY_NAMESPACE]: byNamespace,
};

export function startInformers(ports: InformerPorts) {
  const start = <T extends KubernetesObject>(options: InformerOptions<T>) => startInformer(ports, options);
  return {
    pods: start({ type: resources.pods, indexes: { ...byOwnership, [BY_NODE]: byNode } }),
    replicaSets: start({ type: resources.replicaSets, indexes: byOwnership }),
    replicationControllers: start({ type: resources.replicationControllers, indexes: byOwnership }),
    deployments: start({ type: resources.deployments, indexes: { [BY_NAMESPACE]: byNamespace } }),
    jobs: start({ type: resources.jobs, indexes: byOwnership }),
    cronJobs: start({ type: resources.cronJobs }),
    statefulSets: start({ type: resources.statefulSets, indexes: { [BY_NAMESPACE]: byNamespace } }),
    daemonSets: start({ type: resources.daemonSets, indexes: { [BY_NAMESPACE]: byNamespace } }),
    controllerRevisions: start({ type: resources.controllerRevisions, indexes: byOwnership }),
    services: start({ type: resources.services, indexes: { [BY_NAMESPACE]: byNamespace } }),
    endpointSlices: start({ type: resources.endpointSlices, indexes: byOwnership }),
    endpoints: start({ type: resources.endpoints }),
    serviceCidrs: start({ type: resources.serviceCidrs }),
    ipAddresses: start({ type: resources.ipAddresses }),
    nodes: start({ type: resources.nodes }),
    nodeLeases: start({ type: resources.leases, namespace: NODE_LEASES_NAMESPACE }),
    namespaces: start({ type: resources.namespaces }),
    serviceAccounts: start({ type: resources.serviceAccounts }),
    // Of Secrets only these: nobody here needs to hold the others' contents.
    tokenSecrets: start({
      type: resources.secrets,
      fieldSelector: "type=kubernetes.io/service-account-token",
      indexes: { [BY_ACCOUNT]: byAccount },
    }),
    bootstrapTokens: start({
      type: resources.secrets,
      namespace: "kube-system",
      fieldSelector: `type=${BOOTSTRAP_TOKEN_TYPE}`,
    }),
    certificateSigningRequests: start({ type: resources.certificateSigningRequests }),
    configMaps: start({ type: resources.configMaps }),
    persistentVolumes: start({ type: resources.persistentVolumes }),
    persistentVolumeClaims: start({ type: resources.persistentVolumeClaims, indexes: { [BY_UID]: byUid } }),
    storageClasses: start({ type: resources.storageClasses }),
    clusterRoles: start({ type: resources.clusterRoles }),
    podDisruptionBudgets: start({ type: resources.podDisruptionBudgets, indexes: { [BY_NAMESPACE]: byNamespace } }),
    horizontalPodAutoscalers: start({ type: resources.horizontalPodAutoscalers }),
    resourceQuotas: start({ type: resources.resourceQuotas, indexes: { [BY_NAMESPACE]: byNamespace } }),
  };
}

/** The informer that holds every object of a resource, if there is one: a part would pass for the whole. */
export function wholeInformer(
  informers: Informers,
  { group, resource }: Pick<ResourceType, "group" | "resource">,
): Informer<KubernetesObject> | undefined {
  return (Object.values(informers) as readonly Informer<KubernetesObject>[]).find(
    ({ type, isWhole }) => isWhole && type.group === group && type.resource === resource,
  );
}
