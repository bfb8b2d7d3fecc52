/**
 * The garbage collector: what has no living owner goes, and who is deleted gets its dependents treated as the delete said.
 *
 * Promises (C13): nothing with a living owner is deleted. An object and each of its owners are read consistently before the
 * verdict, and every write names uid and resourceVersion of what was judged. Before an owner that deletes its dependents first,
 * or leaves them behind, is let go, every feed has reached the state that was read: no dependent made before is overlooked.
 * Does not promise: kinds that begin to be served after this leader's start; owners of kinds that are not served are never
 * taken as gone.
 * Limits: every collectable object's kinship is in memory. The queue's keys are uids.
 */
import type { OwnerReference } from "@pilothouse/api/types/meta-v1";
import type { KubernetesObject } from "@pilothouse/client";
import { done, inParallel, OwnWrites, requeueAfter } from "@pilothouse/controller";
import type { Outcome, ReconcileContext } from "@pilothouse/controller";
import { revisionOf, type Informer, type InformerChange } from "@pilothouse/informer";
import { WorkQueue } from "@pilothouse/workqueue";
import { startWorkers } from "../../start-workers.ts";
import type { ControllerPorts } from "../../controller-ports.ts";
import type { Cause } from "../../executor.ts";
import { apiVersionOf, startFeeds, type Feeds } from "./feeds.ts";
import { graphObject, OwnerGraph, type GraphObject } from "./plan-graph.ts";
import { deletesDependentsFirst, isShown, waitsForDependents, wakes } from "./plan-wakes.ts";
import { plan, type GarbageAction } from "./plan.ts";
import type { OwnerState, Situation } from "./rules.ts";

const WORKERS = 10;
const PARALLEL_ORPHANS = 16;
/** An owner that lives, but that its feed has not shown yet: its end would not be heard. */
const OWNER_UNSEEN_MS = 2_000;
const OWNER_UNKNOWN_MS = 30_000;

export function startGarbageCollector(ports: ControllerPorts): void {
  const { clock, telemetry, scope } = ports;
  scope.run("garbage collector", async (signal) => {
    const feeds = await startFeeds(ports, signal);
    const queue = new WorkQueue({ name: "garbage-collector", clock, tracer: telemetry.tracer });
    const graph = new OwnerGraph();
    followFeeds(ports, feeds, graph, queue);
    const collector = new GarbageCollector(ports, feeds, graph, queue);
    startWorkers(ports, { name: "garbage-collector", queue, workers: WORKERS, controller: collector });
  });
}

/** The whole graph first, then what is doubtful in it, then each change. In one turn: no change is missed. */
function followFeeds({ scope }: ControllerPorts, { informers }: Feeds, graph: OwnerGraph, queue: WorkQueue): void {
  for (const informer of informers) for (const object of informer.list()) graph.put(graphObject(informer.type, object));
  for (const object of graph.all()) for (const uid of wakes(graph, undefined, object)) queue.add(uid);
  for (const informer of informers)
    scope.defer(informer.onChange((change) => applyChange(graph, queue, informer.type, change)));
}

function applyChange(
  graph: OwnerGraph,
  queue: WorkQueue,
  type: GraphObject["type"],
  change: InformerChange<KubernetesObject>,
): void {
  const wake = (before: GraphObject | undefined, after: GraphObject | undefined): void => {
    for (const uid of wakes(graph, before, after)) queue.add(uid, change.trace);
  };
  const after = graphObject(type, change.object);
  // A name that is used again: the first object's end was not heard.
  const replaced = change.type === "updated" && change.previous.metadata.uid !== after.uid;
  if (replaced) wake(graph.remove(change.previous.metadata.uid ?? ""), undefined);
  if (change.type === "deleted") wake(graph.remove(after.uid), undefined);
  else wake(graph.put(after), after);
}

class GarbageCollector {
  readonly #ports: ControllerPorts;
  readonly #feeds: Feeds;
  readonly #graph: OwnerGraph;
  readonly #queue: WorkQueue;
  readonly #byType: ReadonlyMap<GraphObject["type"], Informer<KubernetesObject>>;
  readonly #events;
  /** Not asked: each reconcile reads anew. */
  readonly #ownWrites = new OwnWrites();

  constructor(ports: ControllerPorts, feeds: Feeds, graph: OwnerGraph, queue: WorkQueue) {
    this.#ports = ports;
    this.#feeds = feeds;
    this.#graph = graph;
    this.#queue = queue;
    this.#byType = new Map(feeds.informers.map((informer) => [informer.type, informer]));
    this.#events = ports.events("garbage-collector-controller");
  }

  async reconcile(uid: string, { trace, signal, span }: ReconcileContext): Promise<Outcome> {
    const known = this.#graph.get(uid);
    if (!known) return done;
    span.set({ resource: known.type.resource, object: `${known.namespace}/${known.name}` });
    const cause: Cause = { key: uid, trace, signal, ownWrites: this.#ownWrites };
    const object = await this.#ports.executor.read(known.type, known.namespace, known.name, cause);
    if (object?.metadata.uid !== uid) return done;
    const live = graphObject(known.type, object);
    if (waitsForDependents(live)) await this.#catchUp(revisionOf(object), signal);
    const owners = live.isLeaving ? [] : await this.#judgeOwners(live, cause);
    const situation: Situation = { object, owners, dependents: this.#graph.dependents(uid) };
    await this.#execute(live, object, plan(situation), cause);
    return this.#nextLook(live, situation);
  }

  /** Every feed shows at least what was so when the object was read, which was after it was marked (C13). */
  async #catchUp(revision: number, signal: AbortSignal): Promise<void> {
    await Promise.all(this.#feeds.informers.map((informer) => informer.waitForRevision(revision, signal)));
  }

  async #judgeOwners(dependent: GraphObject, cause: Cause): Promise<Situation["owners"]> {
    this.#tellInvalidNamespaces(dependent, cause);
    return Promise.all(
      dependent.owners.map(async (reference) => ({
        reference,
        state: await this.#stateOf(reference, dependent.namespace, cause),
      })),
    );
  }

  async #stateOf(
    { apiVersion, kind, name, uid }: OwnerReference,
    namespace: string,
    cause: Cause,
  ): Promise<OwnerState> {
    const type = this.#feeds.typeOf(apiVersion, kind);
    // What has no namespace cannot say in which one its owner would be.
    if (!type || (type.namespaced && namespace === "")) return "unknown";
    const owner = await this.#ports.executor.read(type, type.namespaced ? namespace : "", name, cause);
    if (owner?.metadata.uid !== uid) return "gone";
    return deletesDependentsFirst(graphObject(type, owner)) ? "deletes dependents first" : "there";
  }

  async #execute(
    live: GraphObject,
    object: KubernetesObject,
    actions: readonly GarbageAction[],
    cause: Cause,
  ): Promise<void> {
    const { executor } = this.#ports;
    const informer = this.#informerOf(live);
    let current = object;
    const patch = async (change: object): Promise<void> => {
      const { uid, resourceVersion } = current.metadata;
      current = await executor.patch(informer, current, { metadata: { uid, resourceVersion, ...change } }, cause);
    };
    for (const action of actions)
      switch (action.do) {
        case "orphan":
          await inParallel(action.dependents, PARALLEL_ORPHANS, (uid) => this.#orphan(uid, live.uid, cause));
          break;
        case "look at":
          for (const uid of action.uids) this.#queue.add(uid, cause.trace);
          break;
        case "set finalizers":
          await patch({ finalizers: orNone(action.finalizers) });
          break;
        case "set owners":
          await patch({ ownerReferences: orNone(action.owners) });
          break;
        case "delete": {
          const { resourceVersion = "" } = current.metadata;
          await executor.delete(informer, current, cause, { resourceVersion, propagationPolicy: action.policy });
        }
      }
    this.#ownWrites.forget(cause.key);
  }

  /** A dependent as it is now, without this owner. */
  async #orphan(uid: string, ownerUid: string, cause: Cause): Promise<void> {
    const known = this.#graph.get(uid);
    if (!known) return;
    const object = await this.#ports.executor.read(known.type, known.namespace, known.name, cause);
    const owners = object?.metadata.ownerReferences ?? [];
    if (object?.metadata.uid !== uid || !owners.some((owner) => owner.uid === ownerUid)) return;
    const { resourceVersion } = object.metadata;
    const ownerReferences = orNone(owners.filter((owner) => owner.uid !== ownerUid));
    const body = { metadata: { uid, resourceVersion, ownerReferences } };
    await this.#ports.executor.patch(this.#informerOf(known), object, body, cause);
  }

  #nextLook({ namespace }: GraphObject, { owners }: Situation): Outcome {
    if (owners.some(({ state }) => state === "unknown")) return requeueAfter(OWNER_UNKNOWN_MS, "an owner is unknown");
    const isUnseen = owners.some(
      ({ reference, state }) => state !== "gone" && !isShown(this.#graph, reference, namespace),
    );
    return isUnseen ? requeueAfter(OWNER_UNSEEN_MS, "an owner is not shown by its feed yet") : done;
  }

  #informerOf({ type }: GraphObject): Informer<KubernetesObject> {
    return this.#byType.get(type) as Informer<KubernetesObject>;
  }

  /** An owner in another namespace is none; its reference is a mistake that the user should hear of. */
  #tellInvalidNamespaces({ type, uid, namespace, name, owners }: GraphObject, { trace }: Cause): void {
    for (const reference of owners) {
      const owner = this.#graph.get(reference.uid);
      if (!owner || owner.namespace === "" || owner.namespace === namespace) continue;
      const { apiVersion, kind } = reference;
      const coordinates = `[${apiVersion}/${kind}, namespace: ${namespace}, name: ${reference.name}, uid: ${reference.uid}]`;
      const object = { metadata: { name, uid, ...(namespace === "" ? {} : { namespace }) } };
      const target = { apiVersion: apiVersionOf(type), kind: type.kind, object };
      const message = `ownerRef ${coordinates} does not exist in namespace ${JSON.stringify(namespace)}`;
      this.#events.record(target, "Warning", "OwnerRefInvalidNamespace", message, trace);
    }
  }
}

/** A merge patch takes a field away by null. */
function orNone<T>(items: readonly T[]): readonly T[] | null {
  return items.length > 0 ? items : null;
}
