/**
 * Hears when ConfigMaps and Secrets change that pods have mounted, so that their volumes follow at once.
 *
 * One watch by HTTP for each object, whatever number of pods mounts it: a node may read what its pods name, one by one, and their
 * contents are none of the bus's. Only versions are kept.
 * Limits: at most MAX_WATCHED objects; those beyond, those that say that they never change, and each namespace's bundle of the
 * cluster's authorities (which every pod mounts and years go by) are looked at once a minute as before (REFRESH_VOLUMES_MS).
 */
import type { ConfigMap, Pod, Secret } from "@pilothouse/api/types/core-v1";
import { resources } from "@pilothouse/client";
import { startInformer, type InformerPorts } from "@pilothouse/informer";
import type { Scope } from "@pilothouse/lifecycle";
import { uidOf } from "../core/pod-runtime.ts";
import { mountedObjects, type MountedObject } from "../core/volumes.ts";

export const MAX_WATCHED = 256;
const BUNDLE = "kube-root-ca.crt";

interface Watched {
  readonly scope: Scope;
  /** Uids of the pods that have it mounted. */
  readonly pods: Set<string>;
}

export class WatchedObjects {
  readonly #ports: InformerPorts;
  readonly #changed: (uid: string, object: MountedObject, version: string) => void;
  readonly #watched = new Map<string, Watched>();

  /** `changed` is called with what is there when a watch begins, too; "" is the version of what is gone. */
  constructor(ports: InformerPorts, changed: (uid: string, object: MountedObject, version: string) => void) {
    // The bus has no news of these for a kubelet.
    this.#ports = { ...ports, bus: undefined };
    this.#changed = changed;
  }

  get count(): number {
    return this.#watched.size;
  }

  /** What the pod has mounted is watched from now on. May be repeated. */
  follow(pod: Pod): void {
    const { namespace = "" } = pod.metadata;
    for (const object of mountedObjects(pod)) {
      if (object.name === BUNDLE) continue;
      const key = `${object.resource}/${namespace}/${object.name}`;
      const known = this.#watched.get(key) ?? this.#begin(key, namespace, object);
      known?.pods.add(uidOf(pod));
    }
  }

  forget(uid: string): void {
    for (const [key, { pods, scope }] of this.#watched) {
      if (!pods.delete(uid) || pods.size > 0) continue;
      this.#watched.delete(key);
      void scope.close();
    }
  }

  #begin(key: string, namespace: string, object: MountedObject): Watched | undefined {
    if (this.#watched.size >= MAX_WATCHED) return undefined;
    const watched: Watched = { scope: this.#ports.scope.child(`watch ${key}`), pods: new Set() };
    this.#watched.set(key, watched);
    const informer = startInformer<ConfigMap | Secret>(
      { ...this.#ports, scope: watched.scope },
      {
        type: object.resource === "secrets" ? resources.secrets : resources.configMaps,
        namespace,
        fieldSelector: `metadata.name=${object.name}`,
        // What it holds is nobody's business here: who needs it reads it.
        keep: ({ metadata, immutable }) => ({ metadata, ...(immutable === undefined ? {} : { immutable }) }),
      },
    );
    informer.onChange((change) => {
      const { metadata, immutable } = change.object;
      const version = change.type === "deleted" ? "" : (metadata.resourceVersion ?? "");
      for (const uid of watched.pods) this.#changed(uid, object, version);
      // It stays in the list, so that nobody begins anew.
      if (immutable === true && change.type !== "deleted") void watched.scope.close();
    });
    return watched;
  }
}
