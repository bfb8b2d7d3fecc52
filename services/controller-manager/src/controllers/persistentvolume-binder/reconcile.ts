/** The binder: hears of claims, volumes and storage classes, and brings claims and volumes together, a write at a time. */
import type { PersistentVolume, PersistentVolumeClaim } from "@pilothouse/api/types/core-v1";
import { resources } from "@pilothouse/client";
import { done, followChanges, OwnWrites } from "@pilothouse/controller";
import type { EventRecorder, Outcome, ReconcileContext } from "@pilothouse/controller";
import { keyOf, splitKey } from "@pilothouse/informer";
import { classOf } from "@pilothouse/kinds/core/volume-binding";
import { WorkQueue } from "@pilothouse/workqueue";
import type { ControllerPorts } from "../../controller-ports.ts";
import type { Cause } from "../../executor.ts";
import { startWorkers } from "../../start-workers.ts";
import { planClaim, planVolume, type Step } from "./plan.ts";

/** One, as upstream: two would choose the same volume for two claims, and one of them in vain. */
const WORKERS = 1;
const CLAIM = "claim:";
const VOLUME = "volume:";

export function startPersistentVolumeBinder(ports: ControllerPorts): void {
  const { clock, telemetry, scope, informers } = ports;
  const { persistentVolumeClaims: claims, persistentVolumes: volumes, storageClasses } = informers;
  const queue = new WorkQueue({ name: "persistentvolume-binder", clock, tracer: telemetry.tracer });
  followChanges(scope, claims, ({ object, trace }) => {
    queue.add(CLAIM + keyOf(object), trace);
    const { volumeName } = object.spec ?? {};
    if (volumeName) queue.add(VOLUME + volumeName, trace);
    // A volume may be for a claim that is gone, without the claim knowing.
    for (const { metadata, spec } of volumes.list()) {
      if (spec?.claimRef?.uid === object.metadata.uid) queue.add(VOLUME + (metadata.name ?? ""), trace);
    }
  });
  followChanges(scope, volumes, ({ object, trace }) => {
    queue.add(VOLUME + (object.metadata.name ?? ""), trace);
    const claim = object.spec?.claimRef;
    if (claim) queue.add(`${CLAIM}${claim.namespace ?? ""}/${claim.name ?? ""}`, trace);
    for (const other of claims.list()) {
      const { volumeName } = other.spec ?? {};
      if (!volumeName || volumeName === object.metadata.name) queue.add(CLAIM + keyOf(other), trace);
    }
  });
  followChanges(scope, storageClasses, ({ object, trace }) => {
    for (const claim of claims.list()) {
      if (!claim.spec?.volumeName && classOf(claim) === object.metadata.name) queue.add(CLAIM + keyOf(claim), trace);
    }
  });
  const controller = new Binder(ports, ports.events("persistentvolume-controller"));
  startWorkers(ports, { name: "persistentvolume-binder", queue, workers: WORKERS, controller });
}

class Binder {
  readonly #ports: ControllerPorts;
  readonly #events: EventRecorder;
  readonly ownWrites = new OwnWrites();

  constructor(ports: ControllerPorts, events: EventRecorder) {
    this.#ports = ports;
    this.#events = events;
  }

  async reconcile(key: string, { trace, signal }: ReconcileContext): Promise<Outcome> {
    const cause: Cause = { key, trace, signal, ownWrites: this.ownWrites };
    const step = key.startsWith(CLAIM)
      ? await this.#claimStep(key.slice(CLAIM.length), cause)
      : await this.#volumeStep(key.slice(VOLUME.length), cause);
    if (step) return this.#carryOut(step, cause);
    this.ownWrites.forget(key);
    return done;
  }

  async #claimStep(key: string, cause: Cause): Promise<Step | undefined> {
    const { informers } = this.#ports;
    const { namespace, name } = splitKey(key);
    const claim = informers.persistentVolumeClaims.get(namespace, name);
    if (!claim || claim.metadata.deletionTimestamp !== undefined) return undefined;
    const { volumeName } = claim.spec ?? {};
    const named = volumeName ? await this.#volume(volumeName, cause) : undefined;
    const storageClass = informers.storageClasses.get("", classOf(claim));
    const step = planClaim(claim, named, informers.persistentVolumes.list(), storageClass);
    if ("told" in step && step.told) this.#tell("PersistentVolumeClaim", claim, step.told, cause);
    return step;
  }

  async #volumeStep(name: string, cause: Cause): Promise<Step | undefined> {
    const { informers } = this.#ports;
    const volume = informers.persistentVolumes.get("", name);
    if (!volume) return undefined;
    const { claimRef } = volume.spec ?? {};
    const claim = claimRef?.uid ? await this.#claim(volume, cause) : undefined;
    const step = planVolume(volume, claim);
    if ("told" in step && step.told) this.#tell("PersistentVolume", volume, step.told, cause);
    return step;
  }

  /** That there is no such volume is asked of the API: a claim would be lost for it (C13). */
  async #volume(name: string, cause: Cause): Promise<PersistentVolume | undefined> {
    const { informers, executor } = this.#ports;
    return (
      informers.persistentVolumes.get("", name) ?? (await executor.read(resources.persistentVolumes, "", name, cause))
    );
  }

  /** That the claim is gone, or another by now, is asked of the API: a volume would be released for it (C13). */
  async #claim({ spec }: PersistentVolume, cause: Cause): Promise<PersistentVolumeClaim | undefined> {
    const { informers, executor } = this.#ports;
    const { namespace = "", name = "", uid } = spec?.claimRef ?? {};
    const shown = informers.persistentVolumeClaims.get(namespace, name);
    if (shown?.metadata.uid === uid) return shown;
    return executor.read(resources.persistentVolumeClaims, namespace, name, cause);
  }

  async #carryOut(step: Step, cause: Cause): Promise<Outcome> {
    const { executor, informers } = this.#ports;
    switch (step.do) {
      case "nothing":
        return done;
      case "update claim":
        await executor.update(informers.persistentVolumeClaims, step.claim, cause);
        return done;
      case "update claim status":
        await executor.updateStatus(informers.persistentVolumeClaims, step.claim, cause);
        return done;
      case "update volume":
        await executor.update(informers.persistentVolumes, step.volume, cause);
        return done;
      case "update volume status":
        await executor.updateStatus(informers.persistentVolumes, step.volume, cause);
        return done;
    }
  }

  #tell(
    kind: string,
    object: PersistentVolume | PersistentVolumeClaim,
    { type, reason, message }: { type: "Normal" | "Warning"; reason: string; message: string },
    cause: Cause,
  ): void {
    this.#events.record({ apiVersion: "v1", kind, object }, type, reason, message, cause.trace);
  }
}
