/**
 * What must hold after every step, checked against the truth: each commit of the store is looked at once, in order.
 *
 * I1 Fence. A write by a leader's identity (Events, Leases and reviews aside) is committed only while the election key's
 *    create-revision is the one that its request named.
 * I2 One fence at a time. An election key's create-revisions rise; a key is replaced only after it is gone.
 * I3 Pods. When a ReplicaSet's pod is created, the active pods of that ReplicaSet (not terminating, not ended) are no more than
 *    the greatest `spec.replicas` that it had within the last 20 s (RECENT_MS): what was asked for when the create was decided.
 * I4 Surge. When a ReplicaSet of a Deployment is made or raised, its ReplicaSets together ask for no more pods than replicas +
 *    maxSurge of the Deployment, the greatest within RECENT_MS.
 * I5 Deletes. A pod is deleted (marked, or removed unmarked) only by a user's wish, because its owner is gone or going,
 *    because it has ended, or while its ReplicaSet has more active pods than the least `spec.replicas` within RECENT_MS; those
 *    count as active that a user deleted within RECENT_MS, for the controller may have decided before it saw that. A pod that
 *    is bound is removed by its own kubelet, or by whoever deletes it once it has ended. Services and Deployments are deleted
 *    by users only, ReplicaSets also when they ask for no pods or their Deployment is gone: one of its name is another.
 * I6 Binding. A pod is bound once, and never to another node.
 * I7 Acknowledged means done. Every revision that the user was told is in the store's history of that object, and a read
 *    after it never shows an older one.
 * I8 Revisions rise, one commit after the other.
 * I9 What the recorded users (users.ts) were told is linearizable and durable; their lists are snapshots, their watches have
 *    etcd's nine properties: judged by test/history.
 * I10, I11: ownership.ts.
 */
import type { Deployment, ReplicaSet } from "@pilothouse/api/types/apps-v1";
import type { EndpointSlice } from "@pilothouse/api/types/discovery-v1";
import type { Pod, Service } from "@pilothouse/api/types/core-v1";
import type { KubernetesObject } from "@pilothouse/client";
import type { StoreChange } from "@pilothouse/store";
import { namespaceOf, Ownership } from "./ownership.ts";
import { changedKey, type Commit } from "./store.ts";
import { Violation, type World } from "./world.ts";

/** As long as a decision may be under way: a pause that no takeover ended, a lost answer, and their retries. */
const RECENT_MS = 20_000;

const ELECTIONS = "/pilothouse/elections/";
const PODS = "/registry/core/pods/";
const REPLICA_SETS = "/registry/apps/replicasets/";
const SLICES = "/registry/discovery.k8s.io/endpointslices/";
const DEPLOYMENTS = "/registry/apps/deployments/";
const UNFENCED = ["/registry/core/events/", "/registry/events.k8s.io/", "/registry/coordination.k8s.io/leases/"];
const SERVICES = "/registry/core/services/";
const USERS_OWN = [DEPLOYMENTS, SERVICES];

const ELECTION_OF: Readonly<Record<string, string>> = {
  "system:kube-scheduler": "kube-scheduler",
  "system:kube-controller-manager": "kube-controller-manager",
};

interface Past {
  readonly untilMs: number;
  readonly value: number;
}

/** A number and what it was until when. */
class Recent {
  #value: number;
  #past: Past[] = [];

  constructor(value: number) {
    this.#value = value;
  }

  set(value: number, nowMs: number): void {
    if (value === this.#value) return;
    this.#past.push({ untilMs: nowMs, value: this.#value });
    this.#past = this.#past.filter(({ untilMs }) => untilMs >= nowMs - RECENT_MS);
    this.#value = value;
  }

  greatest(nowMs: number): number {
    return Math.max(...this.#recent(nowMs));
  }

  least(nowMs: number): number {
    return Math.min(...this.#recent(nowMs));
  }

  #recent(nowMs: number): number[] {
    const past = this.#past.filter(({ untilMs }) => untilMs >= nowMs - RECENT_MS);
    return [this.#value, ...past.map(({ value }) => value)];
  }
}

interface KnownReplicaSet {
  object: ReplicaSet;
  readonly replicas: Recent;
  readonly deletedByUserAtMs: number[];
}

interface KnownDeployment {
  object: Deployment;
  /** replicas + surge */
  readonly most: Recent;
}

export class Invariants {
  readonly pods = new Map<string, Pod>();
  readonly replicaSets = new Map<string, KnownReplicaSet>();
  readonly deployments = new Map<string, KnownDeployment>();
  readonly slices = new Map<string, EndpointSlice>();
  readonly services = new Map<string, Service>();
  readonly ownership: Ownership;
  /** When something other than heartbeats was last written, and what. */
  lastWrite: { atMs: number; what: string } = { atMs: 0, what: "nothing" };
  readonly #world: World;
  readonly #fences = new Map<string, number>();
  /** Create-revisions that each election has seen. */
  readonly #lastFence = new Map<string, number>();
  readonly #history = new Map<string, Set<number>>();
  readonly #acknowledged = new Map<string, number>();
  readonly #askedToDelete = new Set<string>();
  #revision = 0;

  constructor(world: World) {
    this.#world = world;
    this.ownership = new Ownership(world);
  }

  /** The user was told that this is so. */
  acknowledged(object: KubernetesObject & { readonly kind?: string }): void {
    const key = nameOf(object);
    const revision = Number(object.metadata.resourceVersion);
    const before = this.#acknowledged.get(key) ?? 0;
    if (revision < before)
      this.#violated(`I7: a read of ${key} shows revision ${revision} after ${before} was acknowledged`);
    if (!this.#history.get(key)?.has(revision))
      this.#violated(`I7: revision ${revision} of ${key} was acknowledged, but the store never had it`);
    this.#acknowledged.set(key, revision);
  }

  userDeletes(uid: string): void {
    this.#askedToDelete.add(uid);
  }

  judge(commit: Commit): void {
    if (commit.revision <= this.#revision)
      this.#violated(`I8: revision ${commit.revision} came after ${this.#revision}`);
    this.#revision = commit.revision;
    this.#judgeFence(commit);
    this.ownership.judge(commit);
    for (const change of commit.changes) {
      this.#note(change, commit);
      const key = changedKey(change);
      if (key.startsWith(ELECTIONS)) this.#onElection(change);
      else if (key.startsWith(PODS)) this.#onPod(key, commit);
      else if (key.startsWith(REPLICA_SETS)) this.#onReplicaSet(key, commit);
      else if (key.startsWith(DEPLOYMENTS)) this.#onDeployment(key, commit);
      else if (key.startsWith(SLICES)) this.#onSlice(key, commit);
      else if (key.startsWith(SERVICES)) this.#onService(key, commit);
      const isOurs = commit.cause?.user === "admin" || this.ownership.isGoing(namespaceOf(key));
      if (change.type === "delete" && USERS_OWN.some((prefix) => key.startsWith(prefix)) && !isOurs)
        this.#violated(`I5: ${key} was deleted by ${commit.cause?.user ?? "nobody"}`);
    }
  }

  /** The commit as a line of the story, and for I7. */
  #note(change: StoreChange, { revision, life, cause, objects }: Commit): void {
    const key = changedKey(change);
    const object = objects.get(key);
    if (object) {
      const named = nameOf(object);
      this.#history.set(named, (this.#history.get(named) ?? new Set()).add(revision));
    }
    if (isHeartbeat(key)) return;
    const what = change.type === "delete" ? "removed" : change.previous ? "changed" : "created";
    this.lastWrite = { atMs: this.#world.nowMs, what: `${key} ${what} by ${cause?.user ?? life ?? "the store"}` };
    if (revision < FIRST_NEWS && key.startsWith("/registry/rbac")) return;
    const by = cause ? `${cause.user} (${cause.method})` : (life ?? "a lease that ended");
    this.#world.tell(
      life ?? "store",
      `${revision}: ${key.replace("/registry/", "")} ${what}${detailOf(object)}, by ${by}`,
    );
  }

  #judgeFence({ changes, cause, revision }: Commit): void {
    const election = cause && ELECTION_OF[cause.user];
    if (!election) return;
    const written = changes.map(changedKey).find((key) => isFenced(key));
    if (written === undefined) return;
    const fence = Number(/^[^/]+\/(\d+)$/.exec(cause.fence ?? "")?.[1] ?? Number.NaN);
    const current = this.#fences.get(election);
    if (fence !== current)
      this.#violated(
        `I1: revision ${revision} wrote ${written} for ${cause.user} under fence ${cause.fence ?? "none"}, but the election's create-revision is ${current ?? "none"}`,
      );
  }

  #onElection(change: StoreChange): void {
    const election = changedKey(change).slice(ELECTIONS.length);
    if (change.type === "delete") {
      this.#fences.delete(election);
      return;
    }
    const { createRevision } = change.entry;
    const last = this.#lastFence.get(election) ?? 0;
    const current = this.#fences.get(election);
    if (createRevision !== current && (current !== undefined || createRevision <= last))
      this.#violated(`I2: ${election} has fence ${createRevision} after ${last}`);
    this.#fences.set(election, createRevision);
    this.#lastFence.set(election, createRevision);
  }

  #onPod(key: string, commit: Commit): void {
    const before = this.pods.get(key);
    const after = commit.objects.get(key) as Pod | undefined;
    if (after && before && before.metadata.uid === after.metadata.uid) this.#judgeBinding(key, before, after);
    const isMarked = (pod: Pod | undefined): boolean => pod?.metadata.deletionTimestamp !== undefined;
    if (before && !isMarked(before) && (!after || isMarked(after))) this.#judgeDelete(key, before, commit);
    if (before && !after) this.#judgeRemoval(key, before, commit);
    if (after) this.pods.set(key, after);
    else this.pods.delete(key);
    if (after && !before) this.#judgeCreation(key, after);
  }

  #judgeBinding(key: string, before: Pod, after: Pod): void {
    const node = before.spec.nodeName ?? "";
    if (node !== "" && after.spec.nodeName !== node)
      this.#violated(`I6: ${key} was bound to ${node} and is now on ${after.spec.nodeName ?? "none"}`);
  }

  #judgeCreation(key: string, pod: Pod): void {
    const replicaSet = this.#replicaSetOf(pod);
    if (!replicaSet) return;
    const active = this.activePodsOf(replicaSet.object);
    const most = replicaSet.replicas.greatest(this.#world.nowMs);
    if (active.length > most)
      this.#violated(
        `I3: with ${key} there are ${active.length} active pods of ${replicaSet.object.metadata.name}, which asked for ${most}: ${active.map(({ metadata }) => metadata.name).join(", ")}`,
      );
  }

  #judgeDelete(key: string, pod: Pod, { cause }: Commit): void {
    const replicaSet = this.#replicaSetOf(pod);
    if (cause?.user === "admin") replicaSet?.deletedByUserAtMs.push(this.#world.nowMs);
    if (cause?.user === "admin" || this.#askedToDelete.has(pod.metadata.uid ?? "") || isEnded(pod)) return;
    if (!replicaSet || replicaSet.object.metadata.deletionTimestamp !== undefined) return;
    if (this.ownership.isGoing(pod.metadata.namespace ?? "")) return;
    const active = this.activePodsOf(replicaSet.object).length;
    const { nowMs } = this.#world;
    const unseen = replicaSet.deletedByUserAtMs.filter((atMs) => atMs >= nowMs - RECENT_MS).length;
    const least = replicaSet.replicas.least(nowMs);
    if (active + unseen <= least)
      this.#violated(
        `I5: ${cause?.user ?? "nobody"} deletes ${key}, one of ${active} active pods of ${replicaSet.object.metadata.name}, which asked for ${least}`,
      );
  }

  #judgeRemoval(key: string, pod: Pod, { cause }: Commit): void {
    const node = pod.spec.nodeName ?? "";
    if (node !== "" && !isEnded(pod) && cause?.user !== `system:node:${node}`)
      this.#violated(`I5: ${key} runs on ${node} and was removed by ${cause?.user ?? "nobody"}`);
  }

  #onReplicaSet(key: string, { cause, objects }: Commit): void {
    const known = this.replicaSets.get(key);
    const object = objects.get(key) as ReplicaSet | undefined;
    if (!object) {
      const asked = known?.object.spec.replicas ?? 0;
      const isOurs = cause?.user === "admin" || this.ownership.isGoing(namespaceOf(key));
      if (asked > 0 && !isOurs && this.#deploymentOf(known?.object))
        this.#violated(`I5: ${key}, which asks for ${asked} pods, was deleted by ${cause?.user ?? "nobody"}`);
      this.replicaSets.delete(key);
      return;
    }
    const before = known?.object.spec.replicas ?? 0;
    const asked = object.spec.replicas ?? 1;
    if (known) known.object = object;
    const current = known ?? { object, replicas: new Recent(asked), deletedByUserAtMs: [] };
    this.replicaSets.set(key, current);
    current.replicas.set(asked, this.#world.nowMs);
    if (asked > before) this.#judgeSurge(key, object);
  }

  #judgeSurge(key: string, replicaSet: ReplicaSet): void {
    const deployment = this.#deploymentOf(replicaSet);
    if (!deployment) return;
    const uid = deployment.object.metadata.uid;
    let asked = 0;
    for (const { object } of this.replicaSets.values())
      if (object.metadata.ownerReferences?.some((owner) => owner.uid === uid)) asked += object.spec.replicas ?? 1;
    const most = deployment.most.greatest(this.#world.nowMs);
    if (asked > most)
      this.#violated(
        `I4: with ${key} the ReplicaSets of ${deployment.object.metadata.name} ask for ${asked} pods, of at most ${most}`,
      );
  }

  #onDeployment(key: string, { objects }: Commit): void {
    const object = objects.get(key) as Deployment | undefined;
    if (!object) {
      this.deployments.delete(key);
      return;
    }
    const replicas = object.spec.replicas ?? 1;
    const most = replicas + surgeOf(object, replicas);
    const known = this.deployments.get(key) ?? { object, most: new Recent(most) };
    known.object = object;
    known.most.set(most, this.#world.nowMs);
    this.deployments.set(key, known);
  }

  #onSlice(key: string, { objects }: Commit): void {
    const slice = objects.get(key) as EndpointSlice | undefined;
    if (slice) this.slices.set(key, slice);
    else this.slices.delete(key);
  }

  #onService(key: string, { objects }: Commit): void {
    const service = objects.get(key) as Service | undefined;
    if (service) this.services.set(key, service);
    else this.services.delete(key);
  }

  /** The addresses that a Service of the default namespace sends to, sorted. */
  endpointsOf(service: string): string[] {
    return [...this.slices.values()]
      .filter(({ metadata }) => metadata.namespace === "default")
      .filter(({ metadata }) => metadata.labels?.["kubernetes.io/service-name"] === service)
      .flatMap(({ endpoints }) => endpoints ?? [])
      .filter(({ conditions }) => conditions?.ready !== false)
      .flatMap(({ addresses }) => addresses)
      .sort();
  }

  activePodsOf({ metadata }: ReplicaSet): Pod[] {
    return [...this.pods.values()].filter(
      (pod) =>
        pod.metadata.deletionTimestamp === undefined &&
        !isEnded(pod) &&
        pod.metadata.ownerReferences?.some(({ uid, controller }) => controller === true && uid === metadata.uid) ===
          true,
    );
  }

  #replicaSetOf(pod: Pod): KnownReplicaSet | undefined {
    const owner = pod.metadata.ownerReferences?.find(({ controller }) => controller === true);
    const known = this.replicaSets.get(`${REPLICA_SETS}${pod.metadata.namespace ?? ""}/${owner?.name ?? ""}`);
    return known?.object.metadata.uid === owner?.uid ? known : undefined;
  }

  #deploymentOf(replicaSet: ReplicaSet | undefined): KnownDeployment | undefined {
    const owner = replicaSet?.metadata.ownerReferences?.find(({ controller }) => controller === true);
    const found = this.deployments.get(`${DEPLOYMENTS}${replicaSet?.metadata.namespace ?? ""}/${owner?.name ?? ""}`);
    // One of the same name that was made later owns nothing of it.
    return found?.object.metadata.uid === owner?.uid ? found : undefined;
  }

  #violated(what: string): void {
    this.#world.fail(new Violation(what));
  }
}

/** Namespaces, roles and the like of every cluster are no news. */
const FIRST_NEWS = 100;

/** Writes that go on for ever in a healthy cluster: leases, elections, the apiservers' own keys, Events and their ends. */
export function isHeartbeat(key: string): boolean {
  return !key.startsWith("/registry/") || UNFENCED.some((prefix) => key.startsWith(prefix));
}

function nameOf({
  kind = "",
  metadata: { namespace = "", name = "" },
}: KubernetesObject & { readonly kind?: string }): string {
  return `${kind} ${namespace}/${name}`;
}

function isFenced(key: string): boolean {
  return key.startsWith("/registry/") && !UNFENCED.some((prefix) => key.startsWith(prefix));
}

function isEnded({ status }: Pod): boolean {
  return status?.phase === "Succeeded" || status?.phase === "Failed";
}

function surgeOf({ spec }: Deployment, replicas: number): number {
  const surge = spec.strategy?.rollingUpdate?.maxSurge ?? "25%";
  return typeof surge === "number" ? surge : Math.ceil((Number.parseInt(surge, 10) / 100) * replicas);
}

function detailOf(object: KubernetesObject | undefined): string {
  if (!object) return "";
  const { metadata, spec, status } = object as {
    metadata?: KubernetesObject["metadata"];
    spec?: { replicas?: number; nodeName?: string };
    status?: { phase?: string; conditions?: { type: string; status: string }[] };
  };
  const ready = status?.conditions?.find(({ type }) => type === "Ready")?.status;
  const details = [
    spec?.replicas === undefined ? "" : `replicas ${spec.replicas}`,
    spec?.nodeName === undefined ? "" : `on ${spec.nodeName}`,
    status?.phase ?? "",
    ready === undefined ? "" : `ready ${ready}`,
    metadata?.deletionTimestamp === undefined ? "" : "DELETING",
  ].filter((detail) => detail !== "");
  return details.length === 0 ? "" : ` (${details.join(", ")})`;
}
