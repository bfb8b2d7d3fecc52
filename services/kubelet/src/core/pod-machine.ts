/**
 * What to do next for one pod: a pure function of its spec, of what the runtime has, of its probes and of the time.
 *
 * Promises: no container is started while another instance of it runs or is being made; carried out in any interleaving with
 * the runtime's own events, repeated planning converges. Each plan holds at most one start per container.
 */
import type { Container, Pod, ResourceRequirements } from "@pilothouse/api/types/core-v1";
import { goDuration, nextBackoff, remainingMs, type Backoff } from "./backoff.ts";
import { graceOfProbe, isStarted, unhealthy, type Verdicts } from "./probes.ts";
import { resizeStep, type ResizeStep } from "./resize.ts";
import { isSidecar, runsAgain } from "./restart.ts";
import {
  ANNOTATION_HASH,
  containerHash,
  instancesOf,
  podTitle,
  resourcesMadeWith,
  type PodRuntime,
  type RuntimeContainer,
} from "./pod-runtime.ts";

export interface PodSituation {
  /** With what it was granted, not what it asks for. */
  readonly pod: Pod;
  readonly runtime: PodRuntime;
  /** By container id. */
  readonly probes: ReadonlyMap<string, Verdicts>;
  /** By container name. */
  readonly backoffs: ReadonlyMap<string, Backoff>;
  /** Starts that failed before the container ran, by container name ("" for the sandbox). */
  readonly holds: ReadonlyMap<string, Hold>;
  /** Requests and limits in force, by container id. */
  readonly inForce: ReadonlyMap<string, ResourceRequirements>;
  /** Changes of limits that failed, by container id. */
  readonly resizeHolds: ReadonlyMap<string, Hold>;
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
      /** Containers that must have ended before this one is asked to. */
      readonly after: readonly string[];
    }
  | { readonly kind: "resizeContainer"; readonly containerId: string; readonly container: Container }
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

/** True when no container of the pod runs that must, and none will run again. Sidecars and ephemeral containers do not count. */
export function isOver(pod: Pod, runtime: PodRuntime): boolean {
  const phase = pod.status?.phase;
  if (phase === "Succeeded" || phase === "Failed") return true;
  if (runtime.containers.length === 0) return false;
  const hasEnded = (container: Container): boolean => {
    const [last] = instancesOf(runtime, container.name);
    return last?.state === "exited" && !runsAgain(pod, container, last.exitCode);
  };
  const hasFailed = (container: Container): boolean =>
    !isSidecar(container) && hasEnded(container) && instancesOf(runtime, container.name)[0]?.exitCode !== 0;
  if ((pod.spec.initContainers ?? []).some(hasFailed)) return true;
  return (pod.spec.containers ?? []).every(hasEnded);
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
  const order = endingOrder(situation.pod, new Set(running.map(({ name }) => name)));
  for (const { id, name } of running) {
    const given = situation.stopping.get(id);
    if (given !== undefined && graceSeconds >= given) continue;
    const [why, after] = [`Stopping container ${name}`, order.get(name) ?? []];
    draft.actions.push({ kind: "stopContainer", containerId: id, name, graceSeconds, why, after });
  }
  const ready = situation.runtime.sandboxes.filter((it) => it.state === "ready");
  if (running.length === 0) for (const { id } of ready) draft.actions.push({ kind: "stopSandbox", sandboxId: id });
  draft.finished = running.length === 0 && ready.length === 0;
}

/** Sidecars end after all that they stand beside, the last that started first. */
function endingOrder({ spec }: Pod, running: ReadonlySet<string>): ReadonlyMap<string, readonly string[]> {
  const before = (spec.containers ?? []).map(({ name }) => name).filter((name) => running.has(name));
  const order = new Map<string, readonly string[]>();
  for (const { name } of (spec.initContainers ?? []).filter(isSidecar).toReversed()) {
    order.set(name, [...before]);
    if (running.has(name)) before.push(name);
  }
  return order;
}

function planRun(situation: PodSituation, draft: Draft): void {
  const endsAtMs = deadlineMs(situation.pod);
  if (Number.isFinite(endsAtMs)) draft.wakeAt(endsAtMs);
  const [sandbox] = situation.runtime.sandboxes;
  if (sandbox?.state !== "ready") {
    planSandbox(situation, draft);
    return;
  }
  for (const container of situation.pod.spec.ephemeralContainers ?? [])
    planEphemeral(situation, container, sandbox.id, draft);
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

/** Started once, as soon as there is a sandbox, and never again. */
function planEphemeral(situation: PodSituation, container: Container, sandboxId: string, draft: Draft): void {
  const [last] = instancesOf(situation.runtime, container.name);
  const known = situation.pod.status?.ephemeralContainerStatuses?.find((it) => it.name === container.name);
  if (last === undefined && known?.containerID !== undefined) return;
  if (last === undefined || last.state === "created") planStart(situation, container, sandboxId, last, draft);
}

function planContainer(situation: PodSituation, container: Container, sandboxId: string, draft: Draft): void {
  const [last] = instancesOf(situation.runtime, container.name);
  if (last?.state === "running") planRunning(situation, container, last, draft);
  else if (last?.state !== "exited" || runsAgain(situation.pod, container, last.exitCode))
    planStart(situation, container, sandboxId, last, draft);
}

function planRunning(situation: PodSituation, container: Container, last: RuntimeContainer, draft: Draft): void {
  if (situation.stopping.has(last.id)) return;
  const changed = last.annotations[ANNOTATION_HASH] !== containerHash(container);
  const verdicts = situation.probes.get(last.id);
  const sick = unhealthy(container, verdicts);
  const step = resizeStepOf(situation, container, last);
  const why = changed
    ? `Container ${container.name} definition changed, will be restarted`
    : (sick ?? (step === "restart" ? `Container ${container.name} resize requires restart` : undefined));
  if (why !== undefined) {
    const graceSeconds = (sick === why ? graceOfProbe(container, verdicts) : undefined) ?? graceOf(situation.pod);
    const { name } = container;
    draft.actions.push({ kind: "stopContainer", containerId: last.id, name, graceSeconds, why, after: [] });
  } else if (step === "update") planResize(situation, container, last, draft);
}

/** How far the limits of a running container are from what it was granted. */
export function resizeStepOf(
  { inForce, stopping }: Pick<PodSituation, "inForce" | "stopping">,
  container: Container,
  last: RuntimeContainer,
): ResizeStep {
  const resources = inForce.get(last.id) ?? resourcesMadeWith(last);
  return resources === undefined || stopping.has(last.id) ? "none" : resizeStep(container, resources);
}

function planResize(situation: PodSituation, container: Container, { id }: RuntimeContainer, draft: Draft): void {
  const hold = situation.resizeHolds.get(id);
  if (hold && hold.untilMs > situation.nowMs) draft.wakeAt(hold.untilMs);
  else draft.actions.push({ kind: "resizeContainer", containerId: id, container });
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
