/**
 * What to do next for one pod: a pure function of its spec, of what the runtime has, of its probes and of the time.
 *
 * Promises: no container is started while another instance of it runs or is being made; carried out in any interleaving with
 * the runtime's own events, repeated planning converges. Each plan holds at most one start per container.
 */
import type { Container, Pod } from "@pilothouse/api/types/core-v1";
import { goDuration, nextBackoff, remainingMs, type Backoff } from "./backoff.ts";
import { isStarted, unhealthy, type Verdicts } from "./probes.ts";
import {
  ANNOTATION_HASH,
  containerHash,
  instancesOf,
  isSidecar,
  podTitle,
  type PodRuntime,
  type RuntimeContainer,
} from "./pod-runtime.ts";

export interface PodSituation {
  readonly pod: Pod;
  readonly runtime: PodRuntime;
  /** By container id. */
  readonly probes: ReadonlyMap<string, Verdicts>;
  /** By container name. */
  readonly backoffs: ReadonlyMap<string, Backoff>;
  /** Starts that failed before the container ran, by container name ("" for the sandbox). */
  readonly holds: ReadonlyMap<string, Hold>;
  /** Container ids whose end is under way, with the grace they were given. */
  readonly stopping: ReadonlyMap<string, number>;
  /** Set when all of the pod must end. */
  readonly terminating: { readonly graceSeconds: number } | undefined;
  readonly nowMs: number;
}

/** A start that failed and is tried again at `untilMs`. */
export interface Hold {
  readonly untilMs: number;
  readonly reason: string;
  readonly message: string;
}

export type Action =
  | { readonly kind: "createSandbox"; readonly attempt: number }
  | { readonly kind: "stopSandbox"; readonly sandboxId: string }
  | { readonly kind: "removeSandbox"; readonly sandboxId: string }
  | {
      readonly kind: "startContainer";
      readonly container: Container;
      readonly sandboxId: string;
      readonly attempt: number;
      /** To be remembered when the start is made. */
      readonly backoff: Backoff | undefined;
    }
  | {
      readonly kind: "stopContainer";
      readonly containerId: string;
      readonly name: string;
      readonly graceSeconds: number;
      readonly why: string;
    }
  | { readonly kind: "removeContainer"; readonly containerId: string };

export interface Plan {
  readonly actions: readonly Action[];
  /** When to plan again although nothing happens. */
  readonly wakeAtMs: number | undefined;
  /** Why containers wait, by name. */
  readonly waiting: ReadonlyMap<string, Waiting>;
  /** Nothing of the pod runs, and nothing will. */
  readonly finished: boolean;
}

export interface Waiting {
  readonly reason: string;
  readonly message: string;
}

export const DEFAULT_GRACE_SECONDS = 30;

export function planPod(situation: PodSituation): Plan {
  const draft = new Draft();
  if (situation.terminating) planEnd(situation, situation.terminating.graceSeconds, draft);
  else if (isOver(situation.pod, situation.runtime) || situation.nowMs >= deadlineMs(situation.pod))
    planEnd(situation, graceOf(situation.pod), draft);
  else planRun(situation, draft);
  if (!draft.finished) planGarbage(situation, draft);
  return draft;
}

/** True when the restart policy lets no container of the pod run again and none runs. */
export function isOver(pod: Pod, runtime: PodRuntime): boolean {
  const phase = pod.status?.phase;
  if (phase === "Succeeded" || phase === "Failed") return true;
  const policy = pod.spec.restartPolicy ?? "Always";
  if (policy === "Always" || runtime.containers.length === 0) return false;
  const latest = (container: Container): RuntimeContainer | undefined => instancesOf(runtime, container.name)[0];
  const failedInit = (pod.spec.initContainers ?? []).some((container) => {
    const last = latest(container);
    return policy === "Never" && !isSidecar(container) && last?.state === "exited" && last.exitCode !== 0;
  });
  if (failedInit) return true;
  return (pod.spec.containers ?? []).every((container) => {
    const last = latest(container);
    return last?.state === "exited" && (policy === "Never" || last.exitCode === 0);
  });
}

/** When the pod has been active for as long as it may be; Infinity without such a limit. */
export function deadlineMs({ spec, status }: Pod): number {
  if (spec.activeDeadlineSeconds === undefined || status?.startTime === undefined) return Number.POSITIVE_INFINITY;
  return Date.parse(status.startTime) + spec.activeDeadlineSeconds * 1000;
}

class Draft implements Plan {
  readonly actions: Action[] = [];
  readonly waiting = new Map<string, Waiting>();
  wakeAtMs: number | undefined;
  finished = false;

  wakeAt(atMs: number): void {
    this.wakeAtMs = Math.min(this.wakeAtMs ?? atMs, atMs);
  }
}

function planEnd(situation: PodSituation, graceSeconds: number, draft: Draft): void {
  const running = situation.runtime.containers.filter((it) => it.state === "running");
  for (const { id, name } of running) {
    const given = situation.stopping.get(id);
    if (given === undefined || graceSeconds < given)
      draft.actions.push({
        kind: "stopContainer",
        containerId: id,
        name,
        graceSeconds,
        why: `Stopping container ${name}`,
      });
  }
  const ready = situation.runtime.sandboxes.filter((it) => it.state === "ready");
  if (running.length === 0) for (const { id } of ready) draft.actions.push({ kind: "stopSandbox", sandboxId: id });
  draft.finished = running.length === 0 && ready.length === 0;
}

function planRun(situation: PodSituation, draft: Draft): void {
  const endsAtMs = deadlineMs(situation.pod);
  if (Number.isFinite(endsAtMs)) draft.wakeAt(endsAtMs);
  const [sandbox] = situation.runtime.sandboxes;
  if (sandbox?.state !== "ready") {
    planSandbox(situation, draft);
    return;
  }
  if (!planInit(situation, sandbox.id, draft)) return;
  for (const container of situation.pod.spec.containers ?? []) planContainer(situation, container, sandbox.id, draft);
}

function planSandbox(situation: PodSituation, draft: Draft): void {
  const attempts = situation.runtime.sandboxes.map((it) => it.attempt);
  const hold = situation.holds.get("");
  if (hold && hold.untilMs > situation.nowMs) draft.wakeAt(hold.untilMs);
  else draft.actions.push({ kind: "createSandbox", attempt: Math.max(-1, ...attempts) + 1 });
}

/** Init containers run one after the other; true once the others may start. */
function planInit(situation: PodSituation, sandboxId: string, draft: Draft): boolean {
  const { pod, runtime, probes } = situation;
  const here = (container: Container): readonly RuntimeContainer[] =>
    instancesOf(runtime, container.name).filter((it) => it.sandboxId === sandboxId);
  // Once a main container was made here all of them have run, even if their remains are gone.
  const passed = (pod.spec.containers ?? []).some((container) => here(container).length > 0);
  for (const container of pod.spec.initContainers ?? []) {
    const [last] = here(container);
    if (isSidecar(container)) {
      planContainer(situation, container, sandboxId, draft);
      const up = last?.state === "running" && isStarted(container, probes.get(last.id));
      if (!up && !passed) return false;
    } else if (!passed && !(last?.state === "exited" && last.exitCode === 0)) {
      if (last?.state !== "running") planStart(situation, container, sandboxId, last, draft);
      return false;
    }
  }
  return true;
}

function planContainer(situation: PodSituation, container: Container, sandboxId: string, draft: Draft): void {
  const [last] = instancesOf(situation.runtime, container.name);
  if (last?.state === "running") planRunning(situation, container, last, draft);
  else if (mayStart(situation.pod, container, last)) planStart(situation, container, sandboxId, last, draft);
}

function planRunning(situation: PodSituation, container: Container, last: RuntimeContainer, draft: Draft): void {
  if (situation.stopping.has(last.id)) return;
  const changed = last.annotations[ANNOTATION_HASH] !== containerHash(container);
  const sick = unhealthy(container, situation.probes.get(last.id));
  const why = changed ? `Container ${container.name} definition changed, will be restarted` : sick;
  if (why === undefined) return;
  const probe = container.livenessProbe?.terminationGracePeriodSeconds;
  const graceSeconds = (sick === undefined ? undefined : probe) ?? graceOf(situation.pod);
  draft.actions.push({ kind: "stopContainer", containerId: last.id, name: container.name, graceSeconds, why });
}

function mayStart(pod: Pod, container: Container, last: RuntimeContainer | undefined): boolean {
  if (last?.state !== "exited" || isSidecar(container)) return true;
  switch (pod.spec.restartPolicy ?? "Always") {
    case "Never":
      return false;
    case "OnFailure":
      return last.exitCode !== 0;
    default:
      return true;
  }
}

function planStart(
  situation: PodSituation,
  container: Container,
  sandboxId: string,
  last: RuntimeContainer | undefined,
  draft: Draft,
): void {
  const { name } = container;
  const { nowMs } = situation;
  // Made and never started (the kubelet ended in between), or of unknown state: it must be gone first.
  if (last && last.state !== "exited") draft.actions.push({ kind: "removeContainer", containerId: last.id });
  const hold = situation.holds.get(name);
  if (hold && hold.untilMs > nowMs) {
    draft.waiting.set(name, hold);
    draft.wakeAt(hold.untilMs);
    return;
  }
  const backoff = situation.backoffs.get(name);
  const restart = last?.state === "exited";
  const waitMs = restart ? remainingMs(backoff, last.finishedAtMs, nowMs) : 0;
  if (waitMs > 0) {
    draft.wakeAt(nowMs + waitMs);
    const delay = goDuration(backoff?.delayMs ?? 0);
    const message = `back-off ${delay} restarting failed container=${name} pod=${podTitle(situation.pod)}`;
    draft.waiting.set(name, { reason: "CrashLoopBackOff", message });
    return;
  }
  draft.actions.push({
    kind: "startContainer",
    container,
    sandboxId,
    attempt: nextAttempt(situation, name, last),
    backoff: restart ? nextBackoff(backoff, last.finishedAtMs, nowMs) : backoff,
  });
}

/** Counts on from what the status says, should the runtime have forgotten. */
function nextAttempt(situation: PodSituation, name: string, last: RuntimeContainer | undefined): number {
  const { status } = situation.pod;
  const known = [...(status?.containerStatuses ?? []), ...(status?.initContainerStatuses ?? [])].find(
    (it) => it.name === name && it.containerID !== undefined,
  );
  return Math.max(last?.attempt ?? -1, known?.restartCount ?? -1) + 1;
}

/** Of each container the newest instance is kept, and the newest that has ended; of sandboxes the newest, and those in use. */
function planGarbage({ runtime }: PodSituation, draft: Draft): void {
  const kept = new Set<string>();
  for (const name of new Set(runtime.containers.map((it) => it.name))) {
    const [newest, ...older] = instancesOf(runtime, name);
    const ended = older.find((it) => it.state === "exited");
    for (const it of [newest, ended]) if (it) kept.add(it.id);
  }
  for (const { id, state } of runtime.containers)
    if (!kept.has(id) && state === "exited") draft.actions.push({ kind: "removeContainer", containerId: id });
  const inUse = new Set(runtime.containers.map((it) => it.sandboxId));
  for (const { id, state } of runtime.sandboxes.slice(1))
    if (state === "notReady" && !inUse.has(id)) draft.actions.push({ kind: "removeSandbox", sandboxId: id });
}

export function graceOf(pod: Pod): number {
  return pod.metadata.deletionGracePeriodSeconds ?? pod.spec.terminationGracePeriodSeconds ?? DEFAULT_GRACE_SECONDS;
}
