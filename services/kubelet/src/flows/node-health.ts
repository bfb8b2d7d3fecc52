/**
 * Keeps the node itself alive: ends pods when memory or disk runs short or when they use more than their limits, removes images that
 * nothing uses, and keeps logs from growing without end. Timers, because nobody tells of these things.
 */
import type { Pod } from "@pilothouse/api/types/core-v1";
import { sleep } from "@pilothouse/clock";
import type { Scope } from "@pilothouse/lifecycle";
import { parseQuantity } from "@pilothouse/quantity";
import type { ContainerStats, ImageFsInfo } from "@pilothouse/runtime";
import {
  HARD_THRESHOLDS,
  overItsLimits,
  pressureOf,
  pressuresTold,
  shortages,
  victimOf,
  type PodUsage,
  type Shortage,
} from "../core/eviction.ts";
import type { Pressure } from "../core/admission.ts";
import { planImageGc } from "../core/image-gc.ts";
import { LABEL_CONTAINER_NAME, LABEL_NODE, LABEL_POD_UID, uidOf } from "../core/pod-runtime.ts";
import type { StatsReading } from "../core/summary.ts";
import type { MachineUsage } from "../core/usage.ts";
import type { KubeletPorts } from "./kubelet-ports.ts";
import type { PodWorkers } from "./pod-workers.ts";
import type { MachineProbe } from "./ports.ts";

const LOOK_MS = 10_000;
const IMAGES_MS = 300_000;
const LOGS_MS = 10_000;
const MAX_LOG_BYTES = 10 * 2 ** 20;
const MAX_LOG_FILES = 5;

export class NodeHealth {
  readonly #ports: KubeletPorts;
  readonly #machine: MachineProbe;
  readonly #workers: PodWorkers;
  readonly #nodeName: string;
  readonly #seenPressures = new Map<Pressure, number>();
  readonly #seenImages = new Map<string, { sinceMs: number; usedMs: number }>();
  readonly #containersBefore = new Map<string, ContainerStats>();
  #machineBefore: MachineUsage | undefined;
  #images: ImageFsInfo | undefined;

  constructor(ports: KubeletPorts, machine: MachineProbe, workers: PodWorkers, nodeName: string) {
    this.#ports = ports;
    this.#machine = machine;
    this.#workers = workers;
    this.#nodeName = nodeName;
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
    return pressuresTold(this.#seenPressures, this.#ports.clock.now());
  }

  /** What node, pods and containers use now; rates are since the reading before. */
  async read(): Promise<StatsReading> {
    const [machine, containers, images] = await Promise.all([
      this.#machine.usage(),
      this.#containers(),
      this.#imageFs(),
    ]);
    const reading: StatsReading = {
      nodeName: this.#nodeName,
      machine,
      machineBefore: this.#machineBefore,
      pods: this.#workers.pods(),
      containers,
      containersBefore: new Map(this.#containersBefore),
      images,
    };
    this.#machineBefore = machine;
    this.#containersBefore.clear();
    for (const stats of containers) this.#containersBefore.set(stats.id, stats);
    return reading;
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
    const short = shortages(usage, HARD_THRESHOLDS);
    const nowMs = this.#ports.clock.now();
    for (const shortage of short) this.#seenPressures.set(pressureOf(shortage), nowMs);
    const pods = this.#workers.alive();
    const containers = await this.#containers();
    await this.#holdLimits(pods, containers);
    const [worst] = short;
    if (worst === undefined || this.#workers.isEvicting()) return;
    if (pressureOf(worst) === "DiskPressure" && (await this.#helpedByImages(worst))) return;
    const victim = victimOf(worst, pods, usageByPod(containers));
    if (victim) this.#workers.evict(victim.pod, victim.message, 0);
  }

  async #helpedByImages({ threshold }: Shortage): Promise<boolean> {
    await this.#removeImages(true);
    return !shortages(await this.#machine.usage(), [threshold]).length;
  }

  /** Pods that use more of the disk than they may. */
  async #holdLimits(pods: readonly Pod[], containers: readonly ContainerStats[]): Promise<void> {
    for (const pod of pods) {
      const limited = (pod.spec.volumes ?? []).filter(
        ({ emptyDir }) => emptyDir?.sizeLimit !== undefined && emptyDir.medium !== "Memory",
      );
      const volumeBytes = new Map<string, number>();
      for (const { name } of limited) volumeBytes.set(name, await this.#ports.files.volumeBytes(uidOf(pod), name));
      const own = containers.filter(({ labels }) => labels[LABEL_POD_UID] === uidOf(pod));
      const containerBytes = new Map(own.map((it) => [it.labels[LABEL_CONTAINER_NAME] ?? "", it.diskUsedBytes]));
      const why = overItsLimits(pod, { volumeBytes, containerBytes }, (text) => Number(parseQuantity(text).value()));
      if (why !== undefined) this.#workers.evict(pod, why, 0);
    }
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

  #containers(): Promise<readonly ContainerStats[]> {
    return this.#ports.runtime.listContainerStats({ labels: { [LABEL_NODE]: this.#nodeName } });
  }

  async #imageFs(): Promise<ImageFsInfo | undefined> {
    this.#images = await this.#ports.runtime.imageFsInfo().catch(() => this.#images);
    return this.#images;
  }
}

function usageByPod(containers: readonly ContainerStats[]): ReadonlyMap<string, PodUsage> {
  const result = new Map<string, PodUsage>();
  for (const { labels, memoryWorkingSetBytes, diskUsedBytes, diskInodes } of containers) {
    const uid = labels[LABEL_POD_UID] ?? "";
    const { memoryBytes = 0, diskBytes = 0, inodes = 0 } = result.get(uid) ?? {};
    result.set(uid, {
      memoryBytes: memoryBytes + memoryWorkingSetBytes,
      diskBytes: diskBytes + diskUsedBytes,
      inodes: inodes + diskInodes,
    });
  }
  return result;
}

/** `20260101-000000`, as upstream names rotated logs. */
function stamp(nowMs: number): string {
  return new Date(nowMs).toISOString().slice(0, 19).replaceAll(/[-:]/g, "").replace("T", "-");
}
