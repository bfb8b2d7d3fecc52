/** A hand that plays scheduler and kubelet for the pods of a test's cluster. */
import type { Pod } from "@pilothouse/api/types/core-v1";
import { resources } from "@pilothouse/client";
import type { Cluster } from "./cluster.fixture.ts";
import { timestampOf } from "./core/values.ts";

export interface Fates {
  /** False: the pod runs, but is not ready; undefined: it is left alone. Default: all are ready. */
  readonly ready?: (pod: Pod) => boolean | undefined;
  /** False: the pod stays as long as it likes. Default: all go when they are asked to. */
  readonly ends?: (pod: Pod) => boolean;
}

const merge = (body: object) => ({ type: "application/merge-patch+json", body }) as const;

/** Lets time pass, a tenth of a second a round: pods are bound, run, become ready, and go. */
export async function live(made: Cluster, rounds: number, fates: Fates = {}): Promise<void> {
  for (let round = 0; round < rounds; round++) {
    for (const pod of await made.all(resources.pods)) await play(made, pod, fates);
    await made.pass(100);
  }
}

async function play({ client, clock }: Cluster, pod: Pod, { ready, ends }: Fates): Promise<void> {
  const { metadata, spec, status } = pod;
  const { name = "", namespace = "", deletionTimestamp } = metadata;
  if (deletionTimestamp !== undefined) {
    if (ends?.(pod) !== false) await client.delete(resources.pods, namespace, name, { gracePeriodSeconds: 0 });
    return;
  }
  if (!spec.nodeName) {
    const target = { kind: "Node", name: wantedNode(pod) };
    const binding = { apiVersion: "v1", kind: "Binding", metadata: { name }, target };
    await client.createSubresource(resources.pods, namespace, name, "binding", binding);
    return;
  }
  const isReady = ready ? ready(pod) : true;
  const before = status?.conditions?.find(({ type }) => type === "Ready")?.status;
  if (isReady === undefined || status?.phase === "Failed" || before === (isReady ? "True" : "False")) return;
  const condition = { type: "Ready", status: isReady ? "True" : "False", lastTransitionTime: timestampOf(clock.now()) };
  const address = `198.18.0.${(Number.parseInt(name.slice(-3).replace("-", ""), 36) % 250) + 1}`;
  const body = { status: { phase: "Running", conditions: [condition], podIP: address, podIPs: [{ ip: address }] } };
  await client.patch(resources.pods, namespace, name, merge(body), { subresource: "status" });
}

/** Where node affinity sends it, as that of a daemon does. */
function wantedNode({ spec }: Pod): string {
  const required = spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  return required?.nodeSelectorTerms[0]?.matchFields?.[0]?.values?.[0] ?? "n1";
}

/** The pod ends by itself, and badly. */
export async function fail({ client }: Cluster, { metadata }: Pod): Promise<void> {
  const body = { status: { phase: "Failed" } };
  await client.patch(resources.pods, metadata.namespace ?? "", metadata.name ?? "", merge(body), {
    subresource: "status",
  });
}
