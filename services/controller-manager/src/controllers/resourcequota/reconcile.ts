/**
 * The resourcequota controller: counts what is used, when a quota is new or limits something else, and when something went.
 *
 * Promises (C13): what is given back was surely gone. The quota is read first, then what it counts, both consistently, and the
 * status is written only onto the quota that was read. Whatever is created meanwhile is charged by the apiserver to the quota
 * itself, in the create's own transaction, so that the write is refused and all is counted again.
 * Does not promise: resources that begin to be served after this leader's start.
 */
import type { Pod, ResourceQuota } from "@pilothouse/api/types/core-v1";
import type { KubernetesObject } from "@pilothouse/client";
import { done, followChanges, OwnWrites, requeueAfter } from "@pilothouse/controller";
import type { Outcome, ReconcileContext } from "@pilothouse/controller";
import { keyOf, splitKey, type InformerChange } from "@pilothouse/informer";
import { sameValue } from "@pilothouse/kinds/field-errors";
import { WorkQueue } from "@pilothouse/workqueue";
import type { ControllerPorts } from "../../controller-ports.ts";

import { discoverEverything, type ServedResource } from "../../discovery.ts";
import { BY_NAMESPACE } from "../../informers.ts";
import { startWorkers } from "../../start-workers.ts";
import { QuotaFeeds } from "./feeds.ts";
import { countedTypes, nextForgottenMs, saysTheSame, statusOf, type Counted } from "./plan.ts";

const NAME = "resourcequota";
const WORKERS = 5;
/** A net, as upstream's: a status that somebody wrote is put right. */
const RECOUNT_MS = 300_000;

export function startResourceQuotaController(ports: ControllerPorts): void {
  const { clock, telemetry, scope, informers } = ports;
  scope.run(NAME, async (signal) => {
    const served = await discoverEverything(ports, NAME, signal);
    const queue = new WorkQueue({ name: NAME, clock, tracer: telemetry.tracer });
    const feeds = new QuotaFeeds(ports, (type, change) => {
      if (!givesBack(type, change)) return;
      for (const quota of informers.resourceQuotas.byIndex(BY_NAMESPACE, change.object.metadata.namespace ?? ""))
        if (countedTypes(quota, [type]).length > 0) queue.add(keyOf(quota), change.trace);
    });
    followChanges(scope, informers.resourceQuotas, (change) => {
      // What the apiserver charges is no news.
      if (change.type === "updated" && sameValue(change.previous.spec, change.object.spec)) return;
      queue.add(keyOf(change.object), change.trace);
    });
    const controller = new ResourceQuotaController(ports, served, feeds);
    startWorkers(ports, { name: NAME, queue, workers: WORKERS, controller });
  });
}

/** Whether less may be used now than before. */
function givesBack({ group, resource }: ServedResource, change: InformerChange<KubernetesObject>): boolean {
  if (change.type !== "updated") return change.type === "deleted";
  if (group !== "") return false;
  if (resource !== "pods") return resource === "services" || resource === "persistentvolumeclaims";
  const [now, before] = [change.object as Pod, change.previous as Pod];
  return (
    now.status?.phase !== before.status?.phase ||
    now.metadata.uid !== before.metadata.uid ||
    now.metadata.deletionTimestamp !== before.metadata.deletionTimestamp ||
    !sameValue(now.spec, before.spec)
  );
}

class ResourceQuotaController {
  readonly #ports: ControllerPorts;
  readonly #served: readonly ServedResource[];
  readonly #feeds: QuotaFeeds;
  /** Not asked: each reconcile reads anew. */
  readonly #ownWrites = new OwnWrites();

  constructor(ports: ControllerPorts, served: readonly ServedResource[], feeds: QuotaFeeds) {
    this.#ports = ports;
    this.#served = served;
    this.#feeds = feeds;
  }

  async reconcile(key: string, context: ReconcileContext): Promise<Outcome> {
    const { clock, executor, informers } = this.#ports;
    const quota = await this.#read(key, context);
    if (!quota) return done;
    const counted = await this.#count(quota, context);
    const status = statusOf(quota, counted, clock.now());
    if (!saysTheSame(status, quota.status)) {
      const cause = { key, ...context, ownWrites: this.#ownWrites };
      await executor.updateStatus(informers.resourceQuotas, { ...quota, status }, cause);
      this.#ownWrites.forget(key);
    }
    const nextMs = nextForgottenMs(counted, clock.now());
    if (nextMs === undefined) return requeueAfter(RECOUNT_MS, "to be sure");
    return requeueAfter(Math.min(RECOUNT_MS, nextMs + 1 - clock.now()), "a pod should have gone by then");
  }

  /** As it is now, with news to come of all that it counts. */
  async #read(key: string, context: ReconcileContext): Promise<ResourceQuota | undefined> {
    const { executor, informers } = this.#ports;
    const { namespace, name } = splitKey(key);
    for (;;) {
      const quota = await executor.read(informers.resourceQuotas.type, namespace, name, context);
      if (!quota || quota.metadata.deletionTimestamp !== undefined) return undefined;
      const types = countedTypes(quota, this.#served).map(({ type }) => type);
      if (!(await this.#feeds.ensure(types, context.signal))) return quota;
    }
  }

  async #count(quota: ResourceQuota, { trace, signal }: ReconcileContext): Promise<readonly Counted[]> {
    const { namespace = "" } = quota.metadata;
    return Promise.all(
      countedTypes(quota, this.#served).map(async ({ type, evaluator }) => {
        const { items } = await this.#ports.client.list(type, namespace, { trace, signal });
        return { type, evaluator, objects: items };
      }),
    );
  }
}
