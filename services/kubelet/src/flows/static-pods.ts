/**
 * Runs what the node's manifests say, and shows it in the API as mirror pods: made when they are missing, made anew when somebody
 * deletes them, gone once the static pod has ended.
 *
 * Stands between who tells of the API's pods and the workers: mirrors are not run, they only lend their name to a status.
 */
import type { Node, Pod } from "@pilothouse/api/types/core-v1";
import { resources, type ApiClient } from "@pilothouse/client";
import { sleep, type Clock } from "@pilothouse/clock";
import { isStatus } from "@pilothouse/errors";
import type { Scope } from "@pilothouse/lifecycle";
import type { Logger, TraceContext, Tracer } from "@pilothouse/telemetry";
import { WorkQueue } from "@pilothouse/workqueue";
import { uidOf } from "../core/pod-runtime.ts";
import { fullNameOf, isMirror, mirrorOf, mirrors, planMirror, staticPod, type Manifest } from "../core/static-pods.ts";
import type { ManifestFiles, PodListener, PodSource } from "./ports.ts";

export interface StaticPodPorts {
  readonly client: ApiClient;
  readonly clock: Clock;
  readonly tracer: Tracer;
  readonly log: Logger;
  readonly scope: Scope;
  readonly node: () => Node | undefined;
  /** Absent: this node has no pods of its own, and mirrors of an earlier life go. */
  readonly manifests: ManifestFiles | undefined;
}

/** Who runs the pods. */
export interface PodRunner extends PodListener {
  /** Resolves once nothing is left of the pod. */
  whenGone(uid: string): Promise<void>;
}

/** Files are looked at this often also if nothing was heard of them. */
const LOOK_MS = 20_000;
/** How soon it is asked again whether the Node object is known, which mirrors belong to. */
const NODE_RETRY_MS = 1_000;

export class StaticPods {
  readonly #ports: StaticPodPorts;
  readonly #nodeName: string;
  readonly #runner: PodRunner;
  readonly #queue: WorkQueue;
  /** What the files say, by `namespace/name`. */
  readonly #pods = new Map<string, Pod>();
  readonly #mirrors = new Map<string, Pod>();
  /** Uids of what the runner has, or had last, of a name. */
  readonly #told = new Map<string, string>();
  /** What was said of unreadable files, so that it is said once. */
  readonly #complaints = new Map<string, string>();

  constructor(ports: StaticPodPorts, nodeName: string, runner: PodRunner) {
    this.#ports = ports;
    this.#nodeName = nodeName;
    this.#runner = runner;
    const { clock, tracer } = ports;
    this.#queue = new WorkQueue({ name: "mirror-pods", clock, tracer, baseDelayMs: 500, maxDelayMs: 30_000 });
  }

  /** Resolves once all that the files say was told to the runner. Needs no API. */
  async start(): Promise<void> {
    const { scope, manifests } = this.#ports;
    scope.defer(() => this.#queue.shutDown());
    if (!manifests) return;
    let changed = Promise.withResolvers<void>();
    scope.defer(manifests.watch(() => changed.resolve()));
    await this.#look(manifests);
    scope.run("manifests", async (signal) => {
      while (!signal.aborted) {
        await Promise.race([changed.promise, sleep(this.#ports.clock, LOOK_MS, signal)]);
        changed = Promise.withResolvers();
        await this.#look(manifests);
      }
    });
  }

  /** The API's pods without mirrors; once all were told, mirrors are made true. */
  source(api: PodSource): PodSource {
    return {
      start: async (listener) => {
        await api.start({
          changed: (pod, cause) => (isMirror(pod) ? this.#mirrorChanged(pod, cause) : listener.changed(pod, cause)),
          removed: (pod, cause) => (isMirror(pod) ? this.#mirrorGone(pod) : listener.removed(pod, cause)),
        });
        for (const name of new Set([...this.#pods.keys(), ...this.#mirrors.keys()])) this.#queue.add(name);
        this.#ports.scope.run("mirror pods", () => this.#work());
      },
    };
  }

  /** The mirror that shows this pod, as the API has it; undefined while there is none. */
  mirrorOf(pod: Pod): Pod | undefined {
    const mirror = this.#mirrors.get(fullNameOf(pod));
    return mirror && planMirror(pod, mirror) === "none" ? mirror : undefined;
  }

  async #look(manifests: ManifestFiles): Promise<void> {
    let files: readonly Manifest[];
    try {
      files = await manifests.read();
    } catch (error) {
      // What runs, runs on: a directory that cannot be read says nothing.
      this.#ports.log.warn("the manifests of static pods could not be read", { error });
      return;
    }
    const found = this.#podsOf(files);
    for (const [name, pod] of this.#pods) {
      if (found.has(name)) continue;
      this.#pods.delete(name);
      this.#end(name, pod);
    }
    for (const [name, pod] of found) {
      const known = this.#pods.get(name);
      if (known && uidOf(known) === uidOf(pod)) continue;
      this.#pods.set(name, pod);
      if (known) this.#end(name, known);
      this.#tell(name, pod);
    }
  }

  #podsOf(files: readonly Manifest[]): ReadonlyMap<string, Pod> {
    const found = new Map<string, Pod>();
    const complaints = new Map<string, string>();
    for (const file of files) {
      try {
        const pod = staticPod(file, this.#nodeName, new Date(this.#ports.clock.now()).toISOString());
        const name = fullNameOf(pod);
        if (found.has(name)) complaints.set(file.path, `another manifest describes ${name} already`);
        else found.set(name, pod);
      } catch (error) {
        complaints.set(file.path, error instanceof Error ? error.message : String(error));
      }
    }
    for (const [path, why] of complaints)
      if (this.#complaints.get(path) !== why) this.#ports.log.error("a manifest is passed over", { path, why });
    this.#complaints.clear();
    for (const [path, why] of complaints) this.#complaints.set(path, why);
    return found;
  }

  /** A pod of the same name that is to end must have ended first: both may want the same port of the node. */
  #tell(name: string, pod: Pod): void {
    const before = this.#told.get(name);
    const tell = (): void => {
      if (this.#pods.get(name) !== pod) return;
      this.#told.set(name, uidOf(pod));
      this.#runner.changed(this.#shown(pod), undefined);
      this.#queue.add(name);
    };
    if (before === undefined) tell();
    else this.#ports.scope.run(`static pod ${name}`, () => this.#runner.whenGone(before).then(tell));
  }

  #end(name: string, pod: Pod): void {
    this.#runner.removed(pod, undefined);
    this.#ports.scope.run(`end of static pod ${name}`, async () => {
      await this.#runner.whenGone(uidOf(pod));
      this.#queue.add(name);
    });
  }

  #mirrorChanged(mirror: Pod, cause: TraceContext | undefined): void {
    const name = fullNameOf(mirror);
    this.#mirrors.set(name, mirror);
    const pod = this.#pods.get(name);
    if (pod && this.#told.get(name) === uidOf(pod) && mirrors(mirror, pod))
      this.#runner.changed(this.#shown(pod), cause);
    this.#queue.add(name);
  }

  #mirrorGone(mirror: Pod): void {
    const name = fullNameOf(mirror);
    if (this.#mirrors.get(name)?.metadata.uid === mirror.metadata.uid) this.#mirrors.delete(name);
    this.#queue.add(name);
  }

  /** With the status that the API has of it, once it has one. */
  #shown(pod: Pod): Pod {
    const status = this.mirrorOf(pod)?.status;
    return status ? { ...pod, status } : pod;
  }

  async #work(): Promise<void> {
    for (let item = await this.#queue.take(); item; item = await this.#queue.take()) {
      const { key } = item;
      this.#ports.scope.run(`mirror ${key}`, async () => {
        try {
          await this.#reconcile(key);
          this.#queue.forget(key);
        } catch (error) {
          this.#ports.log.warn("a mirror pod could not be brought to where it should be", { pod: key, error });
          this.#queue.retry(key);
        } finally {
          this.#queue.done(key);
        }
      });
    }
  }

  async #reconcile(name: string): Promise<void> {
    const { client, node } = this.#ports;
    const pod = this.#pods.get(name);
    const mirror = this.#mirrors.get(name);
    switch (planMirror(pod, mirror)) {
      case "none":
        return;
      case "create": {
        const owner = node();
        if (!pod || !owner) this.#queue.addAfter(name, NODE_RETRY_MS);
        // Who has made it already will be heard of.
        else await ignoring("AlreadyExists", client.create(resources.pods, mirrorOf(pod, owner)));
        return;
      }
      case "delete": {
        const { namespace = "", name: podName = "", uid = "" } = mirror?.metadata ?? {};
        const before = this.#told.get(name);
        if (pod === undefined && before !== undefined) await this.#runner.whenGone(before);
        if (pod === undefined && this.#pods.has(name)) return;
        const gone = client.delete(resources.pods, namespace, podName, { gracePeriodSeconds: 0, uid });
        await ignoring("NotFound", ignoring("Conflict", gone));
        return;
      }
    }
  }
}

async function ignoring(reason: "AlreadyExists" | "Conflict" | "NotFound", call: Promise<unknown>): Promise<void> {
  try {
    await call;
  } catch (error) {
    if (!isStatus(error, reason)) throw error;
  }
}
