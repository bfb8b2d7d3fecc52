/**
 * One worker per pod: whoever has news of a pod wakes its worker, which looks and acts until there is nothing to do.
 *
 * Woken by changes of the pod, events of the runtime and verdicts of probes; a slow look at everything is the safety net.
 */
import type { Pod } from "@pilothouse/api/types/core-v1";
import { resources } from "@pilothouse/client";
import { sleep } from "@pilothouse/clock";
import { isStatus } from "@pilothouse/errors";
import type { Scope } from "@pilothouse/lifecycle";
import type { RuntimeEvent } from "@pilothouse/runtime";
import { span, type TraceContext } from "@pilothouse/telemetry";
import { WorkQueue, type WorkItem } from "@pilothouse/workqueue";
import {
  LABEL_NODE,
  LABEL_POD_NAME,
  LABEL_POD_NAMESPACE,
  podTitle,
  uidOf,
  type PodRuntime,
  type RuntimeContainer,
} from "../core/pod-runtime.ts";
import type { MountedObject } from "../core/volumes.ts";
import type { KubeletPorts } from "./kubelet-ports.ts";
import type { NodeSettings } from "./node-settings.ts";
import { PodObserver } from "./pod-observer.ts";
import { grantedPod, holdsRoom, newPodRecord, type PodRecord } from "./pod-record.ts";
import { PodRounds } from "./pod-rounds.ts";

const RELIST_MS = 60_000;
/** How soon it is asked again whether a pod that no list has is gone. */
const ORPHAN_MS = 5_000;

export class PodWorkers {
  readonly #ports: KubeletPorts;
  readonly #settings: NodeSettings;
  readonly #scope: Scope;
  readonly #rounds: PodRounds;
  readonly #queue: WorkQueue;
  readonly #records = new Map<string, PodRecord>();
  readonly #observer: PodObserver;
  /** Who waits for the end of a pod, by its uid. */
  readonly #mourners = new Map<string, (() => void)[]>();

  constructor(ports: KubeletPorts, settings: NodeSettings, scope: Scope) {
    this.#ports = ports;
    this.#settings = settings;
    this.#scope = scope;
    const { clock, tracer } = ports;
    this.#queue = new WorkQueue({ name: "pods", clock, tracer, baseDelayMs: 250, maxDelayMs: 30_000 });
    this.#observer = new PodObserver(ports);
    this.#rounds = new PodRounds(ports, settings, scope, this.#observer, {
      wake: (uid, afterMs) => void this.#queue.addAfter(uid, afterMs),
      othersThan: (record) => [...this.#records.values()].filter((it) => it !== record && holdsRoom(it)),
      alive: () => this.alive(),
    });
  }

  changed(pod: Pod, cause: TraceContext | undefined): void {
    const uid = uidOf(pod);
    const record = this.#records.get(uid);
    if (!record) {
      this.#records.set(uid, this.#newRecord(pod, cause));
      this.#queue.add(uid, cause);
      return;
    }
    const ending = pod.metadata.deletionTimestamp !== undefined;
    const before = record.pod.metadata;
    // Our own status writes come back as changes too; they are nobody's wish.
    const wish = before.generation !== pod.metadata.generation || (ending && before.deletionTimestamp === undefined);
    if (wish) record.cause = cause ?? record.cause;
    // What a pod reads of itself follows at once.
    if (toldToItself(record.pod) !== toldToItself(pod)) record.volumesRefreshAtMs = 0;
    if (ending) record.starts.abort(new Error("the pod is being deleted"));
    record.pod = pod;
    this.#queue.add(uid, wish ? cause : undefined);
  }

  removed(pod: Pod, cause: TraceContext | undefined): void {
    const record = this.#records.get(uidOf(pod));
    if (!record) return;
    record.vanished = true;
    record.cause = cause ?? record.cause;
    record.starts.abort(new Error("the pod is gone"));
    this.#queue.add(uidOf(pod), cause);
  }

  /** Resolves once nothing is left of the pod; at once for one that is not known. */
  whenGone(uid: string): Promise<void> {
    if (!this.#records.has(uid)) return Promise.resolve();
    return new Promise((resolve) => {
      this.#mourners.set(uid, [...(this.#mourners.get(uid) ?? []), resolve]);
    });
  }

  /** Of a ConfigMap or Secret that the pod has mounted there is another version than it was shown. */
  mountedChanged(uid: string, object: MountedObject, version: string): void {
    const record = this.#records.get(uid);
    if (!record || record.inputs.versionOf(object) === version) return;
    // Of a pod that was not made yet nothing is shown; after a restart of ours nobody knows what is.
    if (!record.runtime.containers.some(({ state }) => state === "running")) return;
    record.volumesRefreshAtMs = 0;
    this.#queue.add(uid);
  }

  runtimeEvent(event: RuntimeEvent): void {
    if (event.kind === "resync") {
      for (const uid of this.#records.keys()) this.#queue.add(uid);
      return;
    }
    const uid = this.#observer.ownerOf(event.containerId);
    if (uid !== undefined) this.#queue.add(uid);
  }

  pods(): readonly Pod[] {
    return [...this.#records.values()].map((it) => it.pod);
  }

  /** Pods that were taken and of which something runs or will. */
  alive(): readonly Pod[] {
    return [...this.#records.values()].filter((it) => holdsRoom(it) && !it.eviction).map(grantedPod);
  }

  /** Containers that run now. */
  running(): readonly RuntimeContainer[] {
    return [...this.#records.values()].flatMap(({ runtime }) =>
      runtime.containers.filter((it) => it.state === "running"),
    );
  }

  /** Ends a pod for the node's sake: it fails, and is told why. */
  evict(pod: Pod, message: string, graceSeconds: number): void {
    const record = this.#records.get(uidOf(pod));
    if (!record || record.eviction) return;
    record.eviction = { message, graceSeconds };
    record.starts.abort(new Error("the pod is evicted"));
    this.#ports.events.pod(pod, "Warning", "Evicted", message);
    this.#queue.add(uidOf(pod));
  }

  /** True while a pod that is evicted still holds what the node lacks. */
  isEvicting(): boolean {
    return [...this.#records.values()].some(
      ({ eviction, runtime }) => eviction && runtime.containers.some((it) => it.state === "running"),
    );
  }

  /** What runs of a pod, by its name. */
  find(namespace: string, name: string): { readonly pod: Pod; readonly runtime: PodRuntime } | undefined {
    const found = [...this.#records.values()].filter(
      ({ pod }) => pod.metadata.namespace === namespace && pod.metadata.name === name,
    );
    return found.find((it) => !it.vanished) ?? found[0];
  }

  /** Limits all pods together, whatever they ask for one by one. */
  enforceAllocatable(): Promise<void> {
    return this.#rounds.enforceAllocatable();
  }

  /** Begins to work: whatever pods are told of from now on are looked after. */
  start(): void {
    this.#scope.defer(() => this.#queue.shutDown());
    this.#scope.defer(this.#ports.runtime.subscribe((event) => this.runtimeEvent(event)));
    this.#scope.run("pods", async () => {
      for (let item = await this.#queue.take(); item; item = await this.#queue.take()) this.#dispatch(item);
    });
  }

  /** What runs here of pods that nobody knows any more becomes pods that vanished. All pods must have been told. */
  async adoptOrphans(): Promise<void> {
    const filter = { labels: { [LABEL_NODE]: this.#settings.places.nodeName } };
    const sandboxes = await this.#ports.runtime.listPodSandboxes(filter);
    const orphans = new Map(sandboxes.map((it) => [it.uid, it.labels]));
    for (const uid of await this.#ports.files.listPods()) if (!orphans.has(uid)) orphans.set(uid, {});
    for (const [uid, labels] of orphans) {
      const name = labels[LABEL_POD_NAME] ?? "";
      const namespace = labels[LABEL_POD_NAMESPACE] ?? "";
      const pod: Pod = { metadata: { name, namespace, uid }, spec: { containers: [] } };
      if (!this.#records.has(uid)) this.#scope.run(`orphan ${uid}`, (signal) => this.#adopt(pod, signal));
    }
  }

  /**
   * A list may be older than what runs here, so that the API itself is asked whether the pod is gone (C13). While it is not,
   * its containers are left alone: the list will catch up.
   */
  async #adopt(pod: Pod, signal: AbortSignal): Promise<void> {
    const uid = uidOf(pod);
    while (!signal.aborted && !this.#records.has(uid)) {
      if (await this.#isGone(pod)) {
        // The list may have caught up meanwhile, and the pod been told of.
        if (this.#records.has(uid)) return;
        const record = this.#newRecord(pod, undefined);
        record.vanished = true;
        this.#records.set(uid, record);
        this.#queue.add(uid);
        return;
      }
      await sleep(this.#ports.clock, ORPHAN_MS, signal);
    }
  }

  /** False too if there is no knowing. */
  async #isGone(pod: Pod): Promise<boolean> {
    const { name = "", namespace = "" } = pod.metadata;
    // Of its files alone the name is not known: nothing of it runs.
    if (name === "") return true;
    try {
      const found = await this.#ports.client.get<Pod>(resources.pods, namespace, name);
      return uidOf(found) !== uidOf(pod);
    } catch (error) {
      if (isStatus(error, "NotFound")) return true;
      this.#ports.log.warn("it is not known whether a pod is gone; asking again", { pod: podTitle(pod), error });
      return false;
    }
  }

  #newRecord(pod: Pod, cause: TraceContext | undefined): PodRecord {
    const uid = uidOf(pod);
    return newPodRecord(this.#ports, pod, cause, this.#scope.child(`pod ${uid}`), () => this.#queue.add(uid));
  }

  #dispatch(item: WorkItem): void {
    const { key } = item;
    this.#scope.run(`pod ${key}`, async () => {
      try {
        await this.#sync(key, item.parent);
        this.#queue.forget(key);
        if (this.#records.has(key)) this.#queue.addAfter(key, RELIST_MS);
      } catch (error) {
        const pod = this.#records.get(key)?.pod;
        this.#ports.log.warn("a pod could not be brought to where it should be", { pod: pod && podTitle(pod), error });
        this.#queue.retry(key, item.parent ? [item.parent] : []);
      } finally {
        this.#queue.done(key);
      }
    });
  }

  async #sync(uid: string, parent: TraceContext | undefined): Promise<void> {
    const record = this.#records.get(uid);
    if (!record) return;
    const { name = "", namespace = "" } = record.pod.metadata;
    const attributes = { "k8s.pod.name": name, "k8s.namespace.name": namespace };
    const options = { parent: parent ?? record.cause, attributes };
    const work = async (trace: TraceContext | undefined): Promise<void> => {
      let round = await this.#rounds.round(record, trace);
      while (round === "again") round = await this.#rounds.round(record, trace);
      if (round !== "gone") return;
      this.#records.delete(uid);
      this.#ports.probeResults.forget(uid);
      this.#ports.watched().forget(uid);
      for (const resolve of this.#mourners.get(uid) ?? []) resolve();
      this.#mourners.delete(uid);
      // There is room now for who waits for it.
      for (const [other, { resizePending }] of this.#records)
        if (resizePending?.is === "Deferred") this.#queue.add(other);
    };
    // A wake-up that nobody caused (a timer, our own status coming back) is not worth a span unless it does something.
    if (!parent) await work(record.cause);
    else await span(this.#ports.tracer, "kubelet.sync", options, ({ context }) => work(context));
  }
}

/** Of a pod's own labels and annotations, as its volumes may show them. */
function toldToItself({ metadata }: Pod): string {
  return JSON.stringify([metadata.labels ?? {}, metadata.annotations ?? {}]);
}
