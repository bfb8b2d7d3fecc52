/** What a cluster must have come to when nothing goes wrong any more: in the store, in each node's kernel and in DNS. */
import { tracePacket } from "@pilothouse/proxy/trace-packet";
import { DOMAIN, type Cluster } from "./cluster.ts";
import type { Invariants } from "./invariants.ts";
import { ENDS_WITH, SHOP } from "./story.ts";

/** What is still missing; undefined when the cluster is as the story's end wants it. */
export function unconverged(invariants: Invariants): string | undefined {
  const { deployments, replicaSets, pods, ownership } = invariants;
  const { deployment: name, headless, replicas, image } = ENDS_WITH;
  if (ownership.exists(SHOP)) return `namespace ${SHOP} is still there`;
  const deployment = deployments.get(`/registry/apps/deployments/default/${name}`)?.object;
  if (!deployment) return "there is no Deployment";
  const { status, metadata } = deployment;
  if (status?.observedGeneration !== metadata.generation) return "the Deployment's last change is not observed";
  for (const field of ["replicas", "updatedReplicas", "readyReplicas", "availableReplicas"] as const)
    if (status?.[field] !== replicas) return `the Deployment says ${field}: ${status?.[field] ?? 0}`;
  const owned = [...replicaSets.values()].filter(({ object }) => (object.spec.replicas ?? 1) > 0);
  if (owned.length !== 1) return `${owned.length} ReplicaSets ask for pods`;
  const [current] = owned;
  if (current?.object.spec.template?.spec?.containers[0]?.image !== image) return `the ReplicaSet is not of ${image}`;
  if (pods.size !== replicas) return `there are ${pods.size} pods`;
  for (const pod of pods.values()) {
    const ready = pod.status?.conditions?.find(({ type }) => type === "Ready")?.status;
    if (ready !== "True" || pod.status?.phase !== "Running")
      return `${pod.metadata.name ?? ""} is ${pod.status?.phase ?? "new"}, ready ${ready ?? "unknown"}`;
  }
  const wanted = [...pods.values()].map(({ status }) => status?.podIP ?? "").sort();
  for (const service of [name, headless]) {
    const found = invariants.endpointsOf(service);
    if (found.join() !== wanted.join())
      return `the endpoints of ${service} are ${found.join()}, its pods ${wanted.join()}`;
  }
  return undefined;
}

/** Whom the nodes' rules and DNS send to, when that is not whom the store says; undefined when it is. */
export async function unserved(cluster: Cluster, invariants: Invariants): Promise<string | undefined> {
  const { deployment: service, headless } = ENDS_WITH;
  const clusterIp = invariants.services.get(`/registry/core/services/default/${service}`)?.spec?.clusterIP ?? "";
  const endpoints = invariants.endpointsOf(service).join();
  for (const proxy of cluster.filters.keys()) {
    const found = (await reachable(cluster, proxy, clusterIp)).join();
    if (found !== endpoints)
      return `${proxy} sends what is for ${clusterIp} to ${found}, the endpoints are ${endpoints}`;
  }
  const answers = [
    [service, clusterIp],
    [headless, invariants.endpointsOf(headless).join()],
  ] as const;
  for (const [name, wanted] of answers) {
    const found = (await addressesOf(cluster, `${name}.default.svc.${DOMAIN}`)).join();
    if (found !== wanted) return `DNS says that ${name} is ${found || "nothing"}, it is ${wanted}`;
  }
  return undefined;
}

/** The addresses at which connections to a Service may end, sorted. */
async function reachable(cluster: Cluster, proxy: string, clusterIp: string): Promise<string[]> {
  const table = await cluster.tableOf(proxy);
  const packet = {
    enters: "prerouting",
    source: "198.18.9.9",
    destination: clusterIp,
    protocol: "tcp",
    port: 80,
    nodeAddresses: [],
  } as const;
  const found = new Set<string>();
  let slots = 1;
  for (let slot = 0; slot < slots; slot++) {
    const pick = (choices: number): number => Math.min(slot, (slots = choices) - 1);
    const { fate, destination } = tracePacket(table, packet, pick);
    if (fate === "passed") found.add(destination);
  }
  return [...found].sort();
}

async function addressesOf({ dns }: Cluster, name: string): Promise<string[]> {
  const reply = await dns?.({ type: "query", id: 1, questions: [{ type: "A", name }] }, new Uint8Array());
  if (!reply || reply instanceof Uint8Array) return [];
  return (reply.answers ?? []).flatMap((answer) => (answer.type === "A" ? [answer.data] : [])).sort();
}
