/** What every adapter of the Runtime port must do: run it with a runtime that is ready and has the image. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { RuntimeError, type Runtime, type RuntimeEvent } from "./index.ts";
import { plainContainer, plainSandbox } from "./plain-pod.fixture.ts";

export interface ConformanceSubject {
  readonly runtime: Runtime;
  /** An image whose containers can sleep. */
  readonly image: string;
  readonly logDirectory: string;
  readonly cgroupParent: string;
  /** Polls until it holds. */
  readonly until: (what: string, holds: () => boolean | Promise<boolean>) => Promise<void>;
  stop(): Promise<void>;
}

export function runtimeConformance(name: string, start: () => Promise<ConformanceSubject>): void {
  describe(`Runtime port: ${name}`, () => {
    let subject: ConformanceSubject;
    const events: RuntimeEvent[] = [];
    beforeAll(async () => {
      subject = await start();
      subject.runtime.subscribe((event) => events.push(event));
    });
    afterAll(() => subject.stop());

    test("says what it is and that it is ready", async () => {
      const { runtime } = subject;
      expect((await runtime.version()).apiVersion).toBe("v1");
      const { conditions } = await runtime.status();
      expect(conditions.map((it) => [it.type, it.ok])).toEqual([
        ["RuntimeReady", true],
        ["NetworkReady", true],
      ]);
    });

    test("a sandbox and a container live, end and go, and are found by their labels", async () => {
      const { runtime, image, until } = subject;
      const imageRef = (await runtime.imageStatus(image))?.id ?? (await runtime.pullImage(image));
      const sandboxConfig = plainSandbox("life", subject.logDirectory, subject.cgroupParent);
      const sandboxId = await runtime.runPodSandbox(sandboxConfig);
      const status = await runtime.podSandboxStatus(sandboxId);
      expect(status).toMatchObject({ name: "life", namespace: "default", uid: "uid-life", attempt: 0, state: "ready" });
      expect(status?.ips).toHaveLength(1);

      const config = plainContainer("main", imageRef, "life");
      const id = await runtime.createContainer(sandboxId, config, sandboxConfig);
      expect(await runtime.containerStatus(id)).toMatchObject({ state: "created", name: "main", attempt: 0 });
      await runtime.startContainer(id);
      const running = await runtime.containerStatus(id);
      expect(running).toMatchObject({ state: "running", annotations: { "example.com/a": "b" }, finishedAtMs: 0 });
      expect(running?.startedAtMs).toBeGreaterThan(0);
      await until("the start is told", () => events.some((it) => it.kind === "started" && it.containerId === id));

      const filter = { labels: { pod: "life" } };
      expect((await runtime.listContainers(filter)).map((it) => [it.id, it.sandboxId])).toEqual([[id, sandboxId]]);
      expect((await runtime.listPodSandboxes(filter)).map((it) => it.id)).toEqual([sandboxId]);
      expect(await runtime.listContainers({ labels: { pod: "other" } })).toEqual([]);

      await runtime.stopContainer(id, 0);
      const ended = await runtime.containerStatus(id);
      expect(ended?.state).toBe("exited");
      expect(ended?.finishedAtMs).toBeGreaterThanOrEqual(running?.startedAtMs ?? 0);
      await until("the end is told", () => events.some((it) => it.kind === "exited" && it.containerId === id));

      await runtime.removePodSandbox(sandboxId);
      expect(await runtime.listContainers(filter)).toEqual([]);
      expect(await runtime.listPodSandboxes(filter)).toEqual([]);
    });

    test("whoever hears of an end finds it in the status", async () => {
      const { runtime, image, until } = subject;
      const imageRef = (await runtime.imageStatus(image))?.id ?? (await runtime.pullImage(image));
      const sandboxConfig = plainSandbox("heard", subject.logDirectory, subject.cgroupParent);
      const sandboxId = await runtime.runPodSandbox(sandboxConfig);
      const states: (string | undefined)[] = [];
      const stop = runtime.subscribe((event) => {
        if (event.kind !== "exited" || event.containerId === sandboxId) return;
        void runtime.containerStatus(event.containerId).then((status) => states.push(status?.state));
      });
      for (let attempt = 0; attempt < 5; attempt++) {
        const config = { ...plainContainer("main", imageRef, "heard"), attempt };
        const id = await runtime.createContainer(sandboxId, config, sandboxConfig);
        await runtime.startContainer(id);
        await runtime.stopContainer(id, 0);
      }
      await until("all ends are told", () => states.length === 5);
      expect(states).toEqual(Array.from({ length: 5 }, () => "exited"));
      stop();
      await runtime.removePodSandbox(sandboxId);
    });

    test("a running container gets other limits, and is told of what it uses", async () => {
      const { runtime, image, until } = subject;
      const imageRef = (await runtime.imageStatus(image))?.id ?? (await runtime.pullImage(image));
      const sandboxConfig = plainSandbox("sized", subject.logDirectory, subject.cgroupParent);
      const sandboxId = await runtime.runPodSandbox(sandboxConfig);
      const config = plainContainer("main", imageRef, "sized");
      const id = await runtime.createContainer(sandboxId, config, sandboxConfig);
      const resources = { ...config.resources, cpuPeriodUs: 100_000, cpuQuotaUs: 25_000, memoryLimitBytes: 2 ** 26 };
      await expect(runtime.updateContainerResources("nothing", resources)).rejects.toMatchObject({ code: "NotFound" });
      await runtime.startContainer(id);
      await runtime.updateContainerResources(id, resources);
      const filter = { labels: { pod: "sized" } };
      await until("its use is told", async () => (await runtime.listContainerStats(filter)).some((it) => it.id === id));
      expect(await runtime.listContainerStats({ labels: { pod: "other" } })).toEqual([]);
      expect((await runtime.imageFsInfo()).mountpoint).toMatch(/^\//);
      await runtime.removePodSandbox(sandboxId);
      expect(await runtime.listContainerStats(filter)).toEqual([]);
    });

    test("a second container of the same name and attempt is refused", async () => {
      const { runtime, image } = subject;
      const imageRef = (await runtime.imageStatus(image))?.id ?? (await runtime.pullImage(image));
      const sandboxConfig = plainSandbox("twice", subject.logDirectory, subject.cgroupParent);
      const sandboxId = await runtime.runPodSandbox(sandboxConfig);
      const config = plainContainer("main", imageRef, "twice");
      await runtime.createContainer(sandboxId, config, sandboxConfig);
      await expect(runtime.createContainer(sandboxId, config, sandboxConfig)).rejects.toThrow(/reserved/);
      await runtime.createContainer(sandboxId, { ...config, attempt: 1 }, sandboxConfig);
      await runtime.removePodSandbox(sandboxId);
    });

    test("stopping and removing what is not there is no error; using it is", async () => {
      const { runtime } = subject;
      await runtime.stopContainer("nothing", 0);
      await runtime.removeContainer("nothing");
      await runtime.stopPodSandbox("nothing");
      await runtime.removePodSandbox("nothing");
      expect(await runtime.containerStatus("nothing")).toBeUndefined();
      expect(await runtime.podSandboxStatus("nothing")).toBeUndefined();
      expect(await runtime.imageStatus("pilothouse.local/nothing:v0")).toBeUndefined();
      await expect(runtime.startContainer("nothing")).rejects.toMatchObject({ code: "NotFound" });
      await expect(runtime.startContainer("nothing")).rejects.toBeInstanceOf(RuntimeError);
    });
  });
}
