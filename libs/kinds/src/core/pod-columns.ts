/** `kubectl get pods`: what the state of a pod comes down to in one word. */
import type { Container, ContainerStatus, Pod } from "@pilothouse/api/types/core-v1";
import { AGE, orNone, shown, wide } from "../columns.ts";
import { ageOf } from "../duration.ts";
import type { Column } from "../kind.ts";

export const podColumns: readonly Column<Pod>[] = [
  shown("Ready", (pod) => podSummary(pod).ready, "How many of its containers are ready."),
  shown("Status", (pod) => podSummary(pod).reason, "The state of the pod in one word."),
  shown("Restarts", (pod, nowMs) => restartsText(podSummary(pod), nowMs), "How often its containers were restarted."),
  AGE,
  wide("IP", ({ status }) => orNone(status?.podIPs?.[0]?.ip || status?.podIP), "Its address."),
  wide("Node", ({ spec }) => orNone(spec.nodeName), "The node it is on."),
  wide("Nominated Node", ({ status }) => orNone(status?.nominatedNodeName), "The node that is being made free for it."),
  wide("Readiness Gates", readinessGatesText, "How many of its readiness gates are open."),
];

export interface PodSummary {
  /** `1/2` */
  readonly ready: string;
  /** `Running`, `CrashLoopBackOff`, `Init:0/1`, `Terminating`, … */
  readonly reason: string;
  readonly restarts: number;
  readonly lastRestart: string | undefined;
}

interface Tally {
  readonly reason: string | undefined;
  readonly ready: number;
  readonly restarts: number;
  readonly lastRestart: string | undefined;
}

/** As upstream's printer counts: init containers until they are done, then the others. */
export function podSummary(pod: Pod): PodSummary {
  const { status = {}, spec, metadata } = pod;
  const initContainers = spec.initContainers ?? [];
  const sidecars = initContainers.filter(isSidecar).length;
  const total = (spec.containers ?? []).length + sidecars;

  const init = tallyInit(initContainers, status.initContainerStatuses ?? []);
  const initialized = init.reason === undefined || hasCondition(pod, "Initialized");
  const main = initialized ? tallyMain(pod, init.sidecars) : init.all;

  let reason = main.reason ?? init.reason ?? restingReason(pod);
  const terminal = status.phase === "Succeeded" || status.phase === "Failed";
  if (metadata.deletionTimestamp !== undefined) {
    if (status.reason === "NodeLost") reason = "Unknown";
    else if (!terminal) reason = "Terminating";
  }
  const ready = initialized ? main.ready + init.all.ready : init.all.ready;
  return { ready: `${ready}/${total}`, reason, restarts: main.restarts, lastRestart: main.lastRestart };
}

/** What the pod says of itself as long as no container says more. */
function restingReason({ status = {} }: Pod): string {
  const gated = status.conditions?.some(({ type, reason }) => type === "PodScheduled" && reason === "SchedulingGated");
  return gated ? "SchedulingGated" : status.reason || status.phase || "";
}

interface InitTally {
  /** Set while an init container is still at work. */
  readonly reason: string | undefined;
  readonly all: Tally;
  /** Of the sidecars alone: theirs count on after initialisation. */
  readonly sidecars: Tally;
}

function tallyInit(containers: readonly Container[], statuses: readonly ContainerStatus[]): InitTally {
  let all: Tally = { reason: undefined, ready: 0, restarts: 0, lastRestart: undefined };
  let sidecars = all;
  for (const [index, status] of statuses.entries()) {
    const container = containers.find(({ name }) => name === status.name);
    const sidecar = container !== undefined && isSidecar(container);
    all = withRestarts(all, status);
    if (sidecar) sidecars = withRestarts(sidecars, status);
    if (status.state?.terminated?.exitCode === 0) continue;
    if (sidecar && status.started === true) {
      if (status.ready) all = { ...all, ready: all.ready + 1 };
      continue;
    }
    const reason = initReason(status) ?? `Init:${index}/${containers.length}`;
    return { reason, all: { ...all, reason }, sidecars };
  }
  return { reason: undefined, all, sidecars };
}

function initReason({ state }: ContainerStatus): string | undefined {
  if (state?.terminated) return `Init:${endedReason(state.terminated)}`;
  const waiting = state?.waiting?.reason;
  return waiting && waiting !== "PodInitializing" ? `Init:${waiting}` : undefined;
}

function tallyMain(pod: Pod, sidecars: Tally): Tally {
  let tally = sidecars;
  let reason: string | undefined;
  for (const status of [...(pod.status?.containerStatuses ?? [])].reverse()) {
    tally = withRestarts(tally, status);
    const { waiting, terminated, running } = status.state ?? {};
    if (waiting?.reason) reason = waiting.reason;
    else if (terminated) reason = endedReason(terminated);
    else if (status.ready && running) tally = { ...tally, ready: tally.ready + 1 };
  }
  // A container that has completed does not hide one that still runs.
  const runs = tally.ready > sidecars.ready;
  if (reason === "Completed" && runs) reason = hasCondition(pod, "Ready") ? "Running" : "NotReady";
  return { ...tally, reason };
}

function endedReason({ reason, signal, exitCode }: { reason?: string; signal?: number; exitCode: number }): string {
  if (reason) return reason;
  return signal ? `Signal:${signal}` : `ExitCode:${exitCode}`;
}

function withRestarts(tally: Tally, { restartCount, lastState }: ContainerStatus): Tally {
  const ended = lastState?.terminated?.finishedAt;
  const later = ended !== undefined && (tally.lastRestart === undefined || ended > tally.lastRestart);
  return {
    ...tally,
    restarts: tally.restarts + (restartCount ?? 0),
    lastRestart: later ? ended : tally.lastRestart,
  };
}

function restartsText({ restarts, lastRestart }: PodSummary, nowMs: number): string {
  return restarts === 0 || !lastRestart ? String(restarts) : `${restarts} (${ageOf(lastRestart, nowMs)} ago)`;
}

function readinessGatesText({ spec, status }: Pod): string {
  const gates = spec.readinessGates ?? [];
  if (gates.length === 0) return "<none>";
  const open = gates.filter(({ conditionType }) =>
    status?.conditions?.some(({ type, status }) => type === conditionType && status === "True"),
  );
  return `${open.length}/${gates.length}`;
}

function hasCondition({ status }: Pod, wanted: string): boolean {
  return status?.conditions?.some(({ type, status }) => type === wanted && status === "True") ?? false;
}

/** An init container that keeps running beside the others. */
function isSidecar({ restartPolicy }: Container): boolean {
  return restartPolicy === "Always";
}
