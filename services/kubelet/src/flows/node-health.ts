/**
 * Keeps the node itself alive: ends pods when memory or disk runs short or when they use more than their limits, removes images that
 * nothing uses, and keeps logs from growing without end. Timers, because nobody tells of these things.
 */
import type { Pod } from "@pilothouse/api/types/core-v1";
import { sleep } from "@pilothouse/clock";
import type { Scope } from "@pilothouse/lifecycle";
import type { ContainerStats } from "@pilothouse/runtime";
import {
  overItsLimits,
  pressureOf,
  pressuresTold,
  shortages,
  victimOf,
  type PodUsage,
  type Shortage,
  type Threshold,
} from "../core/eviction.ts";
import type { Pressure } from "../core/admission.ts";
import { DEFAULT_GRACE_SECONDS } from "../core/pod-machine.ts";
import { planImageGc } from "../core/image-gc.ts";
import { LABEL_CONTAINER_NAME, LABEL_POD_UID, uidOf } from "../core/pod-runtime.ts";
import { graceFor, thresholdsMet, type EvictionSettings } from "../core/thresholds.ts";
import type { KubeletPorts } from "./kubelet-ports.ts";
import type { PodWorkers } from "./pod-workers.ts";
import type { MachineProbe } from "./ports.ts";
import type { Stats } from "./stats.ts";

const LOOK_MS = 10_000;
const IMAGES_MS = 300_000;
const LOGS_MS = 10_000;
const MAX_LOG_BYTES = 10 * 2 ** 20;
const MAX_LOG_FILES = 5;

export class NodeHealth {
  readonly #ports: KubeletPorts;
  readonly #machine: MachineProbe;
  readonly #workers: PodWorkers;
  readonly #stats: Stats;
  readonly #eviction: EvictionSettings;
  readonly #crossedSince = new Map<Threshold, number>();
  readonly #seenPressures = new Map<Pressure, number>();
  readonly #seenImages = new Map<string, { sinceMs: number; usedMs: number }>();

  constructor(
    ports: KubeletPorts,
    machine: MachineProbe,
    workers: PodWorkers,
    stats: Stats,
    eviction: EvictionSettings,
  ) {
    this.#ports = ports;
    this.#machine = machine;
    this.#workers = workers;
    this.#stats = stats;
    this.#eviction = eviction;
  }

  start(scope: Scope): void {
    scope.run("pressure", (signal) =>
      this.#every(LOOK_MS, "the node's usage could not be read", () => this.#relieve(), signal),
    );
    scope.run("images", (signal) =>
      this.#every(IMAGES_MS, "images could not be removed", () => this.#removeImages(false), signal),
    );
    scope.run("logs", (signal) => this.#every(LOGS_MS, "logs could not be rotated", () => this.#rotateLogs(), signal));
  }

  /** What runs short, or has until a moment ago. */
  pressures(): readonly Pressure[] {
    return pressuresTold(this.#seenPressures, this.#ports.clock.now(), this.#eviction.transitionMs);
  }

  async #every(periodMs: number, complaint: string, work: () => Promise<void>, signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#ports;
    while (!signal.aborted) {
      await sleep(clock, periodMs, signal);
      try {
        await work();
      } catch (error) {
        log.warn(complaint, { error });
      }
    }
  }

  /** One pod at a time: what its end gives back is seen at the next look. */
  async #relieve(): Promise<void> {
    const usage = await this.#machine.usage();
    const nowMs = this.#ports.clock.now();
    const { thresholds, maxPodGraceSeconds } = this.#eviction;
    const short = thresholdsMet(shortages(usage, thresholds), this.#crossedSince, nowMs);
    for (const shortage of short) this.#seenPressures.set(pressureOf(shortage), nowMs);
    const pods = this.#workers.alive();
    const containers = await this.#stats.containers();
    await this.#holdLimits(pods, containers);
    const [worst] = short;
    if (worst === undefined || this.#workers.isEvicting()) return;
    if (pressureOf(worst) === "DiskPressure" && (await this.#helpedByImages(worst))) return;
    const victim = victimOf(worst, pods, await this.#usageByPod(pods, containers));
    if (!victim) return;
    const ownSeconds = victim.pod.spec.terminationGracePeriodSeconds ?? DEFAULT_GRACE_SECONDS;
    this.#workers.evict(victim.pod, victim.message, graceFor(worst, ownSeconds, maxPodGraceSeconds));
  }

  async #helpedByImages({ threshold }: Shortage): Promise<boolean> {
    await this.#removeImages(true);
    return !shortages(await this.#machine.usage(), [threshold]).length;
  }

  /** Pods that use more of the disk than they may. */
  async #holdLimits(pods: readonly Pod[], containers: readonly ContainerStats[]): Promise<void> {
    const logBytes = await this.#stats.logs();
    for (const pod of pods) {
      const limited = (pod.spec.volumes ?? []).filter(
        ({ emptyDir }) => emptyDir?.sizeLimit !== undefined && emptyDir.medium !== "Memory",
      );
      const volumeBytes = new Map<string, number>();
      for (const { name } of limited) volumeBytes.set(name, await this.#ports.files.volumeBytes(uidOf(pod), name));
      const own = containers.filter(({ labels }) => labels[LABEL_POD_UID] === uidOf(pod));
      const bytes = (it: ContainerStats): number => it.diskUsedBytes + (logBytes.get(it.id) ?? 0);
      const containerBytes = new Map(own.map((it) => [it.labels[LABEL_CONTAINER_NAME] ?? "", bytes(it)]));
      const podBytes = isDiskLimited(pod)
        ? own.reduce((sum, it) => sum + bytes(it), 0) + (await this.#onDisk(pod)).bytes
        : 0;
      const why = overItsLimits(pod, { volumeBytes, containerBytes, podBytes });
      if (why !== undefined) this.#workers.evict(pod, why, 0);
    }
  }

  /** What a pod takes of the disk besides the layers and logs of its containers. */
  async #onDisk(pod: Pod): Promise<{ readonly bytes: number; readonly inodes: number }> {
    const volumes = (await this.#stats.volumesIn(pod)).filter((it) => it.onDisk);
    return {
      bytes: volumes.reduce((sum, it) => sum + it.usedBytes, 0),
      inodes: volumes.reduce((sum, it) => sum + it.inodesUsed, 0),
    };
  }

  async #usageByPod(
    pods: readonly Pod[],
    containers: readonly ContainerStats[],
  ): Promise<ReadonlyMap<string, PodUsage>> {
    const logBytes = await this.#stats.logs();
    const usage = async (pod: Pod): Promise<readonly [string, PodUsage]> => {
      const own = containers.filter(({ labels }) => labels[LABEL_POD_UID] === uidOf(pod));
      const sum = (of: (stats: ContainerStats) => number): number => own.reduce((total, it) => total + of(it), 0);
      const { bytes, inodes } = await this.#onDisk(pod);
      return [
        uidOf(pod),
        {
          memoryBytes: sum((it) => it.memoryWorkingSetBytes),
          diskBytes: sum((it) => it.diskUsedBytes + (logBytes.get(it.id) ?? 0)) + bytes,
          inodes: sum((it) => it.diskInodes) + inodes,
        },
      ];
    };
    return new Map(await Promise.all(pods.map(usage)));
  }

  async #removeImages(urgent: boolean): Promise<void> {
    const { runtime, clock, log } = this.#ports;
    const nowMs = clock.now();
    const [images, containers, usage] = await Promise.all([
      runtime.listImages(),
      runtime.listContainers(),
      this.#machine.usage(),
    ]);
    const inUse = new Set(containers.map(({ imageRef }) => imageRef));
    for (const { id } of images) {
      const seen = this.#seenImages.get(id) ?? { sinceMs: nowMs, usedMs: nowMs };
      this.#seenImages.set(id, inUse.has(id) ? { ...seen, usedMs: nowMs } : seen);
    }
    for (const id of this.#seenImages.keys()) if (!images.some((it) => it.id === id)) this.#seenImages.delete(id);
    const { capacityBytes, availableBytes } = usage.imageFs;
    const plan = { images, inUse, seen: this.#seenImages, capacityBytes, availableBytes, nowMs, urgent };
    for (const id of planImageGc(plan)) {
      log.info("an image that nothing uses is removed: the disk fills", { image: id });
      await runtime.removeImage(id);
    }
  }

  async #rotateLogs(): Promise<void> {
    const { files, runtime, clock } = this.#ports;
    for (const { id, logPath } of this.#workers.running()) {
      if ((await files.logBytes(logPath)) <= MAX_LOG_BYTES) continue;
      await files.rotateLog(logPath, stamp(clock.now()), MAX_LOG_FILES);
      await runtime.reopenContainerLog(id);
    }
  }
}

function isDiskLimited({ spec }: Pod): boolean {
  return spec.containers.some(({ resources }) => resources?.limits?.["ephemeral-storage"] !== undefined);
}

/** `20260101-000000`, as upstream names rotated logs. */
function stamp(nowMs: number): string {
  return new Date(nowMs).toISOString().slice(0, 19).replaceAll(/[-:]/g, "").replace("T", "-");
}
