import type { Pod, ResourceRequirements } from "@pilothouse/api/types/core-v1";
import type { Scope } from "@pilothouse/lifecycle";
import type { TraceContext } from "@pilothouse/telemetry";
import type { Backoff } from "../core/backoff.ts";
import type { Rejection } from "../core/admission.ts";
import type { CgroupLimits } from "../core/cgroups.ts";
import type { BackedHold } from "../core/holds.ts";
import type { Hold } from "../core/pod-machine.ts";
import { allocatedPod, type Allocation, type ResizeState } from "../core/resize.ts";
import { nothingRuns, type PodRuntime } from "../core/pod-runtime.ts";
import type { KubeletPorts } from "./kubelet-ports.ts";
import { InputReader } from "./pod-inputs.ts";
import { Prober } from "./prober.ts";

/** Tokens, and ConfigMaps and Secrets of whose change nobody was told, are looked at this often while a pod runs. */
export const REFRESH_VOLUMES_MS = 60_000;

/** All that is known of one pod between two looks. Lost at a restart without harm. */
export interface PodRecord {
  pod: Pod;
  /** The object is gone from the API. */
  vanished: boolean;
  /** The trace of what was last wanted of the pod. */
  cause: TraceContext | undefined;
  runtime: PodRuntime;
  readonly scope: Scope;
  readonly prober: Prober;
  readonly inputs: InputReader;
  readonly backoffs: Map<string, Backoff>;
  /** By container; "" is the sandbox. */
  readonly holds: Map<string, BackedHold>;
  readonly stopping: Map<string, number>;
  /** Containers being made, after their images are there. */
  readonly making: Set<Promise<unknown>>;
  /** Ends that wait for others' ends, by container id. */
  readonly turns: Map<string, Turn>;
  /** Requests and limits in force, by container id; what is missing is as the container was made. */
  readonly inForce: Map<string, ResourceRequirements>;
  readonly resizeHolds: Map<string, Hold>;
  /** What the node granted; undefined until it was looked at. */
  allocation: Allocation | undefined;
  resizePending: ResizeState["pending"];
  /** Set when the node ends the pod for its own sake. */
  eviction: { readonly message: string; readonly graceSeconds: number } | undefined;
  /** Whether this node takes the pod; undefined until it was judged. */
  admission: "taken" | Rejection | undefined;
  readonly messages: Map<string, string>;
  /** The limits that its cgroup was given last; undefined before it was. */
  cgroupLimits: CgroupLimits | undefined;
  /** Aborts the starts under way when the pod is to end. */
  starts: AbortController;
  volumesRefreshAtMs: number;
  /** Changes of what it has mounted are heard of. */
  isFollowed: boolean;
  /** Why containers waited when last looked at, by name. */
  waitingFor: ReadonlyMap<string, string>;
  isDeadlineTold: boolean;
  deleted: boolean;
}

export interface Turn {
  /** Names of the containers that must have ended. */
  readonly after: readonly string[];
  readonly come: () => void;
}

/** The pod with what it was granted. */
export function grantedPod({ pod, allocation }: PodRecord): Pod {
  return allocation ? allocatedPod(pod, allocation) : pod;
}

/** Takes up room on the node: it was taken, now or by an earlier life of ours, and is not over. */
export function holdsRoom({ pod, admission, vanished }: PodRecord): boolean {
  const { phase, startTime } = pod.status ?? {};
  const taken = admission === "taken" || (admission === undefined && startTime !== undefined);
  return taken && !vanished && phase !== "Succeeded" && phase !== "Failed";
}

/** `wake` is called when a probe has a new verdict. */
export function newPodRecord(
  ports: KubeletPorts,
  pod: Pod,
  cause: TraceContext | undefined,
  scope: Scope,
  wake: () => void,
): PodRecord {
  return {
    pod,
    cause,
    scope,
    vanished: false,
    runtime: nothingRuns,
    prober: new Prober(ports, scope, wake),
    inputs: new InputReader(ports),
    backoffs: new Map(),
    holds: new Map(),
    stopping: new Map(),
    making: new Set(),
    turns: new Map(),
    inForce: new Map(),
    resizeHolds: new Map(),
    allocation: undefined,
    resizePending: undefined,
    admission: undefined,
    eviction: undefined,
    messages: new Map(),
    cgroupLimits: undefined,
    starts: new AbortController(),
    volumesRefreshAtMs: ports.clock.monotonicMs() + REFRESH_VOLUMES_MS,
    isFollowed: false,
    waitingFor: new Map(),
    isDeadlineTold: false,
    deleted: false,
  };
}

export function podIpsOf({ runtime }: PodRecord): readonly string[] {
  const [sandbox] = runtime.sandboxes;
  return sandbox?.state === "ready" ? sandbox.ips : [];
}
