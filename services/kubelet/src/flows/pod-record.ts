import type { Pod } from "@pilothouse/api/types/core-v1";
import type { Scope } from "@pilothouse/lifecycle";
import type { TraceContext } from "@pilothouse/telemetry";
import type { Backoff } from "../core/backoff.ts";
import type { BackedHold } from "../core/holds.ts";
import { nothingRuns, type PodRuntime } from "../core/pod-runtime.ts";
import type { KubeletPorts } from "./kubelet-ports.ts";
import { InputReader } from "./pod-inputs.ts";
import { Prober } from "./prober.ts";

/** ConfigMaps, Secrets and tokens change while a pod runs; its volumes follow this often. */
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
  readonly messages: Map<string, string>;
  /** Aborts the starts under way when the pod is to end. */
  starts: AbortController;
  volumesRefreshAtMs: number;
  /** Containers that waited in a back-off when last looked at. */
  backingOff: ReadonlySet<string>;
  deleted: boolean;
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
    messages: new Map(),
    starts: new AbortController(),
    volumesRefreshAtMs: ports.clock.monotonicMs() + REFRESH_VOLUMES_MS,
    backingOff: new Set(),
    deleted: false,
  };
}

export function podIpsOf({ runtime }: PodRecord): readonly string[] {
  const [sandbox] = runtime.sandboxes;
  return sandbox?.state === "ready" ? sandbox.ips : [];
}
