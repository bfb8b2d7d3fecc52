/** Jobs and CronJobs: what counts as done, what as failed, and when what is made. */
import assert from "node:assert/strict";
import { TOOLBOX_IMAGE } from "../../../../deploy/images.ts";
import type { Behaviours } from "../../behaviour.ts";
import { exercise } from "../exercise.ts";
import type { Loose, Trial } from "../../trial.ts";

const job = (rest: string): string => `[sig-apps] Job ${rest} [Conformance]`;
const cron = (rest: string): string => `[sig-apps] CronJob ${rest} [Conformance]`;

/** Reads its own number as every pod of an indexed job may. */
const INDEX = "$JOB_COMPLETION_INDEX";

function jobOf(name: string, script: string, spec: object = {}, pod: object = {}): Loose {
  const containers = [{ name: "c", image: TOOLBOX_IMAGE, command: ["sh", "-c", script] }];
  const template = { spec: { restartPolicy: "Never", terminationGracePeriodSeconds: 1, containers, ...pod } };
  return { apiVersion: "batch/v1", kind: "Job", metadata: { name }, spec: { backoffLimit: 6, ...spec, template } };
}

async function ends(t: Trial, name: string, as: "Complete" | "Failed"): Promise<Loose> {
  return t.until(`job ${name} is ${as}`, async () => {
    const found = await t.api("batch/v1", "jobs").get(name);
    const conditions = (found["status"]?.conditions ?? []) as { type: string; status: string }[];
    const ended = conditions.find(({ type, status }) => ["Complete", "Failed"].includes(type) && status === "True");
    if (ended) assert.equal(ended.type, as, JSON.stringify(found["status"]));
    return ended !== undefined && found;
  });
}

async function podsOf(t: Trial, name: string): Promise<readonly Loose[]> {
  return (await t.api("v1", "pods").list({ labelSelector: `batch.kubernetes.io/job-name=${name}` })).items;
}

async function active(t: Trial, name: string, count: number): Promise<readonly Loose[]> {
  return t.until(`job ${name} has ${count} running pods`, async () => {
    const running = (await podsOf(t, name)).filter(({ status }) => status.phase === "Running");
    return running.length === count && running;
  });
}

async function succeedsEarly(t: Trial, successPolicy: object, script: string, completions: number): Promise<void> {
  const spec = { completions, parallelism: completions, completionMode: "Indexed", successPolicy };
  await t.api("batch/v1", "jobs").create(jobOf("early", script, spec));
  const { status } = await ends(t, "early", "Complete");
  const met = (status.conditions as { type: string; reason: string }[]).find(
    ({ type }) => type === "SuccessCriteriaMet",
  );
  assert.equal(met?.reason, "SuccessPolicy");
}

const indexed = (completions: number, spec: object = {}): object => ({
  completions,
  parallelism: completions,
  completionMode: "Indexed",
  ...spec,
});
const FOREVER = "trap 'exit 0' TERM; while :; do sleep 1; done";

function cronJobOf(name: string, concurrencyPolicy: string, script: string, spec: object = {}): Loose {
  const { spec: jobSpec } = jobOf(name, script);
  return {
    metadata: { name },
    spec: { schedule: "*/1 * * * *", concurrencyPolicy, jobTemplate: { spec: jobSpec as object }, ...spec },
  };
}

async function activeOf(t: Trial, name: string): Promise<readonly { name: string }[]> {
  return ((await t.api("batch/v1", "cronjobs").get(name))["status"]?.active ?? []) as { name: string }[];
}

/** Two minutes and a half: a schedule of every minute is due twice. */
const TWO_RUNS_MS = 160_000;

export const jobs: Behaviours = {
  [job("should run a job to completion when tasks sometimes fail and are locally restarted")]: async (t) => {
    const volumes = [{ name: "data", emptyDir: {} }];
    const made = jobOf("restarted", "[ -f /data/once ] && exit 0; touch /data/once; exit 1", {
      completions: 4,
      parallelism: 2,
    });
    const [container] = made["spec"].template.spec.containers as [Loose];
    container["volumeMounts"] = [{ name: "data", mountPath: "/data" }];
    Object.assign(made["spec"].template.spec as object, { restartPolicy: "OnFailure", volumes });
    await t.api("batch/v1", "jobs").create(made);
    assert.equal((await ends(t, "restarted", "Complete"))["status"].succeeded, 4);
  },
  [job("should create pods for an Indexed job with completion indexes and specified hostname")]: async (t) => {
    await t.api("batch/v1", "jobs").create(jobOf("indexed", `echo ${INDEX}; hostname`, indexed(4)));
    assert.equal((await ends(t, "indexed", "Complete"))["status"].completedIndexes, "0-3");
    for (const pod of await podsOf(t, "indexed")) {
      const index = pod.metadata.annotations?.["batch.kubernetes.io/job-completion-index"] ?? "";
      assert.equal(pod.metadata.labels?.["batch.kubernetes.io/job-completion-index"], index);
      assert.equal(pod["spec"].hostname, `indexed-${index}`);
      assert.equal(await t.kubectl("logs", pod.metadata.name ?? ""), `${index}\nindexed-${index}\n`);
    }
  },
  [job("should delete a job")]: async (t) => {
    const all = t.api("batch/v1", "jobs");
    await all.create(jobOf("deleted", FOREVER, { parallelism: 2, completions: 4 }));
    await active(t, "deleted", 2);
    await all.delete("deleted", { propagationPolicy: "Foreground" });
    await t.until("it is gone with its pods", async () => {
      return (await all.list()).items.length === 0 && (await podsOf(t, "deleted")).length === 0;
    });
  },
  [job("should adopt matching orphans and release non-matching pods")]: async (t) => {
    const pods = t.api("v1", "pods");
    await t.api("batch/v1", "jobs").create(jobOf("family", FOREVER, { parallelism: 2, completions: 2 }));
    const [orphan] = await active(t, "family", 2);
    const name = orphan?.metadata.name ?? "";
    const owners = async (): Promise<number> => ((await pods.get(name)).metadata.ownerReferences ?? []).length;
    await pods.patch(name, { metadata: { ownerReferences: null } });
    await t.until("it is adopted again", async () => (await owners()) === 1);
    const labels = Object.fromEntries(Object.keys(orphan?.metadata.labels ?? {}).map((key) => [key, null]));
    await pods.patch(name, { metadata: { labels } });
    await t.until("it is released", async () => (await owners()) === 0);
  },
  [job("should apply changes to a job status")]: async (t) => {
    const all = t.api("batch/v1", "jobs");
    await all.create(jobOf("status", FOREVER, { parallelism: 2, completions: 4 }));
    await active(t, "status", 2);
    const patch = {
      metadata: { annotations: { patchedstatus: "true" } },
      status: { startTime: "2026-01-01T00:00:00Z" },
    };
    const refused = await all.patch("status", { metadata: patch.metadata }, { subresource: "status" });
    assert.equal(refused.metadata.annotations?.["patchedstatus"], "true");
    const condition = { type: "CustomConditionType", status: "True" };
    await t.until("the status is put", async () => {
      const now = await all.get("status", "status");
      const conditions = [...((now["status"].conditions as object[] | undefined) ?? []), condition];
      return all.update({ ...now, status: { ...now["status"], conditions } }, "status").catch(() => undefined);
    });
    const shown = (await all.get("status", "status"))["status"].conditions as { type: string }[];
    assert.ok(shown.some(({ type }) => type === "CustomConditionType"));
  },
  [job("should manage the lifecycle of a job")]: async (t) => {
    await exercise(t, {
      groupVersion: "batch/v1",
      plural: "jobs",
      make: () => ({ spec: { ...(jobOf("", "true", { suspend: true })["spec"] as object) } }),
      change: (changed) => (changed["spec"].suspend = true),
    });
  },

  [job("should execute all indexes despite some failing when using backoffLimitPerIndex")]: async (t) => {
    const spec = indexed(4, { backoffLimitPerIndex: 1, backoffLimit: undefined });
    await t.api("batch/v1", "jobs").create(jobOf("odd", `exit $((${INDEX} % 2))`, spec));
    const { status } = await ends(t, "odd", "Failed");
    assert.deepEqual([status.completedIndexes, status.failedIndexes, status.failed], ["0,2", "1,3", 4]);
  },
  [job("should terminate job execution when the number of failed indexes exceeds maxFailedIndexes")]: async (t) => {
    const spec = indexed(10, { parallelism: 2, backoffLimitPerIndex: 1, maxFailedIndexes: 2, backoffLimit: undefined });
    await t.api("batch/v1", "jobs").create(jobOf("hopeless", "exit 1", spec));
    const { status } = await ends(t, "hopeless", "Failed");
    const failed = (status.conditions as { type: string; reason: string }[]).find(({ type }) => type === "Failed");
    assert.equal(failed?.reason, "MaxFailedIndexesExceeded");
  },
  [job("should mark indexes as failed when the FailIndex action is matched in podFailurePolicy")]: async (t) => {
    const podFailurePolicy = { rules: [{ action: "FailIndex", onExitCodes: { operator: "In", values: [42] } }] };
    const spec = indexed(2, { backoffLimitPerIndex: 1, podFailurePolicy, backoffLimit: undefined });
    await t.api("batch/v1", "jobs").create(jobOf("marked", `[ ${INDEX} = 0 ] && exit 42; exit 0`, spec));
    const { status } = await ends(t, "marked", "Failed");
    assert.deepEqual([status.completedIndexes, status.failedIndexes, status.failed], ["1", "0", 1]);
  },
  [job("should allow to use the pod failure policy on exit code to fail the job early")]: async (t) => {
    const rule = { action: "FailJob", onExitCodes: { containerName: "c", operator: "In", values: [1] } };
    const spec = { parallelism: 2, completions: 2, backoffLimit: 1, podFailurePolicy: { rules: [rule] } };
    await t.api("batch/v1", "jobs").create(jobOf("strict", "exit 1", spec));
    const { status } = await ends(t, "strict", "Failed");
    const failed = (status.conditions as { type: string; reason: string }[]).find(({ type }) => type === "Failed");
    assert.equal(failed?.reason, "PodFailurePolicy");
  },
  [job("should allow to use a pod failure policy to ignore failure matching on DisruptionTarget condition")]: async (
    t,
  ) => {
    const folder = `/tmp/conformance-${t.namespace}`;
    const rule = { action: "Ignore", onPodConditions: [{ type: "DisruptionTarget", status: "True" }] };
    const spec = indexed(2, { backoffLimit: 0, podFailurePolicy: { rules: [rule] } });
    const script = `f=/data/${INDEX}; [ -f $f ] && exit 0; touch $f; trap 'exit 1' TERM; while :; do sleep 1; done`;
    const made = jobOf("disrupted", script, spec);
    const [container] = made["spec"].template.spec.containers as [Loose];
    container["volumeMounts"] = [{ name: "data", mountPath: "/data" }];
    made["spec"].template.spec.volumes = [{ name: "data", hostPath: { path: folder, type: "DirectoryOrCreate" } }];
    await t.api("batch/v1", "jobs").create(made);
    for (const { metadata } of await active(t, "disrupted", 2)) {
      const eviction = { apiVersion: "policy/v1", kind: "Eviction", metadata: { name: metadata.name } };
      await t.api("v1", "pods").post(metadata.name ?? "", "eviction", eviction);
    }
    await ends(t, "disrupted", "Complete");
  },
  [job("with successPolicy should succeeded when all indexes succeeded")]: (t) =>
    succeedsEarly(t, { rules: [{ succeededIndexes: "0-1" }] }, "exit 0", 2),
  [job("with successPolicy succeededIndexes rule should succeeded even when some indexes remain pending")]: (t) =>
    succeedsEarly(t, { rules: [{ succeededIndexes: "0" }] }, `[ ${INDEX} = 0 ] && exit 0; ${FOREVER}`, 2),
  [job("with successPolicy succeededCount rule should succeeded even when some indexes remain pending")]: (t) =>
    succeedsEarly(t, { rules: [{ succeededCount: 1 }] }, `[ ${INDEX} = 0 ] && exit 0; ${FOREVER}`, 2),

  [cron("should schedule multiple jobs concurrently")]: async (t) => {
    await t.api("batch/v1", "cronjobs").create(cronJobOf("allows", "Allow", FOREVER));
    await t.until("two jobs run at once", async () => (await activeOf(t, "allows")).length >= 2, TWO_RUNS_MS);
  },
  [cron("should not schedule new jobs when ForbidConcurrent [Slow]")]: async (t) => {
    await t.api("batch/v1", "cronjobs").create(cronJobOf("forbids", "Forbid", FOREVER));
    const [first] = await t.until("a job runs", async () => {
      const running = await activeOf(t, "forbids");
      return running.length > 0 && running;
    });
    await new Promise((resolve) => setTimeout(resolve, 70_000));
    assert.deepEqual(
      (await activeOf(t, "forbids")).map(({ name }) => name),
      [first?.name],
    );
  },
  [cron("should replace jobs when ReplaceConcurrent")]: async (t) => {
    await t.api("batch/v1", "cronjobs").create(cronJobOf("replaces", "Replace", FOREVER));
    const [first] = await t.until("a job runs", async () => {
      const running = await activeOf(t, "replaces");
      return running.length > 0 && running;
    });
    await t.until(
      "another takes its place",
      async () => {
        const running = await activeOf(t, "replaces");
        assert.ok(running.length <= 1, "two run at once");
        return running.length === 1 && running[0]?.name !== first?.name;
      },
      TWO_RUNS_MS,
    );
  },
  [cron("should not schedule jobs when suspended [Slow]")]: async (t) => {
    await t.api("batch/v1", "cronjobs").create(cronJobOf("sleeps", "Allow", FOREVER, { suspend: true }));
    await new Promise((resolve) => setTimeout(resolve, 130_000));
    assert.equal((await t.api("batch/v1", "jobs").list()).items.length, 0);
  },
  [cron("should support CronJob API operations")]: (t) =>
    exercise(t, {
      groupVersion: "batch/v1",
      plural: "cronjobs",
      make: () => ({ spec: cronJobOf("", "Allow", "true", { suspend: true })["spec"] as object }),
      status: { lastScheduleTime: "2026-01-01T00:00:00Z" },
    }),
};
