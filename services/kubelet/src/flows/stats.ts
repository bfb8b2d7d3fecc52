/** Reads what node, pods, containers and volumes use, for whoever asks the kubelet's server; rates are since the reading before. */
import type { Pod } from "@pilothouse/api/types/core-v1";
import type { Clock } from "@pilothouse/clock";
import type { ContainerStats, ImageFsInfo, Runtime } from "@pilothouse/runtime";
import { podCgroup } from "../core/cgroups.ts";
import type { CgroupUsage, InterfaceUsage } from "../core/cgroup-usage.ts";
import { LABEL_NODE, LABEL_POD_UID, uidOf, type RuntimeContainer } from "../core/pod-runtime.ts";
import type { StatsReading, VolumeUsage } from "../core/summary.ts";
import type { MachineUsage } from "../core/usage.ts";
import { takesDisk } from "../core/volumes.ts";
import type { MachineProbe, NodeFiles } from "./ports.ts";

export interface StatsPorts {
  readonly runtime: Runtime;
  readonly files: NodeFiles;
  readonly clock: Clock;
  readonly machine: MachineProbe;
}

/** What is known of the pods that are looked after. */
export interface StatsPods {
  pods(): readonly Pod[];
  running(): readonly RuntimeContainer[];
}

export interface StatsOptions {
  readonly nodeName: string;
  readonly cpus: number;
  readonly cgroupRoot: string;
}

/** To count a volume's files takes a while: once a minute is often enough, as upstream has it. */
const VOLUMES_MS = 60_000;

export class Stats {
  readonly #ports: StatsPorts;
  readonly #pods: StatsPods;
  readonly #options: StatsOptions;
  readonly #containersBefore = new Map<string, ContainerStats>();
  readonly #volumes = new Map<string, { readonly usage: Promise<readonly VolumeUsage[]>; readonly readAtMs: number }>();
  #machineBefore: MachineUsage | undefined;
  #images: ImageFsInfo | undefined;

  constructor(ports: StatsPorts, pods: StatsPods, options: StatsOptions) {
    this.#ports = ports;
    this.#pods = pods;
    this.#options = options;
  }

  async read(): Promise<StatsReading> {
    const { machine } = this.#ports;
    const { nodeName, cpus } = this.#options;
    const pods = this.#pods.pods();
    const [usage, containers, images, network] = await Promise.all([
      machine.usage(),
      this.containers(),
      this.#imageFs(),
      machine.network(undefined),
    ]);
    const alive = pods.filter((pod) => containers.some(({ labels }) => labels[LABEL_POD_UID] === uidOf(pod)));
    const [networks, volumes, cgroups, logBytes] = await Promise.all([
      this.#networks(alive),
      this.#volumesOf(alive),
      this.#cgroups(alive, containers),
      this.logs(),
    ]);
    const reading: StatsReading = {
      nodeName,
      cpus,
      machine: usage,
      machineBefore: this.#machineBefore,
      pods,
      containers,
      containersBefore: new Map(this.#containersBefore),
      images,
      network,
      networks,
      volumes,
      cgroups,
      logBytes,
    };
    this.#machineBefore = usage;
    this.#containersBefore.clear();
    for (const stats of containers) this.#containersBefore.set(stats.id, stats);
    return reading;
  }

  containers(): Promise<readonly ContainerStats[]> {
    return this.#ports.runtime.listContainerStats({ labels: { [LABEL_NODE]: this.#options.nodeName } });
  }

  /** What the volumes of a pod take, as of the last minute. */
  volumesIn(pod: Pod): Promise<readonly VolumeUsage[]> {
    const nowMs = this.#ports.clock.monotonicMs();
    const known = this.#volumes.get(uidOf(pod));
    if (known && nowMs - known.readAtMs < VOLUMES_MS) return known.usage;
    const usage = this.#readVolumes(pod);
    this.#volumes.set(uidOf(pod), { usage, readAtMs: nowMs });
    return usage;
  }

  async #readVolumes(pod: Pod): Promise<readonly VolumeUsage[]> {
    const found = await Promise.all(
      (pod.spec.volumes ?? []).map(async (volume): Promise<VolumeUsage | undefined> => {
        const usage = await this.#ports.files.volumeUsage(uidOf(pod), volume.name).catch(() => undefined);
        return usage && { name: volume.name, onDisk: takesDisk(volume), ...usage };
      }),
    );
    return found.filter((it) => it !== undefined);
  }

  async #volumesOf(pods: readonly Pod[]): Promise<ReadonlyMap<string, readonly VolumeUsage[]>> {
    const uids = new Set(this.#pods.pods().map(uidOf));
    for (const uid of this.#volumes.keys()) if (!uids.has(uid)) this.#volumes.delete(uid);
    return new Map(await Promise.all(pods.map(async (pod) => [uidOf(pod), await this.volumesIn(pod)] as const)));
  }

  /** Whatever runs in a pod is in its network: the first process of its cgroup shows it. */
  async #networks(pods: readonly Pod[]): Promise<ReadonlyMap<string, readonly InterfaceUsage[]>> {
    const own = pods.filter(({ spec }) => !spec.hostNetwork);
    const read = (pod: Pod): Promise<readonly InterfaceUsage[]> =>
      this.#ports.machine.network(podCgroup(pod, this.#options.cgroupRoot)).catch(() => []);
    return new Map(await Promise.all(own.map(async (pod) => [uidOf(pod), await read(pod)] as const)));
  }

  async #cgroups(
    pods: readonly Pod[],
    containers: readonly ContainerStats[],
  ): Promise<ReadonlyMap<string, CgroupUsage>> {
    const folders = new Map(pods.map((pod) => [uidOf(pod), podCgroup(pod, this.#options.cgroupRoot)]));
    const found = new Map<string, CgroupUsage>();
    await Promise.all(
      containers.map(async ({ id, labels }) => {
        const folder = folders.get(labels[LABEL_POD_UID] ?? "");
        const usage = folder && (await this.#ports.machine.cgroup(`${folder}/${id}`).catch(() => undefined));
        if (usage) found.set(id, usage);
      }),
    );
    return found;
  }

  /** What log files take, by container id. */
  async logs(): Promise<ReadonlyMap<string, number>> {
    const read = async ({ id, logPath }: RuntimeContainer): Promise<readonly [string, number]> => {
      return [id, await this.#ports.files.logFolderBytes(logPath)];
    };
    return new Map(await Promise.all(this.#pods.running().map(read)));
  }

  async #imageFs(): Promise<ImageFsInfo | undefined> {
    this.#images = await this.#ports.runtime.imageFsInfo().catch(() => this.#images);
    return this.#images;
  }
}
