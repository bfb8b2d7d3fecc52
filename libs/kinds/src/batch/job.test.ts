import type { Job, JobSpec, JobStatus } from "@pilothouse/api/types/batch-v1";
import { fieldErrorBody, type FieldError } from "@pilothouse/errors";
import { describe, expect, test } from "vitest";
import { job } from "./job.ts";

const NOW_MS = Date.parse("2026-01-01T01:00:00Z");
const START = "2026-01-01T00:00:00Z";

function spec(more: Partial<JobSpec> = {}): JobSpec {
  return { template: { spec: { containers: [{ name: "work", image: "work:1" }], restartPolicy: "Never" } }, ...more };
}

function created(more: Partial<JobSpec> = {}, name = "work"): Job {
  const object: Job = {
    metadata: { name, namespace: "default", uid: "u1", creationTimestamp: START },
    spec: spec(more),
  };
  job.defaults?.(object);
  job.prepareForCreate?.(object);
  return object;
}

const GENERATED = {
  "batch.kubernetes.io/controller-uid": "u1",
  "batch.kubernetes.io/job-name": "work",
  "controller-uid": "u1",
  "job-name": "work",
};

describe("what a Job gets", () => {
  test("defaults, a selector, and labels that find its pods again", () => {
    const object = created();
    expect(object.spec).toMatchObject({
      completions: 1,
      parallelism: 1,
      backoffLimit: 6,
      completionMode: "NonIndexed",
      suspend: false,
      podReplacementPolicy: "TerminatingOrFailed",
      manualSelector: false,
      selector: { matchLabels: { "batch.kubernetes.io/controller-uid": "u1" } },
      template: { metadata: { labels: GENERATED }, spec: { terminationGracePeriodSeconds: 30 } },
    });
    expect(object.metadata).toMatchObject({ generation: 1, labels: GENERATED });
    expect(object.status).toEqual({});
    expect(job.validate?.(object)).toEqual([]);
  });

  test("another name, when the one that was generated is taken", () => {
    const object = created();
    object.metadata.name = "work-2";
    job.renamed?.(object, "work");
    const renamed = { ...GENERATED, "batch.kubernetes.io/job-name": "work-2", "job-name": "work-2" };
    expect(object.metadata.labels).toEqual(renamed);
    expect(object.spec.template.metadata?.labels).toEqual(renamed);
    expect(job.validate?.(object)).toEqual([]);
  });

  test("labels of its own stay its own", () => {
    const object: Job = { metadata: { name: "work", uid: "u1", labels: { mine: "yes" } }, spec: spec() };
    job.defaults?.(object);
    job.prepareForCreate?.(object);
    expect(object.metadata.labels).toEqual({ mine: "yes" });
  });

  test("completions stay open when only parallelism is given", () => {
    expect(created({ parallelism: 3 }).spec.completions).toBeUndefined();
  });

  test("a limit per index lifts the one for all, a failure policy waits until pods have ended", () => {
    const { spec } = created({
      completionMode: "Indexed",
      completions: 2,
      backoffLimitPerIndex: 1,
      podFailurePolicy: { rules: [{ action: "Ignore", onPodConditions: [{ type: "DisruptionTarget", status: "" }] }] },
    });
    expect(spec.backoffLimit).toBe(2 ** 31 - 1);
    expect(spec.podReplacementPolicy).toBe("Failed");
    expect(spec.podFailurePolicy?.rules[0]?.onPodConditions).toEqual([{ type: "DisruptionTarget", status: "True" }]);
  });

  test("a selector made by hand is left as it is", () => {
    const selector = { matchLabels: { app: "mine" } };
    const template = { ...spec().template, metadata: { labels: { app: "mine" } } };
    const object = created({ manualSelector: true, selector, template });
    expect(object.spec.selector).toEqual(selector);
    expect(object.spec.template.metadata?.labels).toEqual({ app: "mine" });
    expect(job.validate?.(object)).toEqual([]);
  });
});

describe("what is wrong with a Job is said as upstream says it", () => {
  const indexed = { completionMode: "Indexed", completions: 3 } as const;
  const failIndex = { action: "FailIndex", onExitCodes: { operator: "In", values: [1] } };
  test.each<[string, Partial<JobSpec>, string[]]>([
    [
      "fewer than none",
      { parallelism: -1 },
      ["spec.parallelism: Invalid value: -1: must be greater than or equal to 0"],
    ],
    [
      "pods that never end",
      { template: { spec: { containers: [{ name: "work", image: "work:1" }] } } },
      ['spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"'],
    ],
    [
      "indexes without a number of them",
      { completionMode: "Indexed", parallelism: 1 },
      ["spec.completions: Required value: when completion mode is Indexed"],
    ],
    [
      "a mode nobody knows",
      { completionMode: "Random" },
      ['spec.completionMode: Unsupported value: "Random": supported values: "NonIndexed", "Indexed"'],
    ],
    [
      "a limit per index without indexes",
      { backoffLimitPerIndex: 1, maxFailedIndexes: 1 },
      [
        "spec.backoffLimitPerIndex: Invalid value: 1: requires indexed completion mode",
        "spec.maxFailedIndexes: Invalid value: 1: requires indexed completion mode",
      ],
    ],
    [
      "a limit of failed indexes without one per index",
      { ...indexed, maxFailedIndexes: 4 },
      [
        "spec.backoffLimitPerIndex: Required value: when maxFailedIndexes is specified",
        "spec.maxFailedIndexes: Invalid value: 4: must be less than or equal to completions",
      ],
    ],
    [
      "very many indexes, all at once",
      { completionMode: "Indexed", completions: 200_000, parallelism: 20_000, backoffLimitPerIndex: 1 },
      [
        "spec.maxFailedIndexes: Required value: must be specified when completions is above 100000",
        "spec.parallelism: Invalid value: 20000: must be less than or equal to 10000 when completions are above 100000 and used with backoff limit per index",
      ],
    ],
    [
      "a controller without a domain",
      { managedBy: "me" },
      ['spec.managedBy: Invalid value: "me": must be a domain-prefixed path (such as "acme.io/foo")'],
    ],
    [
      "an index that fails without a limit",
      { ...indexed, podFailurePolicy: { rules: [failIndex] } },
      [
        'spec.podFailurePolicy.rules[0].action: Invalid value: "FailIndex": requires the backoffLimitPerIndex to be set',
      ],
    ],
    [
      "a failure rule about nothing",
      { podFailurePolicy: { rules: [{ action: "Ignore" }] } },
      ["spec.podFailurePolicy.rules[0]: Invalid value: specifying one of OnExitCodes and OnPodConditions is required"],
    ],
    [
      "exit codes that are none",
      {
        podFailurePolicy: {
          rules: [{ action: "", onExitCodes: { containerName: "other", operator: "In", values: [3, 0, 3] } }],
        },
      },
      [
        'spec.podFailurePolicy.rules[0].action: Required value: valid values: ["Count" "FailIndex" "FailJob" "Ignore"]',
        'spec.podFailurePolicy.rules[0].onExitCodes.containerName: Invalid value: "other": must be one of the container or initContainer names in the pod template',
        "spec.podFailurePolicy.rules[0].onExitCodes.values[1]: Invalid value: 0: must not be 0 for the In operator",
        "spec.podFailurePolicy.rules[0].onExitCodes.values[2]: Duplicate value: 3",
        "spec.podFailurePolicy.rules[0].onExitCodes.values: Invalid value: [3,0,3]: must be ordered",
      ],
    ],
    [
      "replacing before the end, which a failure policy cannot judge",
      { podReplacementPolicy: "TerminatingOrFailed", podFailurePolicy: { rules: [] } },
      ['spec.podReplacementPolicy: Unsupported value: "TerminatingOrFailed": supported values: "Failed"'],
    ],
    [
      "success without indexes",
      { successPolicy: { rules: [] } },
      ['spec.successPolicy: Invalid value: {"rules":[]}: requires indexed completion mode'],
    ],
    [
      "success of more than there are",
      {
        ...indexed,
        successPolicy: { rules: [{ succeededIndexes: "0,1", succeededCount: 3 }, {}, { succeededIndexes: "9" }] },
      },
      [
        "spec.successPolicy.rules[0].succeededCount: Invalid value: 3: must be less than or equal to 2 (the number of indexes in the specified succeededIndexes field)",
        "spec.successPolicy.rules[1]: Required value: at least one of succeededCount or succeededIndexes must be specified",
        'spec.successPolicy.rules[2].succeededIndexes: Invalid value: "9": error parsing succeededIndexes: too large index: "9"',
      ],
    ],
  ])("%s", (_name, more, errors) => {
    expect(texts(job.validate?.(created(more)))).toEqual(errors);
  });

  test("a name that leaves no room for an index", () => {
    const name = "a".repeat(62);
    expect(texts(job.validate?.(created(indexed, name)))).toEqual([
      `metadata.name: Invalid value: "${name}": will not able to create pod with invalid DNS label: ${name}-2`,
    ]);
  });

  test("labels and a selector that are said to be generated, and are not", () => {
    const template = { ...spec().template, metadata: { labels: { "job-name": "other" } } };
    const object = created({ template, selector: { matchLabels: { app: "mine" } } });
    expect(texts(job.validate?.(object)).map((text) => text.replace(/\{.*\}/, "{…}"))).toEqual([
      "spec.template.metadata.labels[job-name]: Invalid value: {…}: must be 'work'",
      "spec.selector: Invalid value: {…}: `selector` not auto-generated",
      "spec.template.metadata.labels: Invalid value: {…}: `selector` does not match template `labels`",
    ]);
  });
});

describe("what may change", () => {
  const change = (old: Job, edit: (now: Job) => void): string[] => {
    const now = structuredClone(old);
    edit(now);
    job.prepareForUpdate?.(now, old);
    return texts(job.validateUpdate?.(now, old)).map((text) => text.replace(/value: .*: field/, "value: …: field"));
  };
  const IMMUTABLE = "spec.template: Invalid value: …: field is immutable";
  const suspended = (status: JobStatus = {}): Job => ({ ...created({ suspend: true }), status });

  test("how many run at once, but not how many there are", () => {
    expect(change(created(), ({ spec }) => (spec.parallelism = 5))).toEqual([]);
    expect(change(created(), ({ spec }) => (spec.completions = 5))).toEqual([
      "spec.completions: Invalid value: …: field is immutable",
    ]);
  });

  test("indexes, when all of them run at once", () => {
    const old = created({ completionMode: "Indexed", completions: 2, parallelism: 2 });
    expect(change(old, ({ spec }) => (spec.completions = 3))).toEqual([
      "spec.completions: Invalid value: 3: can only be modified in tandem with spec.parallelism",
    ]);
    expect(change(old, ({ spec }) => (spec.completions = spec.parallelism = 3))).toEqual([]);
  });

  test("the template only while the Job is suspended and has no pods, and only where and on how much they run", () => {
    const moves = ({ spec }: Job): void => {
      if (spec.template.spec) spec.template.spec.nodeSelector = { disk: "fast" };
    };
    const grows = ({ spec }: Job): void => {
      const container = spec.template.spec?.containers[0];
      if (container) container.resources = { requests: { cpu: "4" } };
    };
    const affinity = ({ spec }: Job): void => {
      const required = { nodeSelectorTerms: [] };
      if (spec.template.spec)
        spec.template.spec.affinity = { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: required } };
    };
    const marked = { startTime: START, conditions: [{ type: "Suspended", status: "True" }] };
    for (const edit of [moves, grows, affinity]) {
      expect(change(created(), edit)).toEqual([IMMUTABLE]);
      expect(change(suspended(), edit)).toEqual([]);
      expect(change(suspended(marked), edit)).toEqual([]);
      expect(change(suspended({ ...marked, active: 1 }), edit)).toEqual([IMMUTABLE]);
      expect(change(suspended({ startTime: START }), edit)).toEqual([IMMUTABLE]);
    }
    const otherImage = ({ spec }: Job): void => {
      const container = spec.template.spec?.containers[0];
      if (container) container.image = "work:2";
    };
    expect(change(suspended(), otherImage)).toEqual(["spec.template.spec: Invalid value: …: field is immutable"]);
  });

  test("selector, mode, policies and controller never", () => {
    const edits: ((now: Job) => void)[] = [
      ({ spec }) => (spec.selector = {}),
      ({ spec }) => (spec.completionMode = "Indexed"),
      ({ spec }) => (spec.podFailurePolicy = { rules: [{ action: "Ignore" }] }),
      ({ spec }) => (spec.managedBy = "acme.io/queue"),
      ({ spec }) => (spec.successPolicy = { rules: [{}] }),
      ({ spec }) => (spec.backoffLimitPerIndex = 3),
    ];
    for (const edit of edits) expect(change(created(), edit)).toHaveLength(1);
  });

  test("a new spec is a new generation", () => {
    const old = created();
    const now = structuredClone(old);
    now.spec.suspend = true;
    now.status = { active: 5 };
    job.prepareForUpdate?.(now, old);
    expect(now).toMatchObject({ metadata: { generation: 2 }, status: {} });
  });
});

describe("what a status may say", () => {
  const is = (type: string, status = "True"): { type: string; status: string } => ({ type, status });
  const COMPLETE = { startTime: START, completionTime: START, conditions: [is("SuccessCriteriaMet"), is("Complete")] };
  const FAILED = { startTime: START, conditions: [is("FailureTarget"), is("Failed")] };
  const judged = (status: JobStatus, old: JobStatus = {}, more: Partial<JobSpec> = {}): string[] =>
    texts(job.validateStatusUpdate?.({ ...created(more), status }, { ...created(more), status: old }));

  test("a whole life, step by step", () => {
    const steps: JobStatus[] = [
      {},
      { startTime: START, active: 1, ready: 0, terminating: 0, uncountedTerminatedPods: {} },
      {
        startTime: START,
        ready: 0,
        terminating: 0,
        uncountedTerminatedPods: { succeeded: ["p1"] },
        conditions: [is("SuccessCriteriaMet")],
      },
      { ...COMPLETE, succeeded: 1, ready: 0, terminating: 0, uncountedTerminatedPods: {} },
    ];
    for (const [index, status] of steps.entries()) expect(judged(status, steps[index - 1] ?? {})).toEqual([]);
    expect(judged(FAILED)).toEqual([]);
  });

  test.each<[string, JobStatus, JobStatus, string[]]>([
    [
      "both ends",
      { ...COMPLETE, conditions: [...COMPLETE.conditions, ...FAILED.conditions] },
      {},
      [
        "status.conditions: Invalid value: cannot set Complete=True and Failed=true conditions",
        "status.conditions: Invalid value: cannot set Complete=True and FailureTarget=true conditions",
        "status.conditions: Invalid value: cannot set SuccessCriteriaMet=True and Failed=true conditions",
        "status.conditions: Invalid value: cannot set SuccessCriteriaMet=True and FailureTarget=true conditions",
      ],
    ],
    [
      "an end without its reason",
      { startTime: START, conditions: [is("Failed")] },
      {},
      ["status.conditions: Invalid value: cannot set Failed=True condition without the FailureTarget=true condition"],
    ],
    [
      "complete, and no time",
      { startTime: START, conditions: COMPLETE.conditions },
      {},
      ["status.completionTime: Required value: completionTime is required for Complete jobs"],
    ],
    [
      "a time, and not complete",
      { completionTime: START },
      {},
      [
        `status.completionTime: Invalid value: "${START}": cannot set completionTime when there is no Complete=True condition`,
      ],
    ],
    [
      "complete before it began",
      { ...COMPLETE, startTime: "2026-01-01T00:00:01Z" },
      {},
      [`status.completionTime: Invalid value: "${START}": must be equal to or after \`startTime\``],
    ],
    [
      "ended with pods",
      { ...COMPLETE, active: 1, terminating: 2, uncountedTerminatedPods: { failed: ["p"] } },
      {},
      [
        "status.active: Invalid value: 1: active>0 is invalid for finished job",
        'status.uncountedTerminatedPods: Invalid value: {"failed":["p"]}: must be empty for finished job',
        "status.terminating: Invalid value: 2: terminating>0 is invalid for finished job",
      ],
    ],
    [
      "more ready than active",
      { active: 1, ready: 2 },
      {},
      ["status.ready: Invalid value: 2: cannot set more ready pods than active"],
    ],
    [
      "an end that is taken back",
      {},
      FAILED,
      [
        "status.conditions: Invalid value: cannot disable the terminal Failed=True condition",
        "status.conditions: Invalid value: cannot disable the terminal FailureTarget=True condition",
        "status.startTime: Required value: startTime cannot be removed for unsuspended job",
      ],
    ],
    [
      "counts that shrink",
      { failed: 1, succeeded: 0 },
      { failed: 2, succeeded: 1 },
      [
        "status.failed: Invalid value: 1: cannot decrease the failed counter",
        "status.succeeded: Invalid value: 0: cannot decrease the succeeded counter",
      ],
    ],
    [
      "another end time",
      { ...COMPLETE, completionTime: "2026-01-01T00:00:09Z" },
      COMPLETE,
      ['status.completionTime: Invalid value: "2026-01-01T00:00:09Z": field is immutable'],
    ],
    [
      "a pod counted twice",
      { uncountedTerminatedPods: { succeeded: ["p"], failed: ["p", ""] } },
      {},
      [
        'status.uncountedTerminatedPods.failed[0]: Duplicate value: "p"',
        'status.uncountedTerminatedPods.failed[1]: Invalid value: "": must not be empty',
      ],
    ],
    [
      "indexes of a Job that has none",
      { completedIndexes: "0", failedIndexes: "0" },
      {},
      [
        'status.completedIndexes: Invalid value: "0": cannot set non-empty completedIndexes when non-indexed completion mode',
        'status.failedIndexes: Invalid value: "0": cannot set non-null failedIndexes when backoffLimitPerIndex is null',
        'status.failedIndexes: Invalid value: "0": failedIndexes and completedIndexes overlap at index: 0',
      ],
    ],
  ])("%s is refused", (_name, status, old, errors) => {
    expect(judged(status, old)).toEqual(errors);
  });

  test("what was wrong before does not block what has nothing to do with it", () => {
    const wrong = { active: 1, ready: 2, completedIndexes: "0" };
    expect(judged({ ...wrong, failed: 1 }, wrong)).toEqual([]);
  });

  test("a Job that is resumed may start anew", () => {
    const old = { startTime: START, conditions: [is("Suspended")] };
    expect(judged({ startTime: "2026-01-01T02:00:00Z", conditions: [is("Suspended", "False")] }, old)).toEqual([]);
  });

  test("metadata may change through it, the spec may not", () => {
    const old = created();
    const now = structuredClone(old);
    now.metadata.annotations = { a: "b" };
    now.spec.parallelism = 7;
    job.prepareForStatusUpdate?.(now, old, START);
    expect(now).toMatchObject({ metadata: { annotations: { a: "b" } }, spec: { parallelism: 1 } });
  });
});

test("warns of a name that is no host name", () => {
  expect(job.warnings?.(created({}, "a.b"), undefined)).toEqual([
    expect.stringContaining("metadata.name: this is used in Pod names and hostnames, which can result in surprising"),
  ]);
});

describe("kubectl get jobs -o wide", () => {
  const row = (more: Partial<JobSpec>, status: JobStatus, deletionTimestamp?: string): unknown[] => {
    const object = created(more);
    if (deletionTimestamp) object.metadata.deletionTimestamp = deletionTimestamp;
    return (job.columns ?? []).map(({ cell }) => cell({ ...object, status }, NOW_MS));
  };

  test("shows state, progress, time and what runs", () => {
    expect(job.columns?.map(({ name }) => name).join()).toBe(
      "Status,Completions,Duration,Age,Containers,Images,Selector",
    );
    expect(row({ completions: 3 }, { startTime: START, succeeded: 2 })).toEqual([
      "Running",
      "2/3",
      "60m",
      "60m",
      "work",
      "work:1",
      "batch.kubernetes.io/controller-uid=u1",
    ]);
    const complete = { startTime: START, completionTime: "2026-01-01T00:00:07Z", succeeded: 1 };
    expect(row({}, { ...complete, conditions: [{ type: "Complete", status: "True" }] }).slice(0, 3)).toEqual([
      "Complete",
      "1/1",
      "7s",
    ]);
    expect(row({ parallelism: 4 }, {}).slice(0, 3)).toEqual(["Running", "0/1 of 4", ""]);
    expect(row({}, { conditions: [{ type: "Suspended", status: "True" }] })[0]).toBe("Suspended");
    expect(row({}, {}, START)[0]).toBe("Terminating");
  });
});

test("is found by how many of its pods succeeded", () => {
  expect(job.selectableFields?.({ ...created(), status: { succeeded: 2 } })).toEqual({ "status.successful": "2" });
});

function texts(errors: readonly FieldError[] | undefined): string[] {
  return (errors ?? []).map((error) => `${error.field}: ${fieldErrorBody(error)}`);
}
