/** Sidecars, ephemeral containers, restart rules and limits that change: what the planner says of pods that are more than their containers. */
import type { Container, Pod, PodSpec } from "@pilothouse/api/types/core-v1";
import type { SandboxStatus } from "@pilothouse/runtime";
import { describe, expect, test } from "vitest";
import { isOver, planPod, type Action, type PodSituation } from "./pod-machine.ts";
import { ANNOTATION_HASH, ANNOTATION_RESOURCES, containerHash, type RuntimeContainer } from "./pod-runtime.ts";
import { runsAgain } from "./restart.ts";

const web: Container = { name: "web", image: "web:1" };
const mesh: Container = { name: "mesh", image: "mesh:1", restartPolicy: "Always" };
const logs: Container = { name: "logs", image: "logs:1", restartPolicy: "Always" };
const debug: Container = { name: "debug", image: "toolbox:1" };

describe("sidecars", () => {
  const spec = { initContainers: [mesh, logs], containers: [web] };

  test("start in their order, each once the one before has started, and before the others", () => {
    expect(told(spec, [])).toEqual(["start mesh"]);
    expect(told(spec, [running(mesh)])).toEqual(["start logs"]);
    expect(told(spec, [running(mesh), running(logs)])).toEqual(["start web"]);
    const slow = { ...mesh, startupProbe: { exec: { command: ["x"] } } };
    const waiting = { initContainers: [slow, logs], containers: [web] };
    expect(told(waiting, [running(slow)])).toEqual([]);
    const probes = new Map([["mesh-0", { startup: "success" }]] as const);
    expect(told(waiting, [running(slow)], { probes })).toEqual(["start logs"]);
  });

  test("start again when they end, while the others run on", () => {
    expect(told(spec, [ended(mesh, 1), running(logs), running(web)])).toEqual(["start mesh"]);
    const once = { ...spec, restartPolicy: "Never" };
    expect(told(once, [ended(mesh, 0), running(logs), running(web)])).toEqual(["start mesh"]);
  });

  test("end after the others, the last that started first", () => {
    const all = [running(mesh), running(logs), running(web)];
    expect(told(spec, all, { terminating: { graceSeconds: 30 } })).toEqual([
      "stop mesh after web,logs",
      "stop logs after web",
      "stop web",
    ]);
    expect(told(spec, [running(mesh), ended(logs, 0), ended(web, 0)], { terminating: { graceSeconds: 30 } })).toEqual([
      "stop mesh",
    ]);
  });

  test("do not keep a pod alive whose work is done", () => {
    const job = { ...spec, restartPolicy: "OnFailure" };
    expect(told(job, [running(mesh), running(logs), ended(web, 0)])).toEqual(["stop mesh after logs", "stop logs"]);
    expect(told(job, [running(mesh), running(logs), ended(web, 1)])).toEqual(["start web"]);
  });
});

describe("ephemeral containers", () => {
  const spec = { containers: [web], ephemeralContainers: [debug] };

  test("start once, even while the pod's own cannot", () => {
    expect(told(spec, [running(web)])).toEqual(["start debug"]);
    const stuck = { ...spec, initContainers: [{ name: "init", image: "i" }] };
    expect(told(stuck, [running({ name: "init", image: "i" })])).toEqual(["start debug"]);
    expect(told(spec, [running(web), ended(debug, 0)])).toEqual([]);
    expect(told(spec, [running(web), ended(debug, 1)])).toEqual([]);
  });

  test("do not start anew in another sandbox, nor when the runtime has forgotten them", () => {
    const elsewhere = { ...ended(debug, 0), sandboxId: "before" };
    expect(told(spec, [running(web), elsewhere])).toEqual([]);
    const known = {
      name: "debug",
      ready: false,
      restartCount: 0,
      image: "",
      imageID: "",
      containerID: "containerd://x",
    };
    const status = { ephemeralContainerStatuses: [known] };
    expect(told(spec, [running(web)], { pod: { ...podOf(spec), status } })).toEqual([]);
  });

  test("end with the pod, and do not keep it", () => {
    const job = { ...spec, restartPolicy: "Never" };
    expect(told(job, [ended(web, 0), running(debug)])).toEqual(["stop debug"]);
  });
});

describe("limits", () => {
  const sized = (cpu: string, more: Partial<Container> = {}): Container => ({
    ...web,
    resources: { requests: { cpu }, limits: { cpu } },
    ...more,
  });

  test("that changed are changed in place, or by a restart where a container wants that", () => {
    expect(told({ containers: [sized("2")] }, [running(sized("1"))])).toEqual(["resize web"]);
    expect(told({ containers: [sized("1000m")] }, [running(sized("1"))])).toEqual([]);
    const resizePolicy = [{ resourceName: "cpu", restartPolicy: "RestartContainer" }];
    expect(told({ containers: [sized("2", { resizePolicy })] }, [running(sized("1"))])).toEqual(["stop web"]);
    const memoryOnly = [{ resourceName: "memory", restartPolicy: "RestartContainer" }];
    expect(told({ containers: [sized("2", { resizePolicy: memoryOnly })] }, [running(sized("1"))])).toEqual([
      "resize web",
    ]);
  });

  test("in force are those last set, not those the container was made with", () => {
    const inForce = new Map([["web-0", { requests: { cpu: "2" }, limits: { cpu: "2" } }]]);
    expect(told({ containers: [sized("2")] }, [running(sized("1"))], { inForce })).toEqual([]);
  });

  test("that could not be changed are tried again later", () => {
    const resizeHolds = new Map([["web-0", { untilMs: 2_000_000, reason: "Error", message: "no" }]]);
    expect(told({ containers: [sized("2")] }, [running(sized("1"))], { resizeHolds })).toEqual([]);
  });
});

describe("a container's own restart policy", () => {
  const pod = (restartPolicy: string, container: Partial<Container>): [Pod, Container] => {
    const one = { ...web, ...container };
    return [podOf({ containers: [one], restartPolicy }), one];
  };
  const rules = [{ action: "Restart", exitCodes: { operator: "In", values: [42] } }];
  const unless = [{ action: "Restart", exitCodes: { operator: "NotIn", values: [0, 1] } }];
  test.each<[string, Partial<Container>, number, boolean]>([
    ["Never", {}, 1, false],
    ["Always", {}, 0, true],
    ["OnFailure", {}, 0, false],
    ["OnFailure", {}, 1, true],
    ["Always", { restartPolicy: "Never" }, 1, false],
    ["Never", { restartPolicy: "OnFailure" }, 1, true],
    ["Never", { restartPolicy: "Never", restartPolicyRules: rules }, 42, true],
    ["Never", { restartPolicy: "Never", restartPolicyRules: rules }, 41, false],
    ["Never", { restartPolicy: "Never", restartPolicyRules: unless }, 2, true],
    ["Never", { restartPolicy: "Never", restartPolicyRules: unless }, 1, false],
  ])("pod %s, container %j, exit code %d: %s", (policy, container, exitCode, again) => {
    const [object, one] = pod(policy, container);
    expect(runsAgain(object, one, exitCode)).toBe(again);
    expect(isOver(object, { sandboxes: [], containers: [ended(one, exitCode)] })).toBe(!again);
  });

  test("an init container that may not run again ends the pod", () => {
    const init = { name: "init", image: "i" };
    const failed = { sandboxes: [], containers: [ended(init, 1)] };
    const over = (restartPolicy: string): boolean =>
      isOver(podOf({ containers: [web], initContainers: [init], restartPolicy }), failed);
    expect([over("Never"), over("OnFailure"), over("Always")]).toEqual([true, false, false]);
  });
});

type Given = Partial<Pick<PodSituation, "pod" | "probes" | "terminating" | "inForce" | "resizeHolds">>;

/** The plan for such a pod with such containers in a sandbox, in words. */
function told(spec: PodSpec, containers: readonly RuntimeContainer[], given: Given = {}): string[] {
  const identity = { id: "s", name: "a", namespace: "default", uid: "u", attempt: 0, createdAtMs: 1 };
  const sandbox: SandboxStatus = { ...identity, state: "ready", labels: {}, annotations: {}, ips: ["198.18.0.2"] };
  const plan = planPod({
    pod: podOf(spec),
    runtime: { sandboxes: [sandbox], containers },
    probes: new Map(),
    backoffs: new Map(),
    holds: new Map(),
    inForce: new Map(),
    resizeHolds: new Map(),
    stopping: new Map(),
    terminating: undefined,
    nowMs: 1_000_000,
    ...given,
  });
  return plan.actions.map(inWords);
}

function inWords(action: Action): string {
  switch (action.kind) {
    case "startContainer":
      return `start ${action.container.name}`;
    case "stopContainer":
      return `stop ${action.name}${action.after.length > 0 ? ` after ${action.after.join()}` : ""}`;
    case "resizeContainer":
      return `resize ${action.container.name}`;
    default:
      return action.kind;
  }
}

function podOf(spec: PodSpec): Pod {
  return { metadata: { name: "a", namespace: "default", uid: "u" }, spec };
}

function running(container: Container): RuntimeContainer {
  return instance(container, { state: "running", exitCode: 0 });
}

function ended(container: Container, exitCode: number): RuntimeContainer {
  return instance(container, { state: "exited", exitCode, finishedAtMs: 2_000 });
}

function instance(container: Container, fields: Partial<RuntimeContainer>): RuntimeContainer {
  return {
    id: `${container.name}-0`,
    sandboxId: "s",
    name: container.name,
    attempt: 0,
    image: container.image ?? "",
    imageRef: "sha256:1",
    state: "running",
    createdAtMs: 1,
    startedAtMs: 1_000,
    finishedAtMs: 0,
    exitCode: 0,
    reason: "",
    message: "",
    logPath: "",
    labels: {},
    annotations: {
      [ANNOTATION_HASH]: containerHash(container),
      [ANNOTATION_RESOURCES]: JSON.stringify(container.resources ?? {}),
    },
    ...fields,
  };
}
