/** A pod's status from what the runtime has: container states, phase and conditions, as upstream's kubelet derives them. Pure. */
import type {
  Container,
  ContainerState,
  ContainerStatus,
  Pod,
  PodCondition,
  PodStatus,
} from "@pilothouse/api/types/core-v1";
import { isReady, isStarted, type Verdicts } from "./probes.ts";
import { instancesOf, isSidecar, type PodRuntime, type RuntimeContainer } from "./pod-runtime.ts";
import { deadlineMs, type Waiting } from "./pod-machine.ts";

export interface StatusInput {
  readonly pod: Pod;
  readonly runtime: PodRuntime;
  readonly probes: ReadonlyMap<string, Verdicts>;
  readonly waiting: ReadonlyMap<string, Waiting>;
  /** What ended containers wrote to their termination message file, by container id. */
  readonly messages: ReadonlyMap<string, string>;
  /** Nothing of the pod will run again. */
  readonly terminal: boolean;
  readonly hostIp: string;
  readonly nowMs: number;
}

export type Phase = "Pending" | "Running" | "Succeeded" | "Failed";

export function podStatus(input: StatusInput): PodStatus {
  const { pod, runtime, hostIp, nowMs } = input;
  const inits = (pod.spec.initContainers ?? []).map((it) => containerStatus(input, it, "PodInitializing"));
  const initialized = isInitialized(pod, inits);
  const before = initialized ? "ContainerCreating" : "PodInitializing";
  const mains = (pod.spec.containers ?? []).map((it) => containerStatus(input, it, before));
  const late = nowMs >= deadlineMs(pod) && !isEnded(pod.status?.phase);
  const phase = late ? "Failed" : phaseOf(pod, inits, mains, input.terminal);
  const { reason, message } = late ? DEADLINE_EXCEEDED : (pod.status ?? {});
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
    ...(qosClass === undefined ? {} : { qosClass }),
    ...(reason === undefined ? {} : { reason }),
    ...(message === undefined ? {} : { message }),
  };
}

const DEADLINE_EXCEEDED: Pick<PodStatus, "reason" | "message"> = {
  reason: "DeadlineExceeded",
  message: "Pod was active on the node longer than the specified deadline",
};

function isEnded(phase: string | undefined): phase is "Succeeded" | "Failed" {
  return phase === "Succeeded" || phase === "Failed";
}

/** `2026-01-01T00:00:00Z` */
export function seconds(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`;
}

function containerStatus(input: StatusInput, container: Container, untilCreated: string): ContainerStatus {
  const { pod, runtime, probes, waiting } = input;
  const [last, ...older] = instancesOf(runtime, container.name);
  const known = [...(pod.status?.containerStatuses ?? []), ...(pod.status?.initContainerStatuses ?? [])].find(
    (it) => it.name === container.name,
  );
  const running = last?.state === "running";
  const verdicts = last && probes.get(last.id);
  const base = { name: container.name, image: container.image ?? "" };
  const why = waiting.get(container.name);
  if (!last) {
    const state = known?.state?.terminated
      ? known.state
      : { waiting: why ? waitingState(why) : { reason: untilCreated } };
    const kept = {
      ready: false,
      restartCount: known?.restartCount ?? 0,
      imageID: known?.imageID ?? "",
      started: false,
    };
    return { ...base, ...kept, state, ...(known?.lastState ? { lastState: known.lastState } : {}) };
  }
  const ended = last.state === "exited";
  const previous = ended && why ? last : older.find((it) => it.state === "exited");
  const sidecarOrMain = isSidecar(container) || !(pod.spec.initContainers ?? []).includes(container);
  const doneInit = !sidecarOrMain && ended && last.exitCode === 0;
  const state: ContainerState = running
    ? { running: { startedAt: seconds(last.startedAtMs) } }
    : ended && !why
      ? terminatedState(input, last)
      : { waiting: why ? waitingState(why) : { reason: untilCreated } };
  return {
    ...base,
    state,
    ...(previous ? { lastState: terminatedState(input, previous) } : {}),
    ready: doneInit || (running && sidecarOrMain && isReady(container, verdicts)),
    restartCount: last.attempt,
    imageID: last.imageRef,
    containerID: `containerd://${last.id}`,
    started: running && isStarted(container, verdicts),
  };
}

function waitingState({ reason, message }: Waiting): { reason: string; message?: string } {
  return message === "" ? { reason } : { reason, message };
}

function terminatedState(input: StatusInput, container: RuntimeContainer): ContainerState {
  const message = input.messages.get(container.id) ?? container.message;
  const byCode = container.exitCode === 0 ? "Completed" : "Error";
  return {
    terminated: {
      exitCode: container.exitCode,
      reason: container.reason === "" || container.reason === "Unknown" ? byCode : container.reason,
      ...(message === "" ? {} : { message }),
      ...(container.startedAtMs > 0 ? { startedAt: seconds(container.startedAtMs) } : {}),
      finishedAt: seconds(container.finishedAtMs),
      containerID: `containerd://${container.id}`,
    },
  };
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
  const policy = pod.spec.restartPolicy ?? "Always";
  const failedInit = inits.some((it) => (it.state?.terminated?.exitCode ?? 0) !== 0);
  if (failedInit && (policy === "Never" || terminal)) return "Failed";
  const running = mains.filter((it) => it.state?.running).length;
  const stopped = mains.filter((it) => it.state?.terminated ?? it.lastState?.terminated).length - runningAgain(mains);
  const succeeded = mains.filter((it) => it.state?.terminated?.exitCode === 0).length;
  if (terminal && running === 0) return stopped > 0 && stopped === succeeded ? "Succeeded" : "Failed";
  if (!isInitialized(pod, inits) || running + stopped < mains.length) return "Pending";
  if (running > 0 || policy === "Always") return "Running";
  if (stopped === succeeded) return "Succeeded";
  return policy === "Never" ? "Failed" : "Running";
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
  return findings.map(([type, finding]) => {
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
