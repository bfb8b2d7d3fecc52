import type { CronJob, CronJobSpec } from "@pilothouse/api/types/batch-v1";
import { fieldErrorBody, type FieldError } from "@pilothouse/errors";
import { describe, expect, test } from "vitest";
import { cronJob } from "./cron-job.ts";

const NOW_MS = Date.parse("2026-01-01T01:00:00Z");

function created(more: Partial<CronJobSpec> = {}, name = "tick"): CronJob {
  const template = { spec: { containers: [{ name: "work", image: "work:1" }], restartPolicy: "OnFailure" } };
  const object: CronJob = {
    metadata: { name, namespace: "default", creationTimestamp: "2026-01-01T00:00:00Z" },
    spec: { schedule: "*/5 * * * *", jobTemplate: { spec: { template } }, ...more },
  };
  cronJob.defaults?.(object);
  cronJob.prepareForCreate?.(object);
  return object;
}

test("a CronJob gets its defaults; its Jobs get theirs when they are made", () => {
  const object = created();
  expect(object.spec).toMatchObject({
    concurrencyPolicy: "Allow",
    suspend: false,
    successfulJobsHistoryLimit: 3,
    failedJobsHistoryLimit: 1,
    jobTemplate: { spec: { template: { spec: { dnsPolicy: "ClusterFirst" } } } },
  });
  expect(object.spec.jobTemplate.spec).not.toHaveProperty("backoffLimit");
  expect([...(cronJob.validate?.(object) ?? []), ...(cronJob.validateCreate?.(object) ?? [])]).toEqual([]);
});

describe("what is wrong with a CronJob is said as upstream says it", () => {
  test.each<[string, Partial<CronJobSpec>, string[]]>([
    ["no schedule", { schedule: "" }, ["spec.schedule: Required value"]],
    [
      "no cron expression",
      { schedule: "error" },
      ['spec.schedule: Invalid value: "error": expected exactly 5 fields, found 1: [error]'],
    ],
    [
      "a zone in the schedule",
      { schedule: "TZ=UTC 0 * * * *" },
      [
        'spec.schedule: Invalid value: "TZ=UTC 0 * * * *": cannot use TZ or CRON_TZ in schedule, use timeZone field instead',
      ],
    ],
    ["a zone that is none", { timeZone: "Mars" }, ['spec.timeZone: Invalid value: "Mars": unknown time zone Mars']],
    [
      "a zone that climbs",
      { timeZone: "../etc" },
      ['spec.timeZone: Invalid value: "../etc": unknown time zone ../etc'],
    ],
    ["an empty zone", { timeZone: "" }, ['spec.timeZone: Invalid value: "": timeZone must be nil or non-empty string']],
    [
      "the zone of nobody knows which machine",
      { timeZone: "Local" },
      [
        'spec.timeZone: Invalid value: "Local": timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones',
      ],
    ],
    [
      "an unknown policy",
      { concurrencyPolicy: "Maybe" },
      ['spec.concurrencyPolicy: Unsupported value: "Maybe": supported values: "Allow", "Forbid", "Replace"'],
    ],
    [
      "a selector for Jobs to come",
      {
        jobTemplate: {
          spec: { ...created().spec.jobTemplate.spec!, selector: { matchLabels: { a: "b" } }, manualSelector: true },
        },
      },
      [
        'spec.jobTemplate.spec.selector: Invalid value: {"matchLabels":{"a":"b"}}: `selector` will be auto-generated',
        'spec.jobTemplate.spec.manualSelector: Unsupported value: true: supported values: "nil", "false"',
      ],
    ],
    [
      "fewer than none",
      { startingDeadlineSeconds: -1, failedJobsHistoryLimit: -1 },
      [
        "spec.startingDeadlineSeconds: Invalid value: -1: must be greater than or equal to 0",
        "spec.failedJobsHistoryLimit: Invalid value: -1: must be greater than or equal to 0",
      ],
    ],
  ])("%s", (_name, more, errors) => {
    const object = created(more);
    expect(texts([...(cronJob.validate?.(object) ?? []), ...(cronJob.validateCreate?.(object) ?? [])])).toEqual(errors);
  });

  test("a name that leaves no room for a time, of new ones only", () => {
    const name = "a".repeat(53);
    expect(texts(cronJob.validateCreate?.(created({}, name)))).toEqual([
      `metadata.name: Invalid value: "${name}": must be no more than 52 characters`,
    ]);
    expect(texts(cronJob.validateUpdate?.(created({}, name), created({}, name)))).toEqual([]);
  });

  test("a zone in the schedule may stay where it has been, alone", () => {
    const old = created({ schedule: "TZ=UTC 0 * * * *" });
    expect(texts(cronJob.validateUpdate?.(created({ schedule: "TZ=UTC 5 * * * *" }), old))).toEqual([]);
    expect(texts(cronJob.validateUpdate?.(created({ schedule: "TZ=UTC 5 * * * *", timeZone: "UTC" }), old))).toEqual([
      'spec.schedule: Invalid value: "TZ=UTC 5 * * * *": cannot use both timeZone field and TZ or CRON_TZ in schedule',
    ]);
  });
});

test("kubectl get cronjobs -o wide", () => {
  const row = (object: CronJob): unknown[] => (cronJob.columns ?? []).map(({ cell }) => cell(object, NOW_MS));
  expect(cronJob.columns?.map(({ name }) => name).join()).toBe(
    "Schedule,Timezone,Suspend,Active,Last Schedule,Age,Containers,Images,Selector",
  );
  expect(row(created())).toEqual(["*/5 * * * *", "<none>", "False", 0, "<none>", "60m", "work", "work:1", "<none>"]);
  const status = { active: [{ name: "tick-1" }], lastScheduleTime: "2026-01-01T00:55:00Z" };
  expect(row({ ...created({ timeZone: "Asia/Tokyo", suspend: true }), status }).slice(1, 5)).toEqual([
    "Asia/Tokyo",
    "True",
    1,
    "5m",
  ]);
});

function texts(errors: readonly FieldError[] | undefined): string[] {
  return (errors ?? []).map((error) => `${error.field}: ${fieldErrorBody(error)}`);
}
