import type { CronJob, CronJobSpec, Job } from "@pilothouse/api/types/batch-v1";
import { resources } from "@pilothouse/client";
import * as fc from "fast-check";
import { afterEach, describe, expect, it, test } from "vitest";
import { jobOf, jobWorld, merge, type JobWorld } from "../job/job.fixture.ts";
import { startTtlAfterFinishedController } from "../ttl-after-finished/reconcile.ts";
import { startGarbageCollector } from "../garbage-collector/reconcile.ts";
import { decide, settle } from "./plan.ts";
import { startCronJobController } from "./reconcile.ts";
import { dueTime } from "./rules-schedule.ts";
import { parseCron } from "@pilothouse/kinds/batch/cron-schedule";

const worlds: JobWorld[] = [];
afterEach(async () => {
  for (const world of worlds.splice(0)) {
    expect(world.failures).toEqual([]);
    await world.close();
  }
});

const MINUTE_MS = 60_000;

async function started(): Promise<JobWorld> {
  const world = await jobWorld(startCronJobController, startGarbageCollector, startTtlAfterFinishedController);
  worlds.push(world);
  return world;
}

const create = (world: JobWorld, spec: Partial<CronJobSpec> = {}): Promise<CronJob> =>
  world.client.create<CronJob>(resources.cronJobs, {
    metadata: { name: "tick", namespace: "default" },
    spec: { schedule: "* * * * *", jobTemplate: { spec: jobOf({}, "").spec }, ...spec },
  });

const jobs = async (world: JobWorld): Promise<readonly Job[]> =>
  (await world.client.list(resources.jobs, "default")).items;
const get = (world: JobWorld): Promise<CronJob> => world.client.get(resources.cronJobs, "default", "tick");
const patch = (world: JobWorld, spec: object): Promise<CronJob> =>
  world.client.patch(resources.cronJobs, "default", "tick", merge({ spec }));

async function finish(world: JobWorld, job: Job, how: "Complete" | "Failed"): Promise<void> {
  const at = new Date(world.clock.now()).toISOString().replace(/\.\d+Z/, "Z");
  const is = (type: string) => ({ type, status: "True", lastTransitionTime: at });
  const status =
    how === "Complete"
      ? { startTime: at, completionTime: at, conditions: [is("SuccessCriteriaMet"), is("Complete")] }
      : { startTime: at, conditions: [is("FailureTarget"), is("Failed")] };
  const { name = "" } = job.metadata;
  await world.client.patch(resources.jobs, "default", name, merge({ status }), { subresource: "status" });
}

describe("a CronJob", () => {
  it("makes a Job each minute, named by it, and knows which of them run", async () => {
    const world = await started();
    await create(world);
    await world.pass(2 * MINUTE_MS + 1_000);
    const made = await jobs(world);
    const minute = Math.floor(world.clock.now() / MINUTE_MS);
    expect(made.map(({ metadata }) => metadata.name ?? "").sort()).toEqual([`tick-${minute - 1}`, `tick-${minute}`]);
    expect(made[0]?.metadata).toMatchObject({
      ownerReferences: [{ apiVersion: "batch/v1", kind: "CronJob", name: "tick", controller: true }],
      annotations: { "batch.kubernetes.io/cronjob-scheduled-timestamp": expect.stringMatching(/:00Z$/) },
    });
    const { status } = await get(world);
    expect(status?.active).toHaveLength(2);
    expect(status?.active?.[0]).toMatchObject({ apiVersion: "batch/v1", kind: "Job", namespace: "default" });
    expect(Date.parse(status?.lastScheduleTime ?? "")).toBe(minute * MINUTE_MS);
    await finish(world, made[0] as Job, "Complete");
    await world.pass(1_000);
    expect((await get(world)).status).toMatchObject({ active: [{}], lastSuccessfulTime: expect.any(String) });
    expect(await world.events()).toEqual(
      expect.arrayContaining([
        `Normal SuccessfulCreate: Created job tick-${minute}`,
        `Normal SawCompletedJob: Saw completed job: ${made[0]?.metadata.name}, condition: Complete`,
      ]),
    );
  });

  it("forbids or replaces what still runs, as it is told", async () => {
    const world = await started();
    await create(world, { concurrencyPolicy: "Forbid" });
    await world.pass(2 * MINUTE_MS + 1_000);
    const [first] = await jobs(world);
    expect(await jobs(world)).toHaveLength(1);
    expect(await world.events()).toContain(
      "Normal JobAlreadyActive: Not starting job because prior execution is running and concurrency policy is Forbid",
    );
    await patch(world, { concurrencyPolicy: "Replace" });
    await world.pass(MINUTE_MS);
    const [second, ...more] = await jobs(world);
    expect(more).toEqual([]);
    expect(second?.metadata.name).not.toBe(first?.metadata.name);
    expect((await get(world)).status?.active).toMatchObject([{ name: second?.metadata.name }]);
    expect(await world.events()).toContain(`Normal SuccessfulDelete: Deleted job ${first?.metadata.name}`);
  });

  it("makes none while it is suspended, and the last one missed when it is resumed", async () => {
    const world = await started();
    await create(world, { suspend: true });
    await world.pass(3 * MINUTE_MS);
    expect(await jobs(world)).toEqual([]);
    await patch(world, { suspend: false });
    await world.pass(1_000);
    expect((await jobs(world)).map(({ metadata }) => metadata.name)).toEqual([
      `tick-${Math.floor(world.clock.now() / MINUTE_MS)}`,
    ]);
  });

  it("keeps as many old Jobs as it is asked to", async () => {
    const world = await started();
    await create(world, { successfulJobsHistoryLimit: 1, failedJobsHistoryLimit: 0 });
    for (const how of ["Complete", "Failed", "Complete"] as const) {
      await world.pass(MINUTE_MS);
      const running = (await jobs(world)).filter(({ status }) => !status?.conditions);
      for (const job of running) await finish(world, job, how);
    }
    await patch(world, { suspend: true });
    await world.pass(2_000);
    const left = await jobs(world);
    expect(left).toHaveLength(1);
    expect(left[0]?.status?.conditions).toContainEqual(expect.objectContaining({ type: "Complete" }));
  });

  it("forgets a Job that somebody deleted", async () => {
    const world = await started();
    await create(world, { schedule: "0 * * * *" });
    await world.pass(61 * MINUTE_MS);
    const [job] = await jobs(world);
    await world.client.delete(resources.jobs, "default", job?.metadata.name ?? "", { propagationPolicy: "Background" });
    await world.pass(1_000);
    expect((await get(world)).status?.active).toBeUndefined();
    expect(await world.events()).toContain(`Normal MissingJob: Active job went missing: ${job?.metadata.name}`);
  });

  it("adds to its list what it made before it could tell", async () => {
    const world = await started();
    let loses = true;
    world.intercept = ({ method, path }) => {
      if (loses && method === "PUT" && path.includes("/status")) throw new Error("no answer");
    };
    await create(world);
    await world.pass(MINUTE_MS + 1_000);
    expect(await jobs(world)).toHaveLength(1);
    expect((await get(world)).status?.active).toBeUndefined();
    loses = false;
    await world.pass(10_000);
    expect((await get(world)).status?.active).toHaveLength(1);
    expect(await jobs(world)).toHaveLength(1);
  });
});

const MADE = "2026-01-01T00:00:00Z";
function cronJob(spec: Partial<CronJobSpec>, status: CronJob["status"] = {}): CronJob {
  return {
    metadata: { name: "tick", namespace: "default", uid: "u", creationTimestamp: MADE },
    spec: { schedule: "0 * * * *", jobTemplate: { spec: jobOf({}, "").spec }, ...spec },
    status,
  };
}
const reasons = (decision: ReturnType<typeof decide>): string[] => decision.events.map(({ reason }) => reason);

describe("what is decided", () => {
  it.each<[string, CronJob, string, string[], string | undefined]>([
    ["not before its time", cronJob({}), "2026-01-01T00:59:59Z", [], undefined],
    ["at its time", cronJob({}), "2026-01-01T01:00:00Z", [], "2026-01-01T01:00:00Z"],
    ["the last time only, of several missed", cronJob({}), "2026-01-01T05:30:00Z", [], "2026-01-01T05:00:00Z"],
    [
      "of very many, with a warning",
      cronJob({}),
      "2026-01-09T05:30:00Z",
      ["TooManyMissedTimes"],
      "2026-01-09T05:00:00Z",
    ],
    ["not when it is too late", cronJob({ startingDeadlineSeconds: 60 }), "2026-01-01T01:05:00Z", [], undefined],
    ["in its zone", cronJob({ timeZone: "Asia/Kolkata" }), "2026-01-01T00:31:00Z", [], "2026-01-01T00:30:00Z"],
    [
      "never in a zone that is none",
      cronJob({ timeZone: "Mars" }),
      "2026-01-01T01:00:00Z",
      ["UnknownTimeZone"],
      undefined,
    ],
    [
      "never by what is no schedule",
      cronJob({ schedule: "x" }),
      "2026-01-01T01:00:00Z",
      ["UnparseableSchedule"],
      undefined,
    ],
    [
      "never on a day that never comes",
      cronJob({ schedule: "0 0 31 2 *" }),
      "2026-03-01T01:00:00Z",
      ["InvalidSchedule"],
      undefined,
    ],
    ["once", cronJob({}, { lastScheduleTime: "2026-01-01T01:00:00Z" }), "2026-01-01T01:00:01Z", [], undefined],
  ])("%s", (_name, cronJob, now, events, at) => {
    const decision = decide(cronJob, Date.parse(now));
    expect(reasons(decision)).toEqual(events);
    expect(decision.do === "start" ? new Date(decision.atMs).toISOString().replace(".000Z", "Z") : undefined).toBe(at);
  });

  test("the Job is told its time as the zone writes it", () => {
    const decision = decide(cronJob({ timeZone: "Asia/Kolkata" }), Date.parse("2026-01-01T00:31:00Z"));
    expect(decision.do === "start" && decision.job.metadata.annotations).toEqual({
      "batch.kubernetes.io/cronjob-scheduled-timestamp": "2026-01-01T06:00:00+05:30",
    });
  });

  test("the time that is due has come, is the last that has, and is looked for anew just after the next", () => {
    const schedule = fc.constantFrom("*/5 * * * *", "30 6-16/4 * * 1-5", "0 0 1 * *", "@every 7m", "15 3 * * 0");
    fc.assert(
      fc.property(schedule, fc.integer({ min: 1, max: 400 * 24 * 60 }), (schedule, minutes) => {
        const nowMs = Date.parse(MADE) + minutes * MINUTE_MS;
        const one = cronJob({ schedule });
        const { atMs } = dueTime(one, parseCron(schedule), nowMs);
        const decision = decide(one, nowMs);
        expect(decision.do).toBe(atMs === undefined ? "wait" : "start");
        if (atMs !== undefined) expect(atMs).toBeLessThanOrEqual(nowMs);
        expect(decision.wakeAtMs).toBeGreaterThan(nowMs);
        const lastScheduleTime = atMs === undefined ? undefined : new Date(atMs).toISOString();
        if (lastScheduleTime === undefined) return;
        const after = dueTime(cronJob({ schedule }, { lastScheduleTime }), parseCron(schedule), nowMs);
        expect(after.atMs).toBeUndefined();
      }),
      { numRuns: 100 },
    );
  });

  test("an unfinished Job that it does not know is told of", () => {
    const stranger: Job = { ...jobOf({}, "stranger"), metadata: { name: "stranger", uid: "s" } };
    expect(settle(cronJob({}), [stranger], () => false).events).toEqual([
      {
        type: "Warning",
        reason: "UnexpectedJob",
        message: "Saw a job that the controller did not create or forgot: stranger",
      },
    ]);
  });
});

describe("a Job with a time to live", () => {
  it("goes so many seconds after its end, unless it is given more", async () => {
    const world = await started();
    const job = await world.createJob({ ttlSecondsAfterFinished: 10 });
    await world.pass(30_000);
    expect(await jobs(world)).toHaveLength(1);
    await finish(world, job, "Complete");
    await world.pass(5_000);
    await world.patchJob({ spec: { ttlSecondsAfterFinished: 30 } });
    await world.pass(20_000);
    expect(await jobs(world)).toHaveLength(1);
    await world.pass(10_000);
    expect(await jobs(world)).toEqual([]);
  });
});
