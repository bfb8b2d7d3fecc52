/**
 * The controller-manager: while it leads its election, it makes the cluster what its objects ask for.
 *
 * Promises: caches are warm before it leads; each controller decides by a pure plan on what the API shows, after its own last
 * writes are seen; all writes carry its leadership's fence. Never talks to etcd but for its election.
 * Does not promise: anything about single controllers; each says so itself.
 */
import type { ApiClient } from "@pilothouse/client";
import { eventRecorder } from "@pilothouse/controller";
import { electedLife, type ElectedPorts } from "@pilothouse/controller/elected";
import { startBootstrapSignerController } from "./controllers/bootstrap-signer/reconcile.ts";
import { startClusterRoleAggregationController } from "./controllers/clusterrole-aggregation/reconcile.ts";
import { startCronJobController } from "./controllers/cronjob/reconcile.ts";
import { startCsrApprovingController } from "./controllers/csr-approving/reconcile.ts";
import { startCsrCleanerController } from "./controllers/csr-cleaner/reconcile.ts";
import { startCsrSigningController } from "./controllers/csr-signing/reconcile.ts";
import { startDaemonSetController } from "./controllers/daemonset/reconcile.ts";
import { startDeploymentController } from "./controllers/deployment/reconcile.ts";
import { startDisruptionController } from "./controllers/disruption/reconcile.ts";
import { startGarbageCollector } from "./controllers/garbage-collector/reconcile.ts";
import { startHorizontalPodAutoscalerController } from "./controllers/horizontalpodautoscaler/reconcile.ts";
import { startJobController } from "./controllers/job/reconcile.ts";
import { startLocalVolumeProvisioner } from "./controllers/local-volume-provisioner/reconcile.ts";
import { startNamespaceController } from "./controllers/namespace/reconcile.ts";
import { startNodeIpamController } from "./controllers/node-ipam/reconcile.ts";
import { startEndpointsController } from "./controllers/endpoints/reconcile.ts";
import { startEndpointSliceMirroringController } from "./controllers/endpointslice-mirroring/reconcile.ts";
import { startEndpointSliceController } from "./controllers/endpointslice/reconcile.ts";
import { startNodeLifecycleController } from "./controllers/node-lifecycle/reconcile.ts";
import { startPersistentVolumeBinder } from "./controllers/persistentvolume-binder/reconcile.ts";
import { startPodGcController } from "./controllers/pod-gc/reconcile.ts";
import { startPvProtectionController } from "./controllers/pv-protection/reconcile.ts";
import { startPvcProtectionController } from "./controllers/pvc-protection/reconcile.ts";
import { startReplicaSetController, startReplicationController } from "./controllers/replicaset/reconcile.ts";
import { startResourceQuotaController } from "./controllers/resourcequota/reconcile.ts";
import { startRootCaController } from "./controllers/root-ca/reconcile.ts";
import { startServiceAccountController } from "./controllers/serviceaccount/reconcile.ts";
import { startServiceAccountTokenController } from "./controllers/serviceaccount-token/reconcile.ts";
import { startServiceCidrController } from "./controllers/service-cidr/reconcile.ts";
import { startTokenCleanerController } from "./controllers/token-cleaner/reconcile.ts";
import { startTtlAfterFinishedController } from "./controllers/ttl-after-finished/reconcile.ts";
import { startStatefulSetController } from "./controllers/statefulset/reconcile.ts";
import type { ControllerManagerConfig, ControllerPorts } from "./controller-ports.ts";
import { Executor } from "./executor.ts";
import { startInformers } from "./informers.ts";

export interface ControllerManagerPorts extends ElectedPorts {
  /** Makes the client whose writes carry `fence()`. */
  readonly openApi: (fence: () => string | undefined) => ApiClient;
}

export type { ControllerManagerConfig, ControllerPorts } from "./controller-ports.ts";

export interface ControllerManagerService {
  /** What is unwell; empty when all is well. */
  problems(): readonly string[];
  readonly leading: () => boolean;
  /** `config.rootCa` says something new: what was published of it follows. */
  rootCaChanged(): void;
}

/** Runs until the ports' scope closes. */
export type StartController = (ports: ControllerPorts) => void;

/** By the folder's name; a ReplicationController is a ReplicaSet of another kind, and lives in its folder. */
export const controllers: Readonly<Record<string, StartController>> = {
  replicaset: startReplicaSetController,
  replicationcontroller: startReplicationController,
  deployment: startDeploymentController,
  job: startJobController,
  cronjob: startCronJobController,
  "ttl-after-finished": startTtlAfterFinishedController,
  statefulset: startStatefulSetController,
  daemonset: startDaemonSetController,
  endpointslice: startEndpointSliceController,
  "endpointslice-mirroring": startEndpointSliceMirroringController,
  endpoints: startEndpointsController,
  "service-cidr": startServiceCidrController,
  "node-ipam": startNodeIpamController,
  serviceaccount: startServiceAccountController,
  "serviceaccount-token": startServiceAccountTokenController,
  "bootstrap-signer": startBootstrapSignerController,
  "token-cleaner": startTokenCleanerController,
  "root-ca": startRootCaController,
  namespace: startNamespaceController,
  "garbage-collector": startGarbageCollector,
  "node-lifecycle": startNodeLifecycleController,
  "pod-gc": startPodGcController,
  "persistentvolume-binder": startPersistentVolumeBinder,
  "local-volume-provisioner": startLocalVolumeProvisioner,
  "pvc-protection": startPvcProtectionController,
  "pv-protection": startPvProtectionController,
  "clusterrole-aggregation": startClusterRoleAggregationController,
  disruption: startDisruptionController,
  horizontalpodautoscaler: startHorizontalPodAutoscalerController,
  resourcequota: startResourceQuotaController,
  "csr-approving": startCsrApprovingController,
  "csr-signing": startCsrSigningController,
  "csr-cleaner": startCsrCleanerController,
};

/** Starts at once; ends with the ports' scope. @param toStart all, unless a test is about some */
export function start(
  ports: ControllerManagerPorts,
  config: ControllerManagerConfig,
  toStart: readonly StartController[] = Object.values(controllers),
): ControllerManagerService {
  const { clock, random, telemetry, bus } = ports;
  const life = electedLife(ports, "kube-controller-manager");
  const client = ports.openApi(life.fence);
  const informers = startInformers({ ...ports, client });
  const feeds = Object.values(informers);
  const rootCaListeners = new Set<() => void>();
  life.run(feeds, (scope, signal) => {
    const executor = new Executor({ client, clock, tracer: telemetry.tracer });
    const events = (component: string) => eventRecorder({ client, clock, scope, telemetry, component });
    const onRootCaChange = (hear: () => void): void => {
      rootCaListeners.add(hear);
      scope.defer(() => void rootCaListeners.delete(hear));
    };
    const common = { client, clock, random, telemetry, scope, bus, informers, executor, events, config };
    return new Promise((resolve) => {
      const controllerPorts = { ...common, onRootCaChange };
      for (const startController of toStart) startController({ ...controllerPorts, onLeadershipLost: resolve });
      if (signal.aborted) resolve();
      signal.addEventListener("abort", () => resolve(), { once: true });
    });
  });
  return {
    leading: life.leading,
    rootCaChanged: () => {
      for (const hear of rootCaListeners) hear();
    },
    problems: () =>
      feeds.filter((informer) => !informer.synced()).map(({ type }) => `${type.resource} have not been listed`),
  };
}
