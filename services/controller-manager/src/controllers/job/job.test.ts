import type { Pod } from "@pilothouse/api/types/core-v1";
import { resources } from "@pilothouse/client";
import { afterEach, describe, expect, it } from "vitest";
import { startGarbageCollector } from "../garbage-collector/reconcile.ts";
import type { StartController } from "../../service.ts";
import { exited, jobOf, jobWorld, merge, type JobWorld } from "./job.fixture.ts";
import { startJobController } from "./reconcile.ts";

const worlds: JobWorld[] = [];
afterEach(async () => {
  for (const world of worlds.splice(0)) {
    expect(world.failures).toEqual([]);
    await world.close();
  }
});

async function started(...more: StartController[]): Promise<JobWorld> {
  const world = await jobWorld(startJobController, ...more);
  worlds.push(world);
  return world;
}

const isTracked = ({ metadata }: Pod): boolean =>
  metadata.finalizers?.includes("batch.kubernetes.io/job-tracking") === true;
const indexOf = ({ metadata }: Pod): string => metadata.annotations?.["batch.kubernetes.io/job-completion-index"] ?? "";
const byIndex = (pods: readonly Pod[], index: number): Pod => pods.find((pod) => indexOf(pod) === String(index)) as Pod;
const indexed = (completions: number, parallelism = completions) =>
  ({ completionMode: "Indexed", completions, parallelism }) as const;

describe("a Job", () => {
  it("makes a pod, counts its success once and is complete", async () => {
    const world = await started();
    await world.createJob();
    await world.pass(200);
    const [pod] = (await world.pods()) as [Pod];
    expect(pod.metadata).toMatchObject({
      name: expect.stringMatching(/^work-[b-z2-9]{5}$/),
      finalizers: ["batch.kubernetes.io/job-tracking"],
      labels: { "batch.kubernetes.io/job-name": "work", "job-name": "work" },
      ownerReferences: [
        { apiVersion: "batch/v1", kind: "Job", name: "work", controller: true, blockOwnerDeletion: true },
      ],
    });
    expect(await world.status()).toMatchObject({ active: 1, ready: 0, terminating: 0, uncountedTerminatedPods: {} });
    await world.run(pod);
    await world.pass(200);
    expect(await world.status()).toMatchObject({ active: 1, ready: 1 });
    await world.succeed(pod);
    await world.pass(500);
    expect(await world.conditions()).toEqual([
      "SuccessCriteriaMet=True: CompletionsReached",
      "Complete=True: CompletionsReached",
    ]);
    const status = await world.status();
    expect(status).toMatchObject({ succeeded: 1, ready: 0, terminating: 0, uncountedTerminatedPods: {} });
    expect(status.active).toBeUndefined();
    expect(status.completionTime).toBeDefined();
    expect((await world.pods()).filter(isTracked)).toEqual([]);
    expect(await world.events()).toEqual(
      expect.arrayContaining([
        `Normal SuccessfulCreate: Created pod: ${pod.metadata.name}`,
        "Normal Completed: Job completed",
      ]),
    );
    const writes = world.writes.length;
    await world.pass(60_000);
    expect(world.writes.length).toBe(writes);
  });

  it("never runs more pods at once than it may, nor more than are needed", async () => {
    const world = await started();
    await world.createJob({ completions: 3, parallelism: 2 });
    await world.pass(200);
    for (const expected of [2, 2, 1]) {
      const active = await world.active();
      expect(active).toHaveLength(expected);
      await world.succeed(active[0] as Pod);
      await world.pass(500);
    }
    expect(await world.active()).toEqual([]);
    expect(await world.status()).toMatchObject({ succeeded: 3 });
    expect(await world.conditions()).toContain("Complete=True: CompletionsReached");
  });

  it("without a number of completions lets the others finish once one has succeeded", async () => {
    const world = await started();
    await world.createJob({ parallelism: 2 });
    await world.pass(200);
    const [first, second] = (await world.active()) as [Pod, Pod];
    await world.succeed(first);
    await world.pass(500);
    expect(await world.active()).toHaveLength(1);
    expect(await world.conditions()).toEqual([]);
    await world.fail(second);
    await world.pass(500);
    expect(await world.conditions()).toContain("Complete=True: CompletionsReached");
    expect(await world.status()).toMatchObject({ succeeded: 1, failed: 1 });
  });

  it("follows its parallelism, also down to none; what it lets go is not counted", async () => {
    const world = await started();
    await world.createJob({ completions: 5, parallelism: 3 });
    await world.pass(200);
    await world.patchJob({ spec: { parallelism: 1 } });
    await world.pass(500);
    expect(await world.active()).toHaveLength(1);
    await world.patchJob({ spec: { parallelism: 0 } });
    await world.pass(500);
    expect(await world.pods()).toEqual([]);
    const { active, failed } = await world.status();
    expect({ active, failed }).toEqual({});
  });

  it("is left alone when somebody else manages it", async () => {
    const world = await started();
    await world.createJob({ managedBy: "acme.io/queue" });
    await world.pass(2_000);
    expect(await world.pods()).toEqual([]);
    expect(await world.status()).toEqual({});
  });

  it("tries again when pods cannot be made, and says why not", async () => {
    const world = await started();
    const { template } = jobOf({}, "").spec;
    await world.createJob({
      template: {
        spec: { ...template.spec, containers: template.spec?.containers ?? [], serviceAccountName: "worker" },
      },
    });
    await world.pass(500);
    expect(await world.events()).toContainEqual(
      expect.stringMatching(/^Warning FailedCreate: Error creating: pods "work-.*serviceaccount "worker" not found$/),
    );
    expect(await world.status()).toMatchObject({ ready: 0, startTime: expect.any(String) });
    await world.client.create(resources.serviceAccounts, { metadata: { name: "worker", namespace: "default" } });
    await world.pass(10_000);
    expect(await world.active()).toHaveLength(1);
  });
});

describe("pods that fail", () => {
  it("are replaced after 10 s, then after 20 s, and the Job fails at its limit", async () => {
    const world = await started();
    await world.createJob({ backoffLimit: 2 });
    await world.pass(200);
    for (const waitMs of [10_000, 20_000]) {
      await world.fail((await world.active())[0] as Pod);
      await world.pass(waitMs - 2_000);
      expect(await world.active()).toEqual([]);
      await world.pass(3_000);
      expect(await world.active()).toHaveLength(1);
    }
    await world.fail((await world.active())[0] as Pod);
    await world.pass(1_000);
    expect(await world.conditions()).toEqual([
      "FailureTarget=True: BackoffLimitExceeded",
      "Failed=True: BackoffLimitExceeded",
    ]);
    expect(await world.status()).toMatchObject({ failed: 3 });
    expect(await world.events()).toContain("Warning BackoffLimitExceeded: Job has reached the specified backoff limit");
  });

  it("are waited for by the next leader as well", async () => {
    const world = await jobWorld();
    worlds.push(world);
    const first = await world.anotherLeader("first");
    startJobController(first.ports);
    await world.createJob();
    await world.pass(300);
    await world.fail((await world.active())[0] as Pod);
    await world.pass(500);
    await first.close();
    startJobController((await world.anotherLeader("second")).ports);
    await world.pass(7_000);
    expect(await world.active()).toEqual([]);
    await world.pass(5_000);
    expect(await world.active()).toHaveLength(1);
  });

  it("take the others down with them: whoever has not ended has failed", async () => {
    const world = await started();
    await world.createJob({ completions: 3, parallelism: 3, backoffLimit: 0 });
    await world.pass(200);
    await world.fail((await world.active())[0] as Pod);
    await world.pass(1_000);
    expect(await world.active()).toEqual([]);
    expect(await world.status()).toMatchObject({ failed: 3 });
    expect(await world.conditions()).toContain("Failed=True: BackoffLimitExceeded");
  });

  it("restart in place and count all the same", async () => {
    const world = await started();
    const containers = [{ name: "work", image: "work:1" }];
    const template = { spec: { automountServiceAccountToken: false, containers, restartPolicy: "OnFailure" } };
    await world.createJob({ backoffLimit: 2, template });
    await world.pass(200);
    const [pod] = (await world.active()) as [Pod];
    const status = {
      phase: "Running",
      containerStatuses: [{ name: "work", ready: true, restartCount: 2, image: "", imageID: "" }],
    };
    await world.client.patch(resources.pods, "default", pod.metadata.name ?? "", merge({ status }), {
      subresource: "status",
    });
    await world.pass(1_000);
    expect(await world.conditions()).toContain("Failed=True: BackoffLimitExceeded");
  });

  it("are replaced when they are asked to go, or only when they have gone", async () => {
    for (const [podReplacementPolicy, replaced] of [
      ["TerminatingOrFailed", 1],
      ["Failed", 0],
    ] as const) {
      const world = await started();
      await world.createJob({ podReplacementPolicy });
      await world.pass(200);
      const [pod] = (await world.active()) as [Pod];
      // A node is what makes a deletion take its time.
      const binding = {
        apiVersion: "v1",
        kind: "Binding",
        metadata: { name: pod.metadata.name },
        target: { kind: "Node", name: "n" },
      };
      await world.client.createSubresource(resources.pods, "default", pod.metadata.name ?? "", "binding", binding);
      await world.run(pod);
      await world.client.delete(resources.pods, "default", pod.metadata.name ?? "");
      await world.pass(12_000);
      expect(await world.active(), podReplacementPolicy).toHaveLength(replaced);
      expect((await world.status()).terminating).toBe(1);
      await world.fail(pod);
      await world.pass(12_000);
      expect(await world.active()).toHaveLength(1);
      expect(await world.status()).toMatchObject({ failed: 1 });
    }
  });
});

describe("an indexed Job", () => {
  it("gives each pod its index, and tells which have succeeded", async () => {
    const world = await started();
    await world.createJob(indexed(4, 2));
    await world.pass(200);
    const [zero, one] = [byIndex(await world.pods(), 0), byIndex(await world.pods(), 1)];
    expect(zero).toMatchObject({
      metadata: {
        name: expect.stringMatching(/^work-0-[b-z2-9]{5}$/),
        labels: { "batch.kubernetes.io/job-completion-index": "0" },
      },
      spec: {
        hostname: "work-0",
        containers: [
          {
            env: [
              {
                name: "JOB_COMPLETION_INDEX",
                valueFrom: { fieldRef: { fieldPath: "metadata.labels['batch.kubernetes.io/job-completion-index']" } },
              },
            ],
          },
        ],
      },
    });
    await world.succeed(one);
    await world.pass(500);
    expect((await world.active()).map(indexOf).sort()).toEqual(["0", "2"]);
    expect(await world.status()).toMatchObject({ completedIndexes: "1", succeeded: 1 });
    for (const index of [0, 2, 3]) {
      await world.succeed(byIndex(await world.active(), index));
      await world.pass(500);
    }
    expect(await world.status()).toMatchObject({ completedIndexes: "0-3", succeeded: 4 });
    expect(await world.conditions()).toContain("Complete=True: CompletionsReached");
  });

  it("tries each index as often as its own limit allows, and fails when all are decided", async () => {
    const world = await started();
    await world.createJob({ ...indexed(2), backoffLimitPerIndex: 1 });
    await world.pass(200);
    await world.fail(byIndex(await world.active(), 1));
    await world.succeed(byIndex(await world.active(), 0));
    await world.pass(500);
    expect(await world.status()).toMatchObject({ completedIndexes: "0", failedIndexes: "" });
    await world.pass(11_000);
    const again = byIndex(await world.active(), 1);
    expect(again.metadata.annotations?.["batch.kubernetes.io/job-index-failure-count"]).toBe("1");
    await world.fail(again);
    await world.pass(1_000);
    expect(await world.status()).toMatchObject({ completedIndexes: "0", failedIndexes: "1", succeeded: 1, failed: 2 });
    expect(await world.conditions()).toEqual(["FailureTarget=True: FailedIndexes", "Failed=True: FailedIndexes"]);
  });

  it("gives up when more indexes have failed than it bears", async () => {
    const world = await started();
    await world.createJob({ ...indexed(4), backoffLimitPerIndex: 0, maxFailedIndexes: 1 });
    await world.pass(200);
    await world.fail(byIndex(await world.active(), 0));
    await world.pass(500);
    expect(await world.conditions()).toEqual([]);
    await world.fail(byIndex(await world.active(), 2));
    await world.pass(1_000);
    expect(await world.status()).toMatchObject({ failedIndexes: "0,2", failed: 4 });
    expect(await world.conditions()).toContain("Failed=True: MaxFailedIndexesExceeded");
    expect(await world.active()).toEqual([]);
  });

  it("grows and shrinks, and forgets what is beyond its end", async () => {
    const world = await started();
    await world.createJob(indexed(3));
    await world.pass(200);
    await world.succeed(byIndex(await world.active(), 2));
    await world.pass(500);
    await world.patchJob({ spec: { completions: 1, parallelism: 1 } });
    await world.pass(500);
    expect((await world.active()).map(indexOf)).toEqual(["0"]);
    expect((await world.status()).completedIndexes).toBeUndefined();
    await world.patchJob({ spec: { completions: 2, parallelism: 2 } });
    await world.pass(500);
    expect((await world.active()).map(indexOf).sort()).toEqual(["0", "1"]);
  });

  it("succeeds as its success policy says, and lets the others go", async () => {
    const world = await started();
    await world.createJob({
      ...indexed(3),
      successPolicy: { rules: [{ succeededIndexes: "1,2", succeededCount: 1 }] },
    });
    await world.pass(200);
    await world.succeed(byIndex(await world.active(), 0));
    await world.pass(500);
    expect(await world.conditions()).toEqual([]);
    await world.succeed(byIndex(await world.active(), 2));
    await world.pass(1_000);
    expect(await world.conditions()).toEqual([
      "SuccessCriteriaMet=True: SuccessPolicy",
      "Complete=True: SuccessPolicy",
    ]);
    const status = await world.status();
    expect(status).toMatchObject({ completedIndexes: "0,2", succeeded: 2 });
    expect(status.failed).toBeUndefined();
    expect(status.conditions?.[0]?.message).toBe("Matched rules at index 0");
    expect(await world.active()).toEqual([]);
  });
});

describe("a failure policy", () => {
  const onExit = (action: string, code: number) => ({ action, onExitCodes: { operator: "In", values: [code] } });

  it("fails the whole Job at once", async () => {
    const world = await started();
    await world.createJob({ podFailurePolicy: { rules: [onExit("FailJob", 42)] } });
    await world.pass(200);
    const [pod] = (await world.active()) as [Pod];
    await world.fail(pod, exited(42));
    await world.pass(1_000);
    expect(await world.conditions()).toEqual(["FailureTarget=True: PodFailurePolicy", "Failed=True: PodFailurePolicy"]);
    expect((await world.status()).conditions?.[1]?.message).toBe(
      `Container work for pod default/${pod.metadata.name} failed with exit code 42 matching FailJob rule at index 0`,
    );
  });

  it("does not count what was not the pod's fault", async () => {
    const world = await started();
    const rule = { action: "Ignore", onPodConditions: [{ type: "DisruptionTarget", status: "True" }] };
    await world.createJob({ backoffLimit: 0, podFailurePolicy: { rules: [rule] } });
    await world.pass(200);
    await world.fail((await world.active())[0] as Pod, { conditions: [{ type: "DisruptionTarget", status: "True" }] });
    await world.pass(15_000);
    expect(await world.active()).toHaveLength(1);
    expect((await world.status()).failed).toBeUndefined();
    expect(await world.conditions()).toEqual([]);
  });

  it("fails an index without another try", async () => {
    const world = await started();
    await world.createJob({
      ...indexed(2),
      backoffLimitPerIndex: 3,
      podFailurePolicy: { rules: [onExit("FailIndex", 42)] },
    });
    await world.pass(200);
    await world.fail(byIndex(await world.active(), 0), exited(42));
    await world.pass(20_000);
    expect((await world.active()).map(indexOf)).toEqual(["1"]);
    expect(await world.status()).toMatchObject({ failedIndexes: "0", failed: 1 });
  });
});

describe("time", () => {
  it("runs out: an active deadline ends the Job", async () => {
    const world = await started();
    await world.createJob({ activeDeadlineSeconds: 5, parallelism: 2, completions: 2 });
    await world.pass(3_000);
    expect(await world.active()).toHaveLength(2);
    await world.pass(3_000);
    expect(await world.conditions()).toEqual(["FailureTarget=True: DeadlineExceeded", "Failed=True: DeadlineExceeded"]);
    expect(await world.active()).toEqual([]);
  });

  it("stands still while the Job is suspended, and begins anew when it is resumed", async () => {
    const world = await started();
    await world.createJob({ suspend: true, activeDeadlineSeconds: 5 });
    await world.pass(500);
    expect(await world.conditions()).toEqual(["Suspended=True: JobSuspended"]);
    expect((await world.status()).startTime).toBeUndefined();
    await world.patchJob({ spec: { suspend: false } });
    await world.pass(500);
    expect(await world.active()).toHaveLength(1);
    expect(await world.conditions()).toEqual(["Suspended=False: JobResumed"]);
    expect((await world.status()).startTime).toBeDefined();
    await world.patchJob({ spec: { suspend: true } });
    await world.pass(10_000);
    expect(await world.pods()).toEqual([]);
    expect((await world.status()).failed).toBeUndefined();
    expect((await world.status()).startTime).toBeUndefined();
    await world.patchJob({ spec: { suspend: false } });
    await world.pass(3_000);
    expect(await world.active()).toHaveLength(1);
    expect(await world.events()).toEqual(
      expect.arrayContaining(["Normal Suspended: Job suspended", "Normal Resumed: Job resumed"]),
    );
  });
});

describe("whose pods", () => {
  it("are its own: an orphan that fits is adopted, one that fits no more is let go and replaced", async () => {
    const world = await started();
    await world.createJob({ completions: 4, parallelism: 2 });
    await world.pass(300);
    const [orphan, stranger] = (await world.active()) as [Pod, Pod];
    const change = (pod: Pod, metadata: object) =>
      world.client.patch(resources.pods, "default", pod.metadata.name ?? "", merge({ metadata }));
    await change(orphan, { ownerReferences: null });
    await world.pass(1_000);
    const adopted = await world.client.get(resources.pods, "default", orphan.metadata.name ?? "");
    expect(adopted.metadata.ownerReferences).toMatchObject([{ kind: "Job", name: "work", controller: true }]);
    expect(isTracked(adopted)).toBe(true);
    const labels = Object.fromEntries(Object.keys(stranger.metadata.labels ?? {}).map((key) => [key, null]));
    await change(stranger, { labels });
    await world.pass(1_000);
    const released = await world.client.get(resources.pods, "default", stranger.metadata.name ?? "");
    expect(released.metadata.ownerReferences).toBeUndefined();
    expect(isTracked(released)).toBe(false);
    expect(await world.active()).toHaveLength(3);
  });

  it.each(["Background", "Foreground", "Orphan"] as const)(
    "go or stay as a %s deletion says",
    async (propagationPolicy) => {
      const world = await started(startGarbageCollector);
      await world.createJob({ completions: 2, parallelism: 2 });
      await world.pass(500);
      await world.client.delete(resources.jobs, "default", "work", { propagationPolicy });
      await world.pass(5_000);
      expect(await world.find(resources.jobs, "default", "work")).toBeUndefined();
      const left = await world.pods();
      expect(left).toHaveLength(propagationPolicy === "Orphan" ? 2 : 0);
      expect(left.filter(isTracked)).toEqual([]);
    },
  );
});
