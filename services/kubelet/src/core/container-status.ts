/** The status of one container from what the runtime has of it, as upstream's kubelet tells it. Pure. */
import type {
  Container,
  ContainerState,
  ContainerStateTerminated,
  ContainerStatus,
  Pod,
  ResourceRequirements,
  VolumeMountStatus,
} from "@pilothouse/api/types/core-v1";
import {
  ANNOTATION_RECURSIVE,
  instancesOf,
  resourcesMadeWith,
  type PodRuntime,
  type RuntimeContainer,
} from "./pod-runtime.ts";
import { isReady, isStarted, type Verdicts } from "./probes.ts";
import { isSidecar } from "./restart.ts";
import type { Waiting } from "./pod-machine.ts";

export interface ContainerStatusInput {
  readonly pod: Pod;
  readonly runtime: PodRuntime;
  readonly probes: ReadonlyMap<string, Verdicts>;
  readonly waiting: ReadonlyMap<string, Waiting>;
  /** What ended containers wrote to their termination message file, by container id. */
  readonly messages: ReadonlyMap<string, string>;
  /** Requests and limits in force, by container id. */
  readonly inForce: ReadonlyMap<string, ResourceRequirements>;
  /** Nothing of the pod will run again. */
  readonly terminal: boolean;
}

/** `init` ends before the others start, unless it is a sidecar; `ephemeral` is nobody's part of the work. */
export type ContainerSort = "init" | "main" | "ephemeral";

/** `untilCreated` is why a container that was not made yet waits. */
export function containerStatus(
  input: ContainerStatusInput,
  container: Container,
  sort: ContainerSort,
  untilCreated: string,
): ContainerStatus {
  const [last, ...older] = instancesOf(input.runtime, container.name);
  if (!last) return withoutInstance(input, container, sort, untilCreated);
  const why = input.waiting.get(container.name);
  const ended = last.state === "exited";
  const running = last.state === "running";
  const previous = ended && why ? last : older.find((it) => it.state === "exited");
  const verdicts = input.probes.get(last.id);
  const works = sort === "main" || (sort === "init" && isSidecar(container));
  const doneInit = sort === "init" && !works && ended && last.exitCode === 0;
  const state: ContainerState = running
    ? { running: { startedAt: seconds(last.startedAtMs) } }
    : ended && !why
      ? { terminated: terminated(input, last) }
      : { waiting: waitingState(why, untilCreated) };
  return {
    name: container.name,
    image: container.image ?? "",
    state,
    ...(previous ? { lastState: { terminated: terminated(input, previous) } } : {}),
    ready: doneInit || (running && works && isReady(container, verdicts)),
    restartCount: last.attempt,
    imageID: last.imageRef,
    containerID: `containerd://${last.id}`,
    ...(sort === "ephemeral" ? {} : { started: running && isStarted(container, verdicts) }),
    ...userOf(last),
    ...(works ? resourcesOf(input, container, last) : {}),
    ...mountsOf(container, last),
  };
}

/** Not made yet, or gone from the runtime: then the status says what it said. */
function withoutInstance(
  { pod, waiting, terminal }: ContainerStatusInput,
  container: Container,
  sort: ContainerSort,
  untilCreated: string,
): ContainerStatus {
  const { status } = pod;
  const lists = [status?.containerStatuses, status?.initContainerStatuses, status?.ephemeralContainerStatuses];
  const known = lists.flatMap((list) => list ?? []).find((it) => it.name === container.name);
  const lost = known?.state?.running ? { terminated: lostContainer(terminal) } : undefined;
  const state = known?.state?.terminated
    ? known.state
    : lost && terminal
      ? lost
      : { waiting: waitingState(waiting.get(container.name), untilCreated) };
  const lastState = lost && !terminal ? lost : known?.lastState;
  return {
    name: container.name,
    image: container.image ?? "",
    state,
    ...(lastState ? { lastState } : {}),
    ready: false,
    restartCount: known?.restartCount ?? 0,
    imageID: known?.imageID ?? "",
    ...(known?.containerID === undefined ? {} : { containerID: known.containerID }),
    ...(sort === "ephemeral" ? {} : { started: false }),
    ...mountsOf(container),
  };
}

function lostContainer(terminal: boolean): ContainerStateTerminated {
  const when = terminal ? "terminated" : "deleted.  The container used to be Running";
  return {
    reason: "ContainerStatusUnknown",
    message: `The container could not be located when the pod was ${when}`,
    exitCode: 137,
  };
}

function userOf({ user }: RuntimeContainer): Pick<ContainerStatus, "user"> {
  return user ? { user: { linux: { ...user, supplementalGroups: [...user.supplementalGroups] } } } : {};
}

function waitingState(why: Waiting | undefined, untilCreated: string): { reason: string; message?: string } {
  if (!why) return { reason: untilCreated };
  return why.message === "" ? { reason: why.reason } : { reason: why.reason, message: why.message };
}

function terminated(input: ContainerStatusInput, container: RuntimeContainer): ContainerStateTerminated {
  const message = input.messages.get(container.id) ?? container.message;
  const byCode = container.exitCode === 0 ? "Completed" : "Error";
  return {
    exitCode: container.exitCode,
    reason: container.reason === "" || container.reason === "Unknown" ? byCode : container.reason,
    ...(message === "" ? {} : { message }),
    ...(container.startedAtMs > 0 ? { startedAt: seconds(container.startedAtMs) } : {}),
    finishedAt: seconds(container.finishedAtMs),
    containerID: `containerd://${container.id}`,
  };
}

/** While it runs what is in force, else what it was granted. */
function resourcesOf(
  { inForce }: ContainerStatusInput,
  container: Container,
  last: RuntimeContainer,
): Pick<ContainerStatus, "resources" | "allocatedResources"> {
  const granted = container.resources ?? {};
  const actual = last.state === "running" ? (inForce.get(last.id) ?? resourcesMadeWith(last)) : undefined;
  const requests = granted.requests ?? {};
  return {
    ...(Object.keys(requests).length > 0 ? { allocatedResources: requests } : {}),
    resources: actual ?? granted,
  };
}

/** Of a mount that is only read it is told whether a mount within it can be written to. */
function mountsOf({ volumeMounts = [] }: Container, last?: RuntimeContainer): { volumeMounts?: VolumeMountStatus[] } {
  if (volumeMounts.length === 0) return {};
  const recursive = JSON.parse(last?.annotations[ANNOTATION_RECURSIVE] ?? "[]") as readonly string[];
  return {
    volumeMounts: volumeMounts.map(({ name, mountPath, readOnly }) => ({
      name,
      mountPath,
      ...(readOnly ? { readOnly, recursiveReadOnly: recursive.includes(mountPath) ? "Enabled" : "Disabled" } : {}),
    })),
  };
}

/** `2026-01-01T00:00:00Z` */
export function seconds(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`;
}
