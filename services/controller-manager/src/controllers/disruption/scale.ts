/** How many pods the owners of some pods want: the sum of their scales, as upstream finds them. */
import type { Deployment, ReplicaSet } from "@pilothouse/api/types/apps-v1";
import type { Pod } from "@pilothouse/api/types/core-v1";
import type { OwnerReference } from "@pilothouse/api/types/meta-v1";
import { resources, type KubernetesObject, type ResourceType } from "@pilothouse/client";
import type { ReconcileContext } from "@pilothouse/controller";
import type { ControllerPorts } from "../../controller-ports.ts";
import { controllerOf } from "../../core/ownership.ts";

export interface OwnersScale {
  readonly scale: number;
  /** Names of pods that nobody controls. */
  readonly unmanaged: readonly string[];
}

/** What a pod's controller is, by its kind. */
const OWNERS: Readonly<Record<string, ResourceType>> = {
  "apps/ReplicaSet": resources.replicaSets,
  "apps/StatefulSet": resources.statefulSets,
  "/ReplicationController": resources.replicationControllers,
};

/** @throws Error for a pod whose controller has no scale, or is gone: how many there should be is not known then */
export async function ownersScale(
  ports: ControllerPorts,
  pods: readonly Pod[],
  context: ReconcileContext,
): Promise<OwnersScale> {
  const scales = new Map<string, number>();
  const asked = new Set<string>();
  const unmanaged: string[] = [];
  for (const pod of pods) {
    const { name = "", namespace = "" } = pod.metadata;
    const owner = controllerOf(pod);
    if (!owner) unmanaged.push(name);
    if (!owner || asked.has(owner.uid)) continue;
    asked.add(owner.uid);
    const found = await scaleOf(ports, owner, namespace, context);
    if (!found) throw new Error(`found no controllers for pod ${JSON.stringify(name)}`);
    scales.set(found.uid, found.scale);
  }
  return { scale: [...scales.values()].reduce((sum, scale) => sum + scale, 0), unmanaged };
}

async function scaleOf(
  { executor }: ControllerPorts,
  owner: OwnerReference,
  namespace: string,
  context: ReconcileContext,
): Promise<{ readonly uid: string; readonly scale: number } | undefined> {
  const read = async (type: ResourceType, { name, uid }: OwnerReference): Promise<Scaled | undefined> => {
    const found = await executor.read(type, namespace, name, context);
    return found?.metadata.uid === uid ? found : undefined;
  };
  const type = OWNERS[`${groupOf(owner)}/${owner.kind}`];
  const found = type && (await read(type, owner));
  if (!found) return undefined;
  // A Deployment's ReplicaSets come and go: what it wants itself is what there should be.
  const above = controllerOf(found);
  const whole = above?.kind === "Deployment" ? await read(resources.deployments, above) : found;
  return whole && { uid: whole.metadata.uid ?? "", scale: whole.spec?.replicas ?? 1 };
}

interface Scaled extends KubernetesObject {
  readonly spec?: Pick<(Deployment | ReplicaSet)["spec"], "replicas">;
}

function groupOf({ apiVersion }: OwnerReference): string {
  return apiVersion.includes("/") ? apiVersion.slice(0, apiVersion.indexOf("/")) : "";
}
