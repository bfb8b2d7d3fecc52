/** The kinds that keep a number of pods: one set of rules, each kind's own names. A ReplicationController is seen as a ReplicaSet. */
import type { ReplicaSet, ReplicaSetStatus } from "@pilothouse/api/types/apps-v1";
import type { ReplicationController } from "@pilothouse/api/types/core-v1";
import type { KubernetesObject } from "@pilothouse/client";
import type { Informer } from "@pilothouse/informer";
import type { Informers } from "../../informers.ts";

export type WithStatus = KubernetesObject & { readonly status?: object };

export interface Family<T extends WithStatus> {
  /** Of the queue, and in metrics. */
  readonly name: string;
  /** Who tells events. */
  readonly component: string;
  readonly apiVersion: string;
  readonly kind: string;
  readonly informer: Informer<T>;
  readonly asReplicaSet: (object: T) => ReplicaSet;
  readonly withStatus: (object: T, status: ReplicaSetStatus) => T;
}

export function replicaSets(informers: Informers): Family<ReplicaSet> {
  return {
    name: "replicaset",
    component: "replicaset-controller",
    apiVersion: "apps/v1",
    kind: "ReplicaSet",
    informer: informers.replicaSets,
    asReplicaSet: (replicaSet) => replicaSet,
    withStatus: (replicaSet, status) => ({ ...replicaSet, status }),
  };
}

export function replicationControllers(informers: Informers): Family<ReplicationController> {
  return {
    name: "replicationcontroller",
    component: "replication-controller",
    apiVersion: "v1",
    kind: "ReplicationController",
    informer: informers.replicationControllers,
    asReplicaSet: (controller) => {
      const { selector = {}, ...spec } = controller.spec;
      return {
        ...controller,
        apiVersion: "v1",
        kind: "ReplicationController",
        spec: { ...spec, selector: { matchLabels: selector } },
      };
    },
    // This kind never learned to count pods on their way out.
    withStatus: (controller, { terminatingReplicas: _uncounted, ...status }) => ({ ...controller, status }),
  };
}
