/** The StatefulSet controller: hears of StatefulSets and pods, reads, plans, executes, tells. */
import type { ControllerRevision, StatefulSet, StatefulSetStatus } from "@pilothouse/api/types/apps-v1";
import type { PersistentVolumeClaim, Pod } from "@pilothouse/api/types/core-v1";
import { done, followChanges, inParallel, OwnWrites, requeueAfter, retry, slowStart } from "@pilothouse/controller";
import type { Outcome, ReconcileContext } from "@pilothouse/controller";
import { isStatus } from "@pilothouse/errors";
import { keyOf, splitKey } from "@pilothouse/informer";
import { labelSelectorOf, matchesLabels } from "@pilothouse/selectors";
import type { TraceContext } from "@pilothouse/telemetry";
import { WorkQueue } from "@pilothouse/workqueue";
import { adopt, release } from "../../claiming.ts";
import type { ControllerPorts } from "../../controller-ports.ts";
import { isNamespaceLeaving } from "../../core/namespace-leaving.ts";
import { claim, controllerOf } from "../../core/ownership.ts";
import { planRevision, templateOf } from "../../core/revisions.ts";
import { sameCounts } from "../../core/values.ts";
import type { Cause } from "../../executor.ts";
import { BY_CONTROLLER, BY_NAMESPACE, BY_ORPHAN_NAMESPACE } from "../../informers.ts";
import { establishRevision } from "../../revisions.ts";
import { startWorkers } from "../../start-workers.ts";
import { ordinalOf, revisionNameOf, type Version, type Versions } from "./plan-identity.ts";
import { surplusRevisions } from "./plan-history.ts";
import { nextAvailabilityMs, plan, type StatefulSetAction, type StatefulSetPlan } from "./plan.ts";

const WORKERS = 5;
const PARALLEL = 16;
/** On revisions. */
const HASH_LABEL = "controller.kubernetes.io/hash";
const OWNER = { apiVersion: "apps/v1", kind: "StatefulSet" } as const;

export function startStatefulSetController(ports: ControllerPorts): void {
  const { clock, telemetry } = ports;
  const queue = new WorkQueue({ name: "statefulset", clock, tracer: telemetry.tracer });
  const controller = new StatefulSetController(ports);
  follow(ports, queue);
  startWorkers(ports, { name: "statefulset", queue, workers: WORKERS, controller });
}

function follow({ scope, informers }: ControllerPorts, queue: WorkQueue): void {
  followChanges(scope, informers.statefulSets, ({ object, trace }) => void queue.add(keyOf(object), trace));
  followChanges(scope, informers.pods, (change) => {
    wake(change.object, change.trace);
    if (change.type === "updated" && controllerOf(change.previous)?.uid !== controllerOf(change.object)?.uid)
      wake(change.previous, change.trace);
  });
  function wake(pod: Pod, trace: TraceContext | undefined): void {
    const controller = controllerOf(pod);
    const { namespace = "", labels } = pod.metadata;
    if (controller?.kind === OWNER.kind) queue.add(`${namespace}/${controller.name}`, trace);
    else if (!controller)
      for (const set of informers.statefulSets.byIndex(BY_NAMESPACE, namespace))
        if (matchesLabels(labelSelectorOf(set.spec.selector), labels)) queue.add(keyOf(set), trace);
  }
}

class StatefulSetController {
  readonly #ports: ControllerPorts;
  readonly ownWrites = new OwnWrites();
  readonly #events;

  constructor(ports: ControllerPorts) {
    this.#ports = ports;
    this.#events = ports.events("statefulset-controller");
  }

  async reconcile(key: string, { trace, signal }: ReconcileContext): Promise<Outcome> {
    const { informers, clock } = this.#ports;
    const { namespace, name } = splitKey(key);
    const set = informers.statefulSets.get(namespace, name);
    if (!set) {
      this.ownWrites.forget(key);
      return done;
    }
    const cause: Cause = { key, trace, signal, ownWrites: this.ownWrites };
    const pods = await this.#claimPods(set, cause);
    const revisions = await this.#claimRevisions(set, cause);
    const planned = planRevision(set.spec.template, revisions);
    const naming = { collisionCount: set.status?.collisionCount ?? 0, hashLabel: HASH_LABEL };
    const ports = { ...this.#ports, cause };
    const { revision, collisionCount } = await establishRevision(ports, { ...set, ...OWNER }, planned, naming);
    const update: Version = { name: revision.metadata.name ?? "", template: set.spec.template };
    const former = revisions.find(({ metadata }) => metadata.name === set.status?.currentRevision);
    const template = former && templateOf(former);
    const current = template ? { name: former.metadata.name ?? "", template } : update;
    const outcome = await this.#keep(set, { current, update }, pods, collisionCount, cause);
    const live = [current.name, update.name, ...pods.map(revisionNameOf)];
    const surplus = surplusRevisions(revisions, live, set.spec.revisionHistoryLimit ?? 10);
    for (const old of surplus) await this.#ports.executor.delete(informers.controllerRevisions, old, cause);
    if (outcome.type !== "done") return outcome;
    const wakeAtMs = nextAvailabilityMs(set, pods, clock.now());
    return wakeAtMs === undefined ? done : requeueAfter(wakeAtMs - clock.now(), "pods become available");
  }

  async #keep(
    set: StatefulSet,
    versions: Versions,
    pods: readonly Pod[],
    collisionCount: number,
    cause: Cause,
  ): Promise<Outcome> {
    const { informers, clock } = this.#ports;
    const { namespace = "" } = set.metadata;
    const claimNamed = (name: string) => informers.persistentVolumeClaims.get(namespace, name);
    const planned = plan(set, versions, pods, claimNamed, clock.now());
    const failure = await this.#execute(set, planned, cause);
    await this.#tellStatus(set, { ...planned.status, collisionCount }, cause);
    if (failure) throw failure.error;
    return planned.isBlocked ? retry("claims of a former pod are going") : done;
  }

  /** The pods that are the set's own, after it has adopted and released what it should. */
  async #claimPods(set: StatefulSet, cause: Cause): Promise<readonly Pod[]> {
    const { informers, executor } = this.#ports;
    const { uid = "", namespace = "" } = set.metadata;
    const candidates = [
      ...informers.pods.byIndex(BY_CONTROLLER, uid),
      ...informers.pods.byIndex(BY_ORPHAN_NAMESPACE, namespace),
    ];
    const isMember = (pod: Pod): boolean => ordinalOf(set, pod) !== undefined;
    const claims = claim(set, labelSelectorOf(set.spec.selector), candidates, isMember);
    const owner = { ...set, ...OWNER };
    const claiming = { executor, owner, owners: informers.statefulSets, informer: informers.pods, cause };
    await release(claiming, claims.release);
    await adopt(claiming, claims.adopt);
    return [...claims.owned, ...claims.adopt];
  }

  async #claimRevisions(set: StatefulSet, cause: Cause): Promise<readonly ControllerRevision[]> {
    const { informers, executor } = this.#ports;
    const { uid = "", namespace = "" } = set.metadata;
    const { controllerRevisions: informer } = informers;
    const candidates = [...informer.byIndex(BY_CONTROLLER, uid), ...informer.byIndex(BY_ORPHAN_NAMESPACE, namespace)];
    const claims = claim(set, labelSelectorOf(set.spec.selector), candidates);
    const claiming = { executor, owner: { ...set, ...OWNER }, owners: informers.statefulSets, informer, cause };
    await adopt(claiming, claims.adopt);
    return [...claims.owned, ...claims.adopt];
  }

  /** Carries out what it can; returns what failed. */
  async #execute(
    set: StatefulSet,
    { actions }: StatefulSetPlan,
    cause: Cause,
  ): Promise<{ readonly error: unknown } | undefined> {
    const creates = actions.filter((action) => action.do === "create");
    const others = actions.filter((action) => action.do !== "create");
    try {
      await slowStart(creates, ({ pod, claims }) => this.#create(set, pod, claims, cause));
      await inParallel(others, PARALLEL, (action) => this.#carryOut(set, action, cause));
      return undefined;
    } catch (error) {
      return isNamespaceLeaving(error) ? undefined : { error };
    }
  }

  async #carryOut(set: StatefulSet, action: Exclude<StatefulSetAction, { do: "create" }>, cause: Cause): Promise<void> {
    const { informers, executor } = this.#ports;
    switch (action.do) {
      case "delete":
        return this.#delete(set, action.pod, cause);
      case "create claims":
        return this.#createClaims(set, action.pod, action.claims, cause);
      case "label": {
        const { uid, resourceVersion } = action.pod.metadata;
        const body = { metadata: { uid, resourceVersion, labels: action.labels } };
        await this.#told(set, "update", action.pod, cause, () =>
          executor.patch(informers.pods, action.pod, body, cause),
        );
        return;
      }
      case "own claim": {
        const { uid, resourceVersion } = action.claim.metadata;
        const owners = action.owners.length > 0 ? action.owners : null;
        const body = { metadata: { uid, resourceVersion, ownerReferences: owners } };
        await executor.patch(informers.persistentVolumeClaims, action.claim, body, cause);
      }
    }
  }

  async #create(set: StatefulSet, pod: Pod, claims: readonly PersistentVolumeClaim[], cause: Cause): Promise<void> {
    const { informers, executor } = this.#ports;
    await this.#told(set, "create", pod, cause, async () => {
      await this.#createClaims(set, pod, claims, cause);
      await executor.create(informers.pods, pod, cause);
    });
  }

  async #createClaims(
    set: StatefulSet,
    pod: Pod,
    claims: readonly PersistentVolumeClaim[],
    cause: Cause,
  ): Promise<void> {
    const { informers, executor } = this.#ports;
    const of = (claim: PersistentVolumeClaim, preposition: string): string =>
      `create Claim ${claim.metadata.name ?? ""} ${preposition}Pod ${nameOf(pod)} in StatefulSet ${nameOf(set)}`;
    for (const claim of claims) {
      try {
        await executor.create(informers.persistentVolumeClaims, claim, cause);
        this.#record(set, "Normal", "SuccessfulCreate", `${of(claim, "")} success`, cause);
      } catch (error) {
        // Somebody made it before; whose it is, is settled when it is seen.
        if (isStatus(error, "AlreadyExists")) continue;
        if (!isNamespaceLeaving(error))
          this.#record(set, "Warning", "FailedCreate", `${of(claim, "for ")} failed error: ${messageOf(error)}`, cause);
        throw error;
      }
    }
  }

  async #delete(set: StatefulSet, pod: Pod, cause: Cause): Promise<void> {
    const { informers, executor } = this.#ports;
    // Only as it was judged: one that has become well meanwhile, or somebody else's, stays.
    const { resourceVersion = "" } = pod.metadata;
    await this.#told(set, "delete", pod, cause, () => executor.delete(informers.pods, pod, cause, { resourceVersion }));
  }

  async #tellStatus(set: StatefulSet, status: StatefulSetStatus, cause: Cause): Promise<void> {
    const { informers, executor } = this.#ports;
    if (!sameCounts(status, set.status)) await executor.updateStatus(informers.statefulSets, { ...set, status }, cause);
  }

  /** Does it, and says how it went. */
  async #told(
    set: StatefulSet,
    verb: "create" | "update" | "delete",
    pod: Pod,
    cause: Cause,
    act: () => Promise<unknown>,
  ): Promise<void> {
    const Verb = `${verb.slice(0, 1).toUpperCase()}${verb.slice(1)}`;
    const what = `${verb} Pod ${nameOf(pod)} in StatefulSet ${nameOf(set)}`;
    try {
      await act();
      this.#record(set, "Normal", `Successful${Verb}`, `${what} successful`, cause);
    } catch (error) {
      const isSilent = isNamespaceLeaving(error) || isStatus(error, "Conflict") || isStatus(error, "AlreadyExists");
      if (!isSilent) this.#record(set, "Warning", `Failed${Verb}`, `${what} failed error: ${messageOf(error)}`, cause);
      throw error;
    }
  }

  #record(object: StatefulSet, type: "Normal" | "Warning", reason: string, message: string, { trace }: Cause): void {
    this.#events.record({ ...OWNER, object }, type, reason, message, trace);
  }
}

function nameOf({ metadata }: Pod | StatefulSet): string {
  return metadata.name ?? "";
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
