/** The kubelet's own ports: what it touches of the machine besides the container runtime. */
import type { Pod } from "@pilothouse/api/types/core-v1";
import type { FsMount } from "@pilothouse/runtime";
import type { TraceContext } from "@pilothouse/telemetry";
import type { CgroupUsage, InterfaceUsage } from "../core/cgroup-usage.ts";
import type { CgroupLimits } from "../core/cgroups.ts";
import type { ResolverConfig } from "../core/dns.ts";
import type { Manifest } from "../core/static-pods.ts";
import type { VolumeUsage } from "../core/summary.ts";
import type { MachineUsage } from "../core/usage.ts";
import type { VolumePlan } from "../core/volumes.ts";

/** The pods of this node, as the API server has them. */
export interface PodSource {
  /** Resolves once every pod that was there has been told. `cause` is the trace of the change. */
  start(listener: PodListener): Promise<void>;
}

export interface PodListener {
  changed(pod: Pod, cause: TraceContext | undefined): void;
  /** The object is gone, whatever its containers do. */
  removed(pod: Pod, cause: TraceContext | undefined): void;
}

/** The files that describe the node's own pods. */
export interface ManifestFiles {
  /** All of them, in the order of their names; none when there is no such directory. */
  read(): Promise<readonly Manifest[]>;
  /** Calls back soon after something changed, perhaps too often and perhaps not at all. Returns what ends it. */
  watch(changed: () => void): () => void;
}

export interface VolumePart {
  /** The volume's and the container's name, and the mount's number in the container. */
  readonly volume: string;
  readonly container: string;
  readonly index: number;
  /** On the host. */
  readonly volumePath: string;
  readonly subPath: string;
}

/** Files and mounts of pods. All calls may be repeated. */
export interface NodeFiles {
  /** Makes the volume, or brings its files up to date in one step; returns its path on the host. */
  ensureVolume(uid: string, volume: VolumePlan, fsGroup: number | undefined): Promise<string>;
  /** Mounts an image's files as the volume. May be repeated. */
  mountImage(uid: string, name: string, mounts: readonly FsMount[]): Promise<string>;
  /** A part of a volume, made if it is missing, at a path that nobody in the pod can turn elsewhere. Refuses to leave the volume. */
  subPath(uid: string, part: VolumePart): Promise<string>;
  /** Writes one file of the pod's own (hosts, termination messages); returns its path. Parents are made. */
  writePodFile(uid: string, name: string, content: string, mode: number): Promise<string>;
  /** At most the last `maxBytes` of a file, "" when there is none. */
  readTail(path: string, maxBytes: number): Promise<string>;
  ensureLogDirectory(path: string): Promise<void>;
  /** Shows a log under a name among those of all containers. */
  linkLog(name: string, logPath: string): Promise<void>;
  unlinkLog(name: string): Promise<void>;
  hostFiles(): Promise<{ readonly hosts: string; readonly resolver: ResolverConfig }>;
  /** What a volume of the pod takes on disk. */
  volumeBytes(uid: string, volume: string): Promise<number>;
  /** The same with more; undefined for a volume that has no folder of its own here. */
  volumeUsage(uid: string, volume: string): Promise<Omit<VolumeUsage, "name" | "onDisk"> | undefined>;
  /** 0 when there is no such file. */
  logBytes(path: string): Promise<number>;
  /** What the log takes with those that were moved aside; 0 when there is none. */
  logFolderBytes(path: string): Promise<number>;
  /** Moves a log aside as `<path>.<stamp>`, and keeps at most so many files of it, itself among them. */
  rotateLog(path: string, stamp: string, maxFiles: number): Promise<void>;
  /** Unmounts and removes all the pod had, its logs and their links too. */
  removePod(uid: string, logDirectory: string): Promise<void>;
  /** Names of the pod's volumes that have a folder here. */
  volumeNames(uid: string): Promise<readonly string[]>;
  /** Uids of pods that have a directory here. */
  listPods(): Promise<readonly string[]>;
}

/** Cgroups above those of containers, by their path below each hierarchy. All calls may be repeated. */
export interface Cgroups {
  /** Makes it and those above it, and sets its limits. Rejects when the kernel refuses one. */
  ensure(cgroup: string, limits: CgroupLimits): Promise<void>;
  /** With all below it; what still has processes stays. */
  remove(cgroup: string): Promise<void>;
}

/** What the machine uses. */
export interface MachineProbe {
  usage(): Promise<MachineUsage>;
  /** What the interfaces have carried, but the loopback: the node's own, or those of whoever is in this cgroup or below it. */
  network(cgroup: string | undefined): Promise<readonly InterfaceUsage[]>;
  /** Undefined when there is no such cgroup. */
  cgroup(cgroup: string): Promise<CgroupUsage | undefined>;
}

/** Looks whether somebody answers. */
export interface NetworkProbe {
  http(request: HttpProbe): Promise<ProbeOutcome>;
  tcp(host: string, port: number, timeoutMs: number): Promise<ProbeOutcome>;
  /** By grpc.health.v1, without TLS. */
  grpc(request: GrpcProbe): Promise<ProbeOutcome>;
}

export interface GrpcProbe {
  readonly host: string;
  readonly port: number;
  /** "" = the server as a whole. */
  readonly service: string;
  readonly timeoutMs: number;
}

export interface HttpProbe {
  readonly scheme: "HTTP" | "HTTPS";
  readonly host: string;
  readonly port: number;
  readonly path: string;
  readonly headers: readonly { readonly name: string; readonly value: string }[];
  readonly timeoutMs: number;
}

export interface ProbeOutcome {
  readonly ok: boolean;
  /** What upstream's event says after `Readiness probe failed: `. */
  readonly detail: string;
  /** Of a success that is worth an event. */
  readonly warning?: string;
  /** It could not be carried out: nothing was learnt of the container. */
  readonly errored?: boolean;
}

/** The runtime's log files. */
export interface LogFiles {
  /** The file's bytes, in pieces; rejects when there is no such file. */
  read(reading: LogReading): AsyncIterable<Uint8Array>;
}

export interface LogReading {
  readonly path: string;
  /** Begin with the last so many lines. */
  readonly tailLines: number | undefined;
  /** Go on until this says false and all is read; undefined = stop at the end of the file. */
  readonly growing: (() => Promise<boolean>) | undefined;
  readonly signal: AbortSignal;
}
