/**
 * The namespace controller: empties a namespace that is being deleted, tells what holds it, and lets it go when it is empty.
 *
 * Promises (C13): only consistent reads decide. The namespace is read; once it is marked nothing new can be made in it (the
 * apiserver compares its revision in every create); then all that the API serves is discovered and listed anew. Pods go first, by
 * their own grace, so that what they use is there to the end.
 * Does not promise: to overcome finalizers of others.
 */
import type { Namespace } from "@pilothouse/api/types/core-v1";
import { resources, type KubernetesObject } from "@pilothouse/client";
import { resourcePath } from "@pilothouse/client/paths";
import { done, followChanges, inParallel, OwnWrites, requeueAfter } from "@pilothouse/controller";
import type { Outcome, ReconcileContext } from "@pilothouse/controller";
import { isStatus } from "@pilothouse/errors";
import type { Informer } from "@pilothouse/informer";
import { span } from "@pilothouse/telemetry";
import { WorkQueue } from "@pilothouse/workqueue";
import { startWorkers } from "../../start-workers.ts";
import type { ControllerPorts } from "../../controller-ports.ts";
import { discoverResources, type DiscoveryFailure, type ServedResource } from "../../discovery.ts";
import { FIELD_MANAGER, type Cause } from "../../executor.ts";
import { isEmpty, isOurs, plan, type Findings, type Remaining } from "./plan.ts";

const WORKERS = 4;
const RESOURCES_AT_ONCE = 8;
/** Most content is heard of when it goes; for the rest we look again. */
const LOOK_AGAIN_MS = 5_000;

export function startNamespaceController(ports: ControllerPorts): void {
  const { clock, telemetry, scope, informers } = ports;
  const queue = new WorkQueue({ name: "namespace", clock, tracer: telemetry.tracer });
  const controller = new NamespaceController(ports);
  followChanges(scope, informers.namespaces, ({ type, object, trace }) => {
    if (type !== "deleted" && isOurs(object)) queue.add(object.metadata.name ?? "", trace);
  });
  for (const informer of Object.values(informers) as readonly Informer<KubernetesObject>[])
    scope.defer(
      informer.onChange(({ type, object: { metadata }, trace }) => {
        const namespace = type === "deleted" ? informers.namespaces.get("", metadata.namespace ?? "") : undefined;
        if (namespace && isOurs(namespace)) queue.add(namespace.metadata.name ?? "", trace);
      }),
    );
  startWorkers(ports, { name: "namespace", queue, workers: WORKERS, controller });
}

class NamespaceController {
  readonly #ports: ControllerPorts;
  /** Not asked: each reconcile reads anew. */
  readonly #ownWrites = new OwnWrites();

  constructor(ports: ControllerPorts) {
    this.#ports = ports;
  }

  async reconcile(key: string, { trace, signal }: ReconcileContext): Promise<Outcome> {
    const { executor, clock } = this.#ports;
    const cause: Cause = { key, trace, signal, ownWrites: this.#ownWrites };
    const namespace = await executor.read(resources.namespaces, "", key, cause);
    if (!namespace || !isOurs(namespace)) return done;
    const findings = await this.#empty(key, cause);
    let current = namespace;
    for (const action of plan(namespace, findings, clock.now()))
      if (action.do === "tell") current = await this.#tell(current, action.namespace, cause);
      else await this.#finalize(current, action.finalizers, cause);
    this.#ownWrites.forget(key);
    return isEmpty(findings) ? done : requeueAfter(LOOK_AGAIN_MS, "content remains");
  }

  /** Deletes what is there and says what is left. */
  async #empty(namespace: string, cause: Cause): Promise<Findings> {
    const pods = await this.#emptyOf([PODS], namespace, cause);
    if (!isEmpty(pods)) return pods;
    const { client } = this.#ports;
    const { trace, signal } = cause;
    try {
      const { resources, failures } = await discoverResources(client, { trace, signal });
      const deletable = resources.filter(
        ({ namespaced, verbs }) => namespaced && verbs.includes("list") && verbs.includes("delete"),
      );
      const found = await this.#emptyOf(deletable, namespace, cause);
      return failures.length === 0 ? found : { ...found, discoveryFailure: discoveryMessage(failures) };
    } catch (error) {
      if (signal.aborted) throw error;
      return { discoveryFailure: messageOf(error), deleteFailures: [], remaining: [] };
    }
  }

  async #emptyOf(types: readonly ServedResource[], namespace: string, cause: Cause): Promise<Findings> {
    const remaining: Remaining[] = [];
    const deleteFailures: string[] = [];
    await inParallel(types, RESOURCES_AT_ONCE, async (type) => {
      try {
        const left = await this.#emptyOne(type, namespace, cause);
        if (left.count > 0) remaining.push(left);
      } catch (error) {
        if (cause.signal.aborted) throw error;
        deleteFailures.push(messageOf(error));
      }
    });
    return { remaining, deleteFailures };
  }

  async #emptyOne(type: ServedResource, namespace: string, cause: Cause): Promise<Remaining> {
    const { client } = this.#ports;
    const { trace, signal } = cause;
    const before = await client.list(type, namespace, { trace, signal });
    const staying = before.items.filter(({ metadata }) => metadata.deletionTimestamp === undefined);
    if (staying.length === 0) return countOf(type, before.items);
    await this.#deleteAll(type, namespace, staying, cause);
    return countOf(type, (await client.list(type, namespace, { trace, signal })).items);
  }

  async #deleteAll(
    type: ServedResource,
    namespace: string,
    objects: readonly KubernetesObject[],
    cause: Cause,
  ): Promise<void> {
    const { telemetry, client } = this.#ports;
    const { signal } = cause;
    const attributes = { resource: type.resource, namespace, objects: objects.length };
    const options = { parent: cause.trace, attributes, kind: "client" } as const;
    await span(telemetry.tracer, `delete all ${type.resource}`, options, async ({ context: trace }) => {
      if (type.verbs.includes("deletecollection")) {
        const body = new TextEncoder().encode(JSON.stringify(DELETE_OPTIONS));
        const path = resourcePath(type, namespace);
        await client.raw("DELETE", path, { body, contentType: "application/json", trace, signal });
      } else
        await inParallel(objects, RESOURCES_AT_ONCE, async ({ metadata: { name = "", uid = "" } }) => {
          const call = { uid, propagationPolicy: DELETE_OPTIONS.propagationPolicy, trace, signal };
          await client.delete(type, namespace, name, call).catch(unlessGone);
        });
    });
  }

  #tell(current: Namespace, told: Namespace, cause: Cause): Promise<Namespace> {
    const { executor, informers } = this.#ports;
    const { metadata } = current;
    return executor.updateStatus(informers.namespaces, { ...told, metadata }, cause);
  }

  /** Names the state that was found empty by resourceVersion. */
  async #finalize({ metadata, ...rest }: Namespace, finalizers: readonly string[], cause: Cause): Promise<void> {
    const { client } = this.#ports;
    const { trace, signal } = cause;
    const finalized = { ...rest, metadata, spec: { ...rest.spec, finalizers: [...finalizers] } };
    const options = { subresource: "finalize", fieldManager: FIELD_MANAGER, trace, signal };
    await client.update(resources.namespaces, finalized, options);
  }
}

const PODS: ServedResource = { ...resources.pods, verbs: ["delete", "deletecollection", "list"] };

/** Dependents go with the namespace as well: nobody waits for them. */
const DELETE_OPTIONS = { kind: "DeleteOptions", apiVersion: "v1", propagationPolicy: "Background" } as const;

function countOf({ group, resource }: ServedResource, objects: readonly KubernetesObject[]): Remaining {
  const finalizers: Record<string, number> = {};
  for (const name of objects.flatMap(({ metadata }) => metadata.finalizers ?? []))
    finalizers[name] = (finalizers[name] ?? 0) + 1;
  return { group, resource, count: objects.length, finalizers };
}

function discoveryMessage(failures: readonly DiscoveryFailure[]): string {
  const each = failures.map(({ groupVersion, error }) => `${groupVersion}: ${messageOf(error)}`).sort();
  return (
    `Discovery failed for some groups, ${failures.length} failing: ` +
    `unable to retrieve the complete list of server APIs: ${each.join(", ")}`
  );
}

function unlessGone(error: unknown): void {
  if (!isStatus(error, "NotFound")) throw error;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
