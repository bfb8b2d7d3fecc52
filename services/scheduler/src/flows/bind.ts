/** The scheduler's two writes: the binding, and the condition that says why there is none. */
import type { Binding, Pod } from "@pilothouse/api/types/core-v1";
import { resources, type ApiClient } from "@pilothouse/client";
import type { TraceContext } from "@pilothouse/telemetry";

/** POST pods/binding; the uid makes sure that it is still the pod that was decided about. */
export async function bind(client: ApiClient, pod: Pod, nodeName: string, trace: TraceContext): Promise<void> {
  const { namespace = "", name = "", uid = "" } = pod.metadata;
  const body: Binding = {
    apiVersion: "v1",
    kind: "Binding",
    metadata: { name, namespace, uid },
    target: { apiVersion: "v1", kind: "Node", name: nodeName },
  };
  await client.createSubresource(resources.pods, namespace, name, "binding", body, { trace });
}

/** Sets `PodScheduled` to False with upstream's reason, unless it says just that already. */
export async function reportUnschedulable(
  client: ApiClient,
  pod: Pod,
  message: string,
  trace: TraceContext,
): Promise<void> {
  const known = pod.status?.conditions?.find(({ type }) => type === "PodScheduled");
  if (known?.status === "False" && known.message === message) return;
  const { namespace = "", name = "", uid = "" } = pod.metadata;
  const condition = {
    type: "PodScheduled",
    status: "False",
    reason: "Unschedulable",
    message,
    observedGeneration: pod.metadata.generation ?? 1,
  };
  const patch = {
    type: "application/strategic-merge-patch+json",
    body: { metadata: { uid }, status: { conditions: [condition] } },
  } as const;
  await client.patch(resources.pods, namespace, name, patch, { subresource: "status", trace });
}
