/** What preemption does: victims are told why, and go; who waited for the same room with less right waits for other room. */
import type { Pod } from "@pilothouse/api/types/core-v1";
import { resources, type ApiClient } from "@pilothouse/client";
import type { EventRecorder } from "@pilothouse/controller";
import { isStatus } from "@pilothouse/errors";
import type { TraceContext } from "@pilothouse/telemetry";

export interface EvictPorts {
  readonly client: ApiClient;
  readonly events: EventRecorder;
  /** A timestamp as objects hold them. */
  readonly now: string;
  readonly schedulerName: string;
}

/** Marks each victim and deletes it with its own grace. One that is gone already, or another by now, is nobody's victim. */
export async function evict(
  ports: EvictPorts,
  preemptor: Pod,
  nodeName: string,
  victims: readonly Pod[],
  trace: TraceContext,
): Promise<void> {
  await Promise.all(
    victims.map(async (victim) => {
      try {
        await evictOne(ports, victim, trace);
      } catch (error) {
        if (isStatus(error, "NotFound") || isStatus(error, "Conflict")) return;
        throw error;
      }
      const message = `Preempted by pod ${preemptor.metadata.uid ?? ""} on node ${nodeName}`;
      ports.events.record({ apiVersion: "v1", kind: "Pod", object: victim }, "Normal", "Preempted", message, trace);
    }),
  );
}

async function evictOne({ client, now, schedulerName }: EvictPorts, victim: Pod, trace: TraceContext): Promise<void> {
  const { namespace = "", name = "", uid = "", deletionTimestamp, generation } = victim.metadata;
  if (deletionTimestamp !== undefined) return;
  const condition = {
    type: "DisruptionTarget",
    status: "True",
    reason: "PreemptionByScheduler",
    message: `${schedulerName}: preempting to accommodate a higher priority pod`,
    lastTransitionTime: now,
    ...(generation === undefined ? {} : { observedGeneration: generation }),
  };
  const body = { metadata: { uid }, status: { conditions: [condition] } };
  const patch = { type: "application/strategic-merge-patch+json", body } as const;
  await client.patch(resources.pods, namespace, name, patch, { subresource: "status", trace });
  await client.delete(resources.pods, namespace, name, { uid, trace });
}

/** `status.nominatedNodeName`, or undefined for none. */
export async function nominate(
  client: ApiClient,
  { metadata, status }: Pod,
  nodeName: string | undefined,
  trace: TraceContext,
): Promise<void> {
  if (status?.nominatedNodeName === nodeName) return;
  const body = { metadata: { uid: metadata.uid }, status: { nominatedNodeName: nodeName ?? null } };
  const patch = { type: "application/strategic-merge-patch+json", body } as const;
  await client.patch(resources.pods, metadata.namespace ?? "", metadata.name ?? "", patch, {
    subresource: "status",
    trace,
  });
}
