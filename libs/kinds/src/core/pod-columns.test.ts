import type { ContainerState, ContainerStatus, Pod, PodSpec, PodStatus } from "@pilothouse/api/types/core-v1";
import { describe, expect, test } from "vitest";
import { podColumns } from "./pod-columns.ts";

const NOW_MS = Date.parse("2026-01-01T01:00:00Z");
const RUNNING: ContainerState = { running: { startedAt: "2026-01-01T00:00:00Z" } };
const DONE: ContainerState = { terminated: { exitCode: 0, reason: "Completed" } };

interface Given {
  readonly spec?: Partial<PodSpec>;
  readonly status?: PodStatus;
  readonly deleted?: true;
}

/** Ready, Status, Restarts */
function row({ spec, status = {}, deleted }: Given): string {
  return cells(given(spec, status, deleted))
    .slice(0, 3)
    .join(" | ");
}

function given(spec: Partial<PodSpec> = {}, status: PodStatus = {}, deleted?: true): Pod {
  return {
    metadata: {
      name: "web",
      creationTimestamp: "2026-01-01T00:00:00Z",
      ...(deleted ? { deletionTimestamp: "2026-01-01T01:00:00Z" } : {}),
    },
    spec: { containers: [{ name: "web" }], ...spec },
    status,
  };
}

function cells(pod: Pod): (string | number | boolean)[] {
  return podColumns.map(({ cell }) => cell(pod, NOW_MS));
}

function container(name: string, state: ContainerState, more: Partial<ContainerStatus> = {}): ContainerStatus {
  return { name, state, ready: state.running !== undefined, restartCount: 0, image: "", imageID: "", ...more };
}

const INIT: Partial<PodSpec> = { initContainers: [{ name: "a" }, { name: "b" }] };
const SIDECAR: Partial<PodSpec> = { initContainers: [{ name: "log", restartPolicy: "Always" }] };

describe("READY, STATUS and RESTARTS", () => {
  test.each<[string, Given, string]>([
    ["nothing has happened yet", { status: { phase: "Pending" } }, "0/1 | Pending | 0"],
    [
      "it waits at a gate",
      {
        status: {
          phase: "Pending",
          conditions: [{ type: "PodScheduled", status: "False", reason: "SchedulingGated" }],
        },
      },
      "0/1 | SchedulingGated | 0",
    ],
    [
      "its container is being made",
      {
        status: {
          phase: "Pending",
          containerStatuses: [container("web", { waiting: { reason: "ContainerCreating" } })],
        },
      },
      "0/1 | ContainerCreating | 0",
    ],
    ["it runs", { status: { phase: "Running", containerStatuses: [container("web", RUNNING)] } }, "1/1 | Running | 0"],
    ["it was evicted", { status: { phase: "Failed", reason: "Evicted" } }, "0/1 | Evicted | 0"],
    [
      "it is done",
      { status: { phase: "Succeeded", containerStatuses: [container("web", DONE)] } },
      "0/1 | Completed | 0",
    ],
    [
      "it failed without a reason",
      { status: { phase: "Failed", containerStatuses: [container("web", { terminated: { exitCode: 3 } })] } },
      "0/1 | ExitCode:3 | 0",
    ],
    [
      "it was killed without a reason",
      {
        status: {
          phase: "Failed",
          containerStatuses: [container("web", { terminated: { exitCode: 137, signal: 9 } })],
        },
      },
      "0/1 | Signal:9 | 0",
    ],
    [
      "it crashes again and again",
      {
        status: {
          phase: "Running",
          containerStatuses: [
            container(
              "web",
              { waiting: { reason: "CrashLoopBackOff" } },
              { restartCount: 3, lastState: { terminated: { exitCode: 1, finishedAt: "2026-01-01T00:54:30Z" } } },
            ),
          ],
        },
      },
      "0/1 | CrashLoopBackOff | 3 (5m30s ago)",
    ],
    [
      "one container is done, one still runs, the pod is ready",
      {
        spec: { containers: [{ name: "web" }, { name: "job" }] },
        status: {
          phase: "Running",
          conditions: [{ type: "Ready", status: "True" }],
          containerStatuses: [container("job", DONE), container("web", RUNNING)],
        },
      },
      "1/2 | Running | 0",
    ],
    [
      "one container is done, one still runs, the pod is not ready",
      {
        spec: { containers: [{ name: "web" }, { name: "job" }] },
        status: { phase: "Running", containerStatuses: [container("job", DONE), container("web", RUNNING)] },
      },
      "1/2 | NotReady | 0",
    ],
    [
      "it is going",
      { deleted: true, status: { phase: "Running", containerStatuses: [container("web", RUNNING)] } },
      "1/1 | Terminating | 0",
    ],
    [
      "it is going, and was done before",
      { deleted: true, status: { phase: "Succeeded", containerStatuses: [container("web", DONE)] } },
      "0/1 | Completed | 0",
    ],
    [
      "it is going, and its node is lost",
      { deleted: true, status: { phase: "Running", reason: "NodeLost" } },
      "0/1 | Unknown | 0",
    ],
    [
      "init: none has begun",
      {
        spec: INIT,
        status: {
          phase: "Pending",
          initContainerStatuses: [
            container("a", { waiting: { reason: "PodInitializing" } }),
            container("b", { waiting: { reason: "PodInitializing" } }),
          ],
        },
      },
      "0/1 | Init:0/2 | 0",
    ],
    [
      "init: the second runs",
      {
        spec: INIT,
        status: { phase: "Pending", initContainerStatuses: [container("a", DONE), container("b", RUNNING)] },
      },
      "0/1 | Init:1/2 | 0",
    ],
    [
      "init: the first failed",
      {
        spec: INIT,
        status: {
          phase: "Pending",
          initContainerStatuses: [
            container("a", { terminated: { exitCode: 1, reason: "Error" } }, { restartCount: 2 }),
          ],
        },
      },
      "0/1 | Init:Error | 2",
    ],
    [
      "init: the first backs off",
      {
        spec: INIT,
        status: {
          phase: "Pending",
          initContainerStatuses: [container("a", { waiting: { reason: "CrashLoopBackOff" } })],
        },
      },
      "0/1 | Init:CrashLoopBackOff | 0",
    ],
    [
      "init: killed",
      {
        spec: INIT,
        status: {
          phase: "Pending",
          initContainerStatuses: [container("a", { terminated: { exitCode: 137, signal: 9 } })],
        },
      },
      "0/1 | Init:Signal:9 | 0",
    ],
    [
      "init done: its restarts are forgotten",
      {
        spec: INIT,
        status: {
          phase: "Running",
          conditions: [{ type: "Initialized", status: "True" }],
          initContainerStatuses: [container("a", DONE, { restartCount: 5 }), container("b", DONE)],
          containerStatuses: [container("web", RUNNING, { restartCount: 1 })],
        },
      },
      "1/1 | Running | 1",
    ],
    [
      "a sidecar counts as a container",
      {
        spec: SIDECAR,
        status: {
          phase: "Running",
          conditions: [{ type: "Initialized", status: "True" }],
          initContainerStatuses: [container("log", RUNNING, { started: true, restartCount: 2 })],
          containerStatuses: [container("web", RUNNING)],
        },
      },
      "2/2 | Running | 2",
    ],
    [
      "a sidecar that has not started holds the pod",
      {
        spec: SIDECAR,
        status: {
          phase: "Pending",
          initContainerStatuses: [container("log", { waiting: { reason: "ImagePullBackOff" } }, { started: false })],
        },
      },
      "0/2 | Init:ImagePullBackOff | 0",
    ],
  ])("%s", (_name, input, expected) => {
    expect(row(input)).toBe(expected);
  });
});

test("the whole row, as kubectl get pods -o wide shows it", () => {
  const pod = given(
    { nodeName: "worker-1", readinessGates: [{ conditionType: "a.b/c" }, { conditionType: "d.e/f" }] },
    {
      phase: "Running",
      podIP: "198.18.0.5",
      podIPs: [{ ip: "198.18.0.5" }],
      conditions: [{ type: "a.b/c", status: "True" }],
      containerStatuses: [container("web", RUNNING)],
    },
  );
  expect(podColumns.map(({ name, priority }) => (priority === 1 ? `(${name})` : name))).toEqual([
    "Ready",
    "Status",
    "Restarts",
    "Age",
    "(IP)",
    "(Node)",
    "(Nominated Node)",
    "(Readiness Gates)",
  ]);
  expect(cells(pod)).toEqual(["1/1", "Running", "0", "60m", "198.18.0.5", "worker-1", "<none>", "1/2"]);
  expect(cells(given()).slice(4)).toEqual(["<none>", "<none>", "<none>", "<none>"]);
});
