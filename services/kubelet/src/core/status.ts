/** A pod's status from what the runtime has: phase, conditions and addresses, as upstream's kubelet derives them. Pure. */
import type { Container, ContainerStatus, Pod, PodCondition, PodStatus } from "@pilothouse/api/types/core-v1";
import { containerStatus, seconds, type ContainerStatusInput } from "./container-status.ts";
import { deadlineMs } from "./pod-machine.ts";
import { resizeConditions, type ResizeState } from "./resize.ts";
import { isSidecar, runsAgain } from "./restart.ts";

export interface StatusInput extends ContainerStatusInput {
  readonly resize: ResizeState;
  readonly hostIp: string;
  readonly nowMs: number;
}

export type Phase = "Pending" | "Running" | "Succeeded" | "Failed";

export function podStatus(input: StatusInput): PodStatus {
  const { pod, runtime, hostIp, nowMs } = input;
  const inits = (pod.spec.initContainers ?? []).map((it) => containerStatus(input, it, "init", "PodInitializing"));
  const before = isInitialized(pod, inits) ? "ContainerCreating" : "PodInitializing";
  const mains = (pod.spec.containers ?? []).map((it) => containerStatus(input, it, "main", before));
  const ephemeral = (pod.spec.ephemeralContainers ?? []).map((it) =>
    containerStatus(input, it, "ephemeral", "ContainerCreating"),
  );
  shortenMessages([...inits, ...mains, ...ephemeral]);
  const late = nowMs >= deadlineMs(pod) && !isEnded(pod.status?.phase);
  const reached = late ? "Failed" : phaseOf(pod, inits, mains, input.terminal);
  // Nobody takes a pod's place while something of it runs.
  const alive = [...inits, ...mains, ...ephemeral].some((it) => it.state?.running);
  const held = isEnded(reached) && !isEnded(pod.status?.phase) && alive;
  const phase = held ? ((pod.status?.phase ?? "Running") as Phase) : reached;
  const { reason, message } = late && !held ? DEADLINE_EXCEEDED : (pod.status ?? {});
  const [sandbox] = runtime.sandboxes;
  const ips = pod.spec.hostNetwork ? [hostIp] : sandbox?.state === "ready" ? sandbox.ips : [];
  const known = pod.status?.podIPs ?? [];
  const podIPs = ips.length > 0 ? ips.map((ip) => ({ ip })) : known;
  const qosClass = pod.status?.qosClass;
  return {
    ...(pod.metadata.generation === undefined ? {} : { observedGeneration: pod.metadata.generation }),
    phase,
    conditions: conditionsOf(input, phase, inits, mains, ips.length > 0),
    hostIP: hostIp,
    hostIPs: [{ ip: hostIp }],
    ...(podIPs[0]?.ip === undefined ? {} : { podIP: podIPs[0].ip, podIPs: [...podIPs] }),
    startTime: pod.status?.startTime ?? seconds(nowMs),
    ...(inits.length > 0 ? { initContainerStatuses: inits } : {}),
    containerStatuses: mains,
    ...(ephemeral.length > 0 ? { ephemeralContainerStatuses: ephemeral } : {}),
    ...(qosClass === undefined ? {} : { qosClass }),
    ...(reason === undefined ? {} : { reason }),
    ...(message === undefined ? {} : { message }),
  };
}

/** Of a pod that the node does not take, or that it ended for its own good: nothing of it runs. */
export function failedStatus(pod: Pod, reason: string, message: string, nowMs: number): PodStatus {
  const { status } = pod;
  return {
    ...status,
    ...(pod.metadata.generation === undefined ? {} : { observedGeneration: pod.metadata.generation }),
    phase: "Failed",
    reason,
    message,
    startTime: status?.startTime ?? seconds(nowMs),
  };
}

/** Told beside the rest when the node itself ends a pod, so that controllers do not count it as the pod's own failure. */
export function withDisruption(status: PodStatus, message: string, nowMs: number): PodStatus {
  const condition: PodCondition = {
    type: "DisruptionTarget",
    status: "True",
    reason: "TerminationByKubelet",
    message,
    lastTransitionTime: seconds(nowMs),
  };
  const others = (status.conditions ?? []).filter(({ type }) => type !== condition.type);
  return { ...status, conditions: [...others, condition] };
}

/** What was told of it before stays. */
export function withDisruptionOf({ status: before }: Pod, status: PodStatus): PodStatus {
  const told = (before?.conditions ?? []).filter(({ type }) => type === "DisruptionTarget");
  return { ...status, conditions: [...(status.conditions ?? []), ...told] };
}

export const DEADLINE_EXCEEDED = {
  reason: "DeadlineExceeded",
  message: "Pod was active on the node longer than the specified deadline",
} as const;

/** What all containers of a pod may say together. */
const MAX_MESSAGES_BYTES = 12 * 1024;

function shortenMessages(statuses: readonly ContainerStatus[]): void {
  const most = Math.floor(MAX_MESSAGES_BYTES / Math.max(1, statuses.length));
  for (const { state, lastState } of statuses) {
    for (const ended of [state?.terminated, lastState?.terminated]) {
      const bytes = new TextEncoder().encode(ended?.message ?? "");
      if (ended && bytes.length > most) ended.message = new TextDecoder().decode(bytes.subarray(0, most));
    }
  }
}

function isEnded(phase: string | undefined): phase is "Succeeded" | "Failed" {
  return phase === "Succeeded" || phase === "Failed";
}

function isInitialized(pod: Pod, inits: readonly ContainerStatus[]): boolean {
  return incompleteInits(pod, inits).length === 0;
}

function incompleteInits(pod: Pod, inits: readonly ContainerStatus[]): string[] {
  const done = (container: Container, status: ContainerStatus | undefined): boolean =>
    isSidecar(container) ? status?.started === true : status?.state?.terminated?.exitCode === 0;
  return (pod.spec.initContainers ?? []).filter((it, i) => !done(it, inits[i])).map((it) => it.name);
}

function phaseOf(
  pod: Pod,
  inits: readonly ContainerStatus[],
  mains: readonly ContainerStatus[],
  terminal: boolean,
): Phase {
  const before = pod.status?.phase;
  if (isEnded(before)) return before;
  const endsFor = (containers: readonly Container[] = [], statuses: readonly ContainerStatus[]): boolean[] =>
    containers.map((container, index) => {
      const ended = statuses[index]?.state?.terminated;
      return ended !== undefined && !runsAgain(pod, container, ended.exitCode);
    });
  const initsEnded = endsFor(pod.spec.initContainers, inits);
  const failedInit = inits.some((it, index) => {
    const failed = (it.state?.terminated?.exitCode ?? 0) !== 0;
    const sidecar = pod.spec.initContainers?.[index];
    return failed && !(sidecar && isSidecar(sidecar)) && (initsEnded[index] === true || terminal);
  });
  if (failedInit) return "Failed";
  const running = mains.filter((it) => it.state?.running).length;
  const stopped = mains.filter((it) => it.state?.terminated ?? it.lastState?.terminated).length - runningAgain(mains);
  const succeeded = mains.filter((it) => it.state?.terminated?.exitCode === 0).length;
  if (terminal && running === 0) return stopped > 0 && stopped === succeeded ? "Succeeded" : "Failed";
  if (!hasBegun(pod, inits, mains) || running + stopped < mains.length) return "Pending";
  if (running > 0 || !endsFor(pod.spec.containers, mains).every(Boolean)) return "Running";
  return stopped === succeeded ? "Succeeded" : "Failed";
}

/** Initialized now, or once: a sidecar that starts anew sets nobody back. */
function hasBegun(pod: Pod, inits: readonly ContainerStatus[], mains: readonly ContainerStatus[]): boolean {
  return (
    isInitialized(pod, inits) ||
    mains.some((it) => it.state?.running ?? it.state?.terminated ?? it.lastState?.terminated)
  );
}

/** Containers that run now and ended before, which `lastState` tells. */
function runningAgain(mains: readonly ContainerStatus[]): number {
  return mains.filter((it) => it.state?.running && it.lastState?.terminated).length;
}

type Finding = Pick<PodCondition, "status" | "reason" | "message">;

const TRUE: Finding = { status: "True" };

function conditionsOf(
  input: StatusInput,
  phase: Phase,
  inits: readonly ContainerStatus[],
  mains: readonly ContainerStatus[],
  hasNetwork: boolean,
): PodCondition[] {
  const { pod } = input;
  const containersReady = readyFinding(phase, mains);
  const findings: readonly (readonly [string, Finding])[] = [
    ["PodReadyToStartContainers", hasNetwork && !input.terminal ? TRUE : { status: "False" }],
    ["Initialized", initializedFinding(pod, phase, inits)],
    ["Ready", containersReady.status === "True" ? gatesFinding(pod) : containersReady],
    ["ContainersReady", containersReady],
    ["PodScheduled", TRUE],
  ];
  const always = findings.map(([type, finding]) => ({ type, ...finding }));
  return [...always, ...resizeConditions(input.resize)].map(({ type, ...finding }) => {
    const before = pod.status?.conditions?.find((it) => it.type === type);
    const since = before?.status === finding.status ? before.lastTransitionTime : undefined;
    const generation = pod.metadata.generation;
    return {
      type,
      ...finding,
      ...(generation === undefined ? {} : { observedGeneration: generation }),
      lastTransitionTime: since ?? seconds(input.nowMs),
    };
  });
}

function initializedFinding(pod: Pod, phase: Phase, inits: readonly ContainerStatus[]): Finding {
  if (phase === "Succeeded") return { status: "True", reason: "PodCompleted" };
  const incomplete = incompleteInits(pod, inits);
  if (incomplete.length === 0) return TRUE;
  const message = `containers with incomplete status: [${incomplete.join(" ")}]`;
  return { status: "False", reason: "ContainersNotInitialized", message };
}

function readyFinding(phase: Phase, mains: readonly ContainerStatus[]): Finding {
  if (phase === "Succeeded") return { status: "False", reason: "PodCompleted" };
  if (phase === "Failed") return { status: "False", reason: "PodFailed" };
  const unready = mains.filter((it) => !it.ready).map((it) => it.name);
  if (unready.length === 0) return TRUE;
  const message = `containers with unready status: [${unready.join(" ")}]`;
  return { status: "False", reason: "ContainersNotReady", message };
}

function gatesFinding(pod: Pod): Finding {
  const messages = (pod.spec.readinessGates ?? []).flatMap(({ conditionType }) => {
    const found = pod.status?.conditions?.find((it) => it.type === conditionType);
    if (!found) return [`corresponding condition of pod readiness gate "${conditionType}" does not exist.`];
    return found.status === "True"
      ? []
      : [`the status of pod readiness gate "${conditionType}" is not "True", but ${found.status}`];
  });
  if (messages.length === 0) return TRUE;
  return { status: "False", reason: "ReadinessGatesNotReady", message: messages.join(", ") };
}
