/** Makes volumes on nodes' own disks for claims of classes with `provisioner: pilothouse.io/local-volume`, and removes them after their claims. */
import type { Node, PersistentVolume, PersistentVolumeClaim } from "@pilothouse/api/types/core-v1";
import { resources } from "@pilothouse/client";
import { done, followChanges, OwnWrites, requeueAfter } from "@pilothouse/controller";
import type { EventRecorder, Outcome, ReconcileContext } from "@pilothouse/controller";
import { classOf, isReachedBy, SELECTED_NODE } from "@pilothouse/kinds/core/volume-binding";
import { WorkQueue } from "@pilothouse/workqueue";
import type { ControllerPorts } from "../../controller-ports.ts";
import type { Cause } from "../../executor.ts";
import { BY_UID } from "../../informers.ts";
import { startWorkers } from "../../start-workers.ts";
import { cleanerName, HELPERS_NAMESPACE, makerName, volumeOfHelper, type LocalVolumes } from "./plan-helpers.ts";
import { planLocalVolume, type Seen, type Step, type Told } from "./plan.ts";
import { isAskedOfUs, isOurs, PROVISIONER_NAME, volumeNameOf } from "./plan-volume.ts";

const WORKERS = 4;

/** Does nothing where the configuration names no image for its helpers. */
export function startLocalVolumeProvisioner(ports: ControllerPorts): void {
  const { clock, telemetry, scope, informers, config } = ports;
  if (!config.localVolumes) return;
  const queue = new WorkQueue({ name: "local-volume-provisioner", clock, tracer: telemetry.tracer });
  followChanges(scope, informers.persistentVolumeClaims, ({ object, trace }) => {
    if (isAskedOfUs(object)) queue.add(volumeNameOf(object), trace);
  });
  followChanges(scope, informers.persistentVolumes, ({ object, trace }) => {
    if (isOurs(object)) queue.add(object.metadata.name ?? "", trace);
  });
  followChanges(scope, informers.pods, ({ object, trace }) => {
    const volume = volumeOfHelper(object);
    if (volume !== undefined) queue.add(volume, trace);
  });
  followChanges(scope, informers.storageClasses, ({ object, trace }) => {
    if (object.provisioner !== PROVISIONER_NAME) return;
    for (const claim of informers.persistentVolumeClaims.list()) {
      if (isAskedOfUs(claim) && classOf(claim) === object.metadata.name) queue.add(volumeNameOf(claim), trace);
    }
  });
  followChanges(scope, informers.nodes, ({ type, object, trace }) => {
    if (type !== "deleted") return;
    for (const volume of informers.persistentVolumes.list()) {
      if (isOurs(volume) && isReachedBy(volume, object)) queue.add(volume.metadata.name ?? "", trace);
    }
  });
  const events = ports.events("local-volume-provisioner");
  const controller = new LocalVolumeProvisioner(ports, config.localVolumes, events);
  startWorkers(ports, { name: "local-volume-provisioner", queue, workers: WORKERS, controller });
}

class LocalVolumeProvisioner {
  readonly #ports: ControllerPorts;
  readonly #settings: LocalVolumes;
  readonly #events: EventRecorder;
  readonly ownWrites = new OwnWrites();

  constructor(ports: ControllerPorts, settings: LocalVolumes, events: EventRecorder) {
    this.#ports = ports;
    this.#settings = settings;
    this.#events = events;
  }

  async reconcile(name: string, { trace, signal }: ReconcileContext): Promise<Outcome> {
    const cause: Cause = { key: name, trace, signal, ownWrites: this.ownWrites };
    const { informers } = this.#ports;
    const claim = informers.persistentVolumeClaims.byIndex(BY_UID, uidOf(name))[0];
    const seen = await this.#seen(name, claim, informers.persistentVolumes.get("", name), cause);
    let step = this.#plan(seen);
    // Before a directory is removed, it is judged once more by what the API has now (C13).
    if (step.do === "create pod" && step.removes) step = this.#plan(await this.#seenByApi(name, cause));
    return this.#carryOut(step, seen, cause);
  }

  #plan(seen: Seen): Step {
    return planLocalVolume(seen, this.#settings, this.#ports.clock.now());
  }

  async #seen(
    name: string,
    claim: PersistentVolumeClaim | undefined,
    volume: PersistentVolume | undefined,
    cause: Cause,
  ): Promise<Seen> {
    const { informers } = this.#ports;
    const maker = informers.pods.get(HELPERS_NAMESPACE, makerName(name));
    const chosen = claim?.metadata.annotations?.[SELECTED_NODE] ?? maker?.spec.nodeName;
    return {
      name,
      claim,
      volume,
      storageClass: claim && informers.storageClasses.get("", classOf(claim)),
      node: await (volume ? this.#nodeOf(volume, cause) : this.#node(chosen, cause)),
      maker,
      cleaner: informers.pods.get(HELPERS_NAMESPACE, cleanerName(name)),
    };
  }

  async #seenByApi(name: string, cause: Cause): Promise<Seen> {
    const { client, executor } = this.#ports;
    const volume = await executor.read(resources.persistentVolumes, "", name, cause);
    const { namespace = "", name: claimName = "" } = volume?.spec?.claimRef ?? {};
    // Without a volume there is only its uid to find the claim by.
    const claims = volume
      ? [await executor.read(resources.persistentVolumeClaims, namespace, claimName, cause)]
      : (await client.list(resources.persistentVolumeClaims, "", { trace: cause.trace })).items;
    const claim = claims.find((each) => each?.metadata.uid === uidOf(name));
    return this.#seen(name, claim, volume, cause);
  }

  /** That there is no such node is asked of the API (C13). */
  async #node(name: string | undefined, cause: Cause): Promise<Node | undefined> {
    const { informers, executor } = this.#ports;
    if (name === undefined) return undefined;
    return informers.nodes.get("", name) ?? (await executor.read(resources.nodes, "", name, cause));
  }

  async #nodeOf(volume: PersistentVolume, { trace }: Cause): Promise<Node | undefined> {
    const { informers, client } = this.#ports;
    const shown = informers.nodes.list().find((node) => isReachedBy(volume, node));
    if (shown || volume.metadata.deletionTimestamp === undefined) return shown;
    const { items } = await client.list(resources.nodes, "", { trace });
    return items.find((node) => isReachedBy(volume, node));
  }

  async #carryOut(step: Step, seen: Seen, cause: Cause): Promise<Outcome> {
    const { executor, informers, clock } = this.#ports;
    if (step.do === "create volume") await executor.create(informers.persistentVolumes, step.volume, cause);
    if ("told" in step && step.told) this.#tell(step.told, seen, cause);
    switch (step.do) {
      case "create pod":
        await executor.create(informers.pods, step.pod, cause);
        return done;
      case "delete pod":
        await executor.delete(informers.pods, step.pod, cause);
        return done;
      case "delete volume":
        await executor.delete(informers.persistentVolumes, step.volume, cause, {
          resourceVersion: step.volume.metadata.resourceVersion ?? "",
        });
        return done;
      case "update volume":
        await executor.update(informers.persistentVolumes, step.volume, cause);
        return done;
      case "update claim":
        await executor.update(informers.persistentVolumeClaims, step.claim, cause);
        return done;
      case "wait":
        return requeueAfter(step.untilMs - clock.now(), "its helper failed");
      default:
        if (!seen.claim && !seen.volume && !seen.maker && !seen.cleaner) this.ownWrites.forget(seen.name);
        return done;
    }
  }

  #tell({ about, type, reason, message }: Told, { claim, volume }: Seen, { trace }: Cause): void {
    const object = about === "claim" ? claim : volume;
    const kind = about === "claim" ? "PersistentVolumeClaim" : "PersistentVolume";
    if (object) this.#events.record({ apiVersion: "v1", kind, object }, type, reason, message, trace);
  }
}

function uidOf(volumeName: string): string {
  return volumeName.replace(/^pvc-/, "");
}
