import type { Container, Pod } from "@pilothouse/api/types/core-v1";
import type { SandboxStatus } from "@pilothouse/runtime";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import type { Backoff } from "./backoff.ts";
import { planPod, type Action, type PodSituation } from "./pod-machine.ts";
import { ANNOTATION_HASH, containerHash, type RuntimeContainer } from "./pod-runtime.ts";

const web: Container = { name: "web", image: "web:1" };

test("nothing is there: a sandbox first", () => {
  expect(kinds(plan({}))).toEqual(["createSandbox"]);
});

test("a sandbox is there: the container starts", () => {
  expect(plan({ sandboxes: [sandbox("s", "ready")] })).toMatchObject([{ kind: "startContainer", attempt: 0 }]);
});

test("what runs is left alone", () => {
  expect(plan({ sandboxes: [sandbox("s", "ready")], containers: [instance(0, "running")] })).toEqual([]);
});

test("what was made and never started is removed before another is made", () => {
  const actions = plan({ sandboxes: [sandbox("s", "ready")], containers: [instance(0, "created")] });
  expect(actions).toMatchObject([{ kind: "removeContainer" }, { kind: "startContainer", attempt: 1 }]);
});

test("another image: the old container is stopped, and only then the new one starts", () => {
  const old = { ...instance(0, "running"), annotations: { [ANNOTATION_HASH]: "other" } };
  expect(kinds(plan({ sandboxes: [sandbox("s", "ready")], containers: [old] }))).toEqual(["stopContainer"]);
  const stopping = new Map([[old.id, 30]]);
  expect(plan({ sandboxes: [sandbox("s", "ready")], containers: [old], stopping })).toEqual([]);
});

test("a sandbox that died is replaced, and its containers with it", () => {
  const actions = plan({ sandboxes: [sandbox("s", "notReady")], containers: [instance(0, "exited")] });
  expect(actions).toMatchObject([{ kind: "createSandbox", attempt: 1 }]);
});

test("attempts count on from the status when the runtime has forgotten", () => {
  const status = {
    containerStatuses: [{ name: "web", ready: false, restartCount: 4, image: "", imageID: "", containerID: "x" }],
  };
  expect(plan({ sandboxes: [sandbox("s", "ready")], pod: { ...pod(), status } })).toMatchObject([{ attempt: 5 }]);
});

test("a pod that must end: its containers, then its sandbox", () => {
  const terminating = { graceSeconds: 7 };
  const running = { sandboxes: [sandbox("s", "ready")], containers: [instance(0, "running")] };
  expect(plan({ ...running, terminating })).toMatchObject([{ kind: "stopContainer", graceSeconds: 7 }]);
  const [{ id }] = running.containers as [RuntimeContainer];
  expect(plan({ ...running, terminating, stopping: new Map([[id, 7]]) })).toEqual([]);
  // Somebody lost patience.
  expect(plan({ ...running, terminating: { graceSeconds: 0 }, stopping: new Map([[id, 7]]) })).toMatchObject([
    { kind: "stopContainer", graceSeconds: 0 },
  ]);
  expect(kinds(plan({ ...running, containers: [instance(0, "exited")], terminating }))).toEqual(["stopSandbox"]);
});

test("of what has ended only the newest is kept", () => {
  const containers = [instance(0, "exited"), instance(1, "exited"), instance(2, "exited"), instance(3, "running")];
  const removed = plan({ sandboxes: [sandbox("s", "ready")], containers }).map(
    (it) => "containerId" in it && it.containerId,
  );
  expect(removed).toEqual(["web-0", "web-1"]);
});

/** A world in which actions are carried out (or fail half-way), containers end and events arrive in any order. */
test("in any interleaving a container runs at most once, and a pod whose containers live ends up running", () => {
  const steps = fc.array(fc.constantFrom("plan", "plan", "crash", "killSandbox", "failStart", "wait"), {
    maxLength: 60,
  });
  fc.assert(
    fc.property(steps, (script) => {
      const world = new World();
      for (const step of script) world.step(step);
      for (let i = 0; i < 20; i++) world.step(i % 2 === 0 ? "wait" : "plan");
      expect(world.running()).toBe(1);
      expect(world.plan()).toEqual([]);
    }),
    { numRuns: 500 },
  );
});

test("in any interleaving a pod that must end does", () => {
  const steps = fc.array(fc.constantFrom("plan", "crash", "killSandbox", "failStart", "wait"), { maxLength: 30 });
  fc.assert(
    fc.property(steps, (script) => {
      const world = new World();
      for (const step of script) world.step(step);
      world.terminating = { graceSeconds: 1 };
      for (let i = 0; i < 6; i++) world.step("plan");
      expect(world.running()).toBe(0);
      expect(world.plan()).toEqual([]);
    }),
    { numRuns: 300 },
  );
});

class World {
  terminating: PodSituation["terminating"];
  #nowMs = 1_000_000;
  #sandboxes: SandboxStatus[] = [];
  #containers: RuntimeContainer[] = [];
  #backoffs = new Map<string, Backoff>();
  #made = 0;

  plan(): readonly Action[] {
    return planPod(this.#situation()).actions;
  }

  running(): number {
    return this.#containers.filter((it) => it.state === "running").length;
  }

  step(step: string): void {
    switch (step) {
      case "plan":
        for (const action of this.plan()) this.#carryOut(action, false);
        break;
      case "failStart":
        for (const action of this.plan()) this.#carryOut(action, true);
        break;
      case "crash":
        this.#end((it) => it.state === "running");
        break;
      case "killSandbox":
        this.#sandboxes = this.#sandboxes.map((it) => ({ ...it, state: "notReady" }));
        this.#end(() => true);
        break;
      default:
        this.#nowMs += 400_000;
    }
    if (this.running() > 1) throw new Error("two instances run");
  }

  #carryOut(action: Action, fail: boolean): void {
    switch (action.kind) {
      case "createSandbox":
        this.#sandboxes.unshift(sandbox(`s${this.#made++}`, "ready", action.attempt));
        break;
      case "stopSandbox":
        this.#sandboxes = this.#sandboxes.map((it) => ({ ...it, state: "notReady" }));
        break;
      case "removeSandbox":
        this.#sandboxes = this.#sandboxes.filter((it) => it.id !== action.sandboxId);
        break;
      case "removeContainer":
        this.#containers = this.#containers.filter((it) => it.id !== action.containerId);
        break;
      case "stopContainer":
        this.#end((it) => it.id === action.containerId);
        break;
      case "resizeContainer":
        throw new Error("nobody asked for other limits");
      case "startContainer": {
        if (this.#containers.some((it) => it.attempt === action.attempt)) throw new Error("the name is reserved");
        const made = { ...instance(action.attempt, fail ? "created" : "running"), sandboxId: action.sandboxId };
        this.#containers.push({ ...made, id: `c${this.#made++}` });
        if (!fail && action.backoff) this.#backoffs.set("web", action.backoff);
        break;
      }
    }
  }

  #end(which: (it: RuntimeContainer) => boolean): void {
    this.#containers = this.#containers.map((it) =>
      which(it) && it.state !== "exited" ? { ...it, state: "exited", exitCode: 1, finishedAtMs: this.#nowMs } : it,
    );
  }

  #situation(): PodSituation {
    return situation({
      sandboxes: this.#sandboxes,
      containers: this.#containers,
      terminating: this.terminating,
      backoffs: this.#backoffs,
      nowMs: this.#nowMs,
    });
  }
}

interface Given {
  readonly pod?: Pod;
  readonly sandboxes?: readonly SandboxStatus[];
  readonly containers?: readonly RuntimeContainer[];
  readonly terminating?: PodSituation["terminating"];
  readonly stopping?: ReadonlyMap<string, number>;
  readonly backoffs?: ReadonlyMap<string, Backoff>;
  readonly inForce?: PodSituation["inForce"];
  readonly nowMs?: number;
}

function situation(given: Given): PodSituation {
  return {
    pod: given.pod ?? pod(),
    runtime: { sandboxes: given.sandboxes ?? [], containers: given.containers ?? [] },
    probes: new Map(),
    backoffs: given.backoffs ?? new Map(),
    holds: new Map(),
    inForce: given.inForce ?? new Map(),
    resizeHolds: new Map(),
    stopping: given.stopping ?? new Map(),
    terminating: given.terminating,
    nowMs: given.nowMs ?? 1_000_000,
  };
}

function plan(given: Given): readonly Action[] {
  return planPod(situation(given)).actions;
}

function kinds(actions: readonly Action[]): string[] {
  return actions.map((it) => it.kind);
}

function pod(): Pod {
  return { metadata: { name: "a", namespace: "default", uid: "u" }, spec: { containers: [web] } };
}

function sandbox(id: string, state: "ready" | "notReady", attempt = 0): SandboxStatus {
  const identity = { id, name: "a", namespace: "default", uid: "u", attempt };
  return { ...identity, state, createdAtMs: 1, labels: {}, annotations: {}, ips: ["198.18.0.2"] };
}

function instance(attempt: number, state: RuntimeContainer["state"]): RuntimeContainer {
  return {
    id: `web-${attempt}`,
    sandboxId: "s",
    name: "web",
    attempt,
    image: "web:1",
    imageRef: "sha256:1",
    state,
    createdAtMs: attempt,
    startedAtMs: state === "created" ? 0 : 1_000,
    finishedAtMs: state === "exited" ? 2_000 : 0,
    exitCode: state === "exited" ? 1 : 0,
    reason: "",
    message: "",
    logPath: "",
    labels: {},
    annotations: { [ANNOTATION_HASH]: containerHash(web) },
  };
}
