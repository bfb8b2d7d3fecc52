/** `pilot why`: what keeps a pod, or a workload's pods, from running. Reads; the rules are in why-waits.ts and the scheduler's. */
import type { Event, Pod } from "@pilothouse/api/types/core-v1";
import { resources, type ApiClient, type KubernetesObject, type ResourceType } from "@pilothouse/client";
import { isStatus } from "@pilothouse/errors";
import { explain, type ClusterObjects } from "@pilothouse/scheduler/explain";
import { ExplainedError } from "../cluster/errors.ts";
import { tryLines, unschedulableLines } from "./why-unschedulable.ts";
import { beforeScheduling, firstWait, newest, type Wait } from "./why-waits.ts";

/** As kubectl names them. `template`: whether a change of its pods' template makes new pods. */
const WORKLOADS: readonly {
  readonly names: readonly string[];
  readonly type: ResourceType;
  readonly template: boolean;
}[] = [
  { names: ["deployment", "deployments", "deploy"], type: resources.deployments, template: true },
  { names: ["statefulset", "statefulsets", "sts"], type: resources.statefulSets, template: true },
  { names: ["daemonset", "daemonsets", "ds"], type: resources.daemonSets, template: true },
  { names: ["replicaset", "replicasets", "rs"], type: resources.replicaSets, template: false },
  {
    names: ["replicationcontroller", "replicationcontrollers", "rc"],
    type: resources.replicationControllers,
    template: false,
  },
  { names: ["job", "jobs"], type: resources.jobs, template: false },
];
const PODS = ["pod", "pods", "po"];

interface Workload extends KubernetesObject {
  readonly status?: { readonly conditions?: readonly { type: string; status: string; message?: string }[] };
}

/** @param what `pod/NAME`, `deployment/NAME` or another workload @throws ExplainedError PH-171 where it does not exist */
export async function why(api: ApiClient, what: string, namespace: string): Promise<readonly string[]> {
  const [kind = "", name = ""] = what.includes("/") ? what.split("/") : ["pod", what];
  if (PODS.includes(kind)) {
    const pod = await find(api, resources.pods, namespace, name);
    return pod ? whyPod(api, pod) : whyNoPod(api, namespace, name);
  }
  const known = WORKLOADS.find(({ names }) => names.includes(kind));
  const workload = known && (await find(api, known.type, namespace, name));
  if (!known || !workload) throw unknown(what, namespace);
  return whyWorkload(api, known.type, workload);
}

async function whyPod(api: ApiClient, pod: Pod): Promise<readonly string[]> {
  const { namespace = "", name = "" } = pod.metadata;
  const { nodeName } = pod.spec;
  const head = `pod ${namespace}/${name} is ${pod.status?.phase ?? "Pending"}`;
  if (!nodeName) {
    const wait = beforeScheduling(pod);
    if (wait) return [`${head}, without a node.`, ...waitLines(wait)];
    const [objects, template] = await Promise.all([clusterObjects(api), templateOf(api, pod)]);
    return [`${head}, without a node.`, ...unschedulableLines(pod, explain(pod, objects), template)];
  }
  const [node, events, claims] = await Promise.all([
    find(api, resources.nodes, "", nodeName),
    eventsOf(api, namespace, name),
    api.list(resources.persistentVolumeClaims, namespace),
  ]);
  const byName = new Map(claims.items.map((claim) => [claim.metadata.name ?? "", claim]));
  const wait = firstWait({ pod, node, events, claims: byName });
  return wait
    ? [`${head}, on node ${nodeName}.`, ...waitLines(wait)]
    : [`${head} and Ready, on node ${nodeName}. It waits for nothing.`];
}

/** Where nobody made the pod, whoever should have may say why. */
async function whyNoPod(api: ApiClient, namespace: string, name: string): Promise<readonly string[]> {
  for (const { type } of WORKLOADS) {
    const { items } = await api.list(type, namespace);
    const owner = items.find(({ metadata }) => name === metadata.name || name.startsWith(`${metadata.name ?? ""}-`));
    if (!owner) continue;
    return [`There is no pod ${namespace}/${name}.`, ...(await whyWorkload(api, type, owner))];
  }
  throw unknown(`pod/${name}`, namespace);
}

/** Its own refusals first, then its ReplicaSets', then its first pod that is not ready. */
async function whyWorkload(api: ApiClient, type: ResourceType, workload: Workload): Promise<readonly string[]> {
  const { namespace = "", name = "" } = workload.metadata;
  const { items: sets } = await api.list(resources.replicaSets, namespace);
  const owned = sets.filter((set) => isOwnedBy(set, workload));
  const makers: readonly Workload[] = [workload, ...(owned as readonly Workload[])];
  const head = `${type.kind.toLowerCase()} ${namespace}/${name}`;
  for (const maker of makers) {
    const refusal = await refusalOf(api, maker);
    if (refusal === undefined) continue;
    return [
      `${head} has fewer pods than it wants: ${maker.metadata.name} may not make them.`,
      ...waitLines(refused(refusal, namespace)),
    ];
  }
  const { items: pods } = await api.list(resources.pods, namespace);
  const own = pods.filter((pod) => makers.some((maker) => isOwnedBy(pod, maker)));
  const stuck = own.find((pod) => !isReady(pod) && pod.status?.phase !== "Succeeded");
  if (stuck) return whyPod(api, stuck);
  return own.length === 0
    ? [
        `${head} has no pods, and nobody refused it any.`,
        ...tryLines([`kubectl -n ${namespace} describe ${type.resource} ${name}`]),
      ]
    : [`${head}: all of its ${own.length} pods that are there are Ready, or have done their work.`];
}

/** A condition says it while it is so; who has no such condition says it in events. */
async function refusalOf(api: ApiClient, { metadata, status }: Workload): Promise<string | undefined> {
  const failing = (status?.conditions ?? []).find((one) => one.type === "ReplicaFailure" && one.status === "True");
  if (failing) return failing.message ?? "";
  const last = newest(await eventsOf(api, metadata.namespace ?? "", metadata.name ?? ""));
  return last?.reason === "FailedCreate" ? last.message : undefined;
}

function refused(message: string, namespace: string): Wait {
  const quota = /exceeded quota: ([^,]+)/.exec(message)?.[1];
  if (quota === undefined) return { what: message };
  return { what: message, on: `quota ${quota}`, command: `kubectl -n ${namespace} describe resourcequota ${quota}` };
}

function waitLines({ what, on, command }: Wait): readonly string[] {
  const first = what.endsWith(".") ? `  ${what}` : `  ${what}.`;
  return [
    first,
    ...(on === undefined ? [] : [`  It waits for: ${on}.`]),
    ...tryLines(command === undefined ? [] : [command]),
  ];
}

/** `deployment/web`, where a change of it makes new pods. */
async function templateOf(api: ApiClient, { metadata }: Pod): Promise<string | undefined> {
  const namespace = metadata.namespace ?? "";
  let owner = metadata.ownerReferences?.find(({ controller }) => controller);
  if (owner?.kind === "ReplicaSet") {
    const set = await find(api, resources.replicaSets, namespace, owner.name);
    owner = set?.metadata.ownerReferences?.find(({ controller }) => controller);
  }
  const known = WORKLOADS.find(({ type }) => type.kind === owner?.kind);
  return owner && known?.template ? `${owner.kind.toLowerCase()}/${owner.name}` : undefined;
}

async function clusterObjects(api: ApiClient): Promise<ClusterObjects> {
  const all = async <T extends KubernetesObject>(type: ResourceType<T>): Promise<readonly T[]> =>
    (await api.list(type, "")).items;
  const [nodes, pods, namespaces, claims, volumes, storageClasses, budgets] = await Promise.all([
    all(resources.nodes),
    all(resources.pods),
    all(resources.namespaces),
    all(resources.persistentVolumeClaims),
    all(resources.persistentVolumes),
    all(resources.storageClasses),
    all(resources.podDisruptionBudgets),
  ]);
  return { nodes, pods, namespaces, claims, volumes, storageClasses, budgets };
}

async function eventsOf(api: ApiClient, namespace: string, name: string): Promise<readonly Event[]> {
  return (await api.list(resources.events, namespace, { fieldSelector: `involvedObject.name=${name}` })).items;
}

async function find<T extends KubernetesObject>(
  api: ApiClient,
  type: ResourceType<T>,
  namespace: string,
  name: string,
): Promise<T | undefined> {
  try {
    return await api.get(type, namespace, name);
  } catch (error) {
    if (isStatus(error, "NotFound")) return undefined;
    throw error;
  }
}

function isOwnedBy({ metadata }: KubernetesObject, { metadata: { uid } }: KubernetesObject): boolean {
  return (metadata.ownerReferences ?? []).some((owner) => owner.controller && owner.uid === uid);
}

function isReady({ status }: Pod): boolean {
  return (status?.conditions ?? []).some((one) => one.type === "Ready" && one.status === "True");
}

function unknown(what: string, namespace: string): ExplainedError {
  return new ExplainedError("PH-171", `There is no ${what} in namespace ${namespace}.`);
}
