/** Jobs and what makes and removes them. A hand runs their pods as kubelets would: pods of even indexes succeed, others fail once. */
import type { CronJob, Job } from "@pilothouse/api/types/batch-v1";
import type { Pod } from "@pilothouse/api/types/core-v1";
import { resources, type ApiClient, type KubernetesObject } from "@pilothouse/client";
import type { Scenario } from "../scenario.ts";
import { controllerManager } from "../subjects.ts";
import { account, merge, NAMESPACE } from "./acts.ts";

const PODS = "/registry/core/pods/";
const JOBS = "/registry/batch/jobs/";
const RUNS_FOR_MS = 400;
const ENDS_AFTER_MS = 200;

const template = {
  // Its volume would have a random name.
  spec: { automountServiceAccountToken: false, restartPolicy: "Never", containers: [{ name: "work", image: "work" }] },
};

const changeJob = (name: string, spec: object) => (client: ApiClient) =>
  client.patch(resources.jobs, NAMESPACE, name, merge({ spec }));

/** The first pod of an odd index fails; pods that are asked to go, go. */
const playKubelet: NonNullable<Scenario["others"]> = ({ objects }, { after }) => {
  for (const [key, object] of objects) {
    if (!key.startsWith(PODS)) continue;
    const { metadata, status } = object as Pod;
    const { name = "", uid = "", annotations = {} } = metadata;
    const isOver = status?.phase === "Succeeded" || status?.phase === "Failed";
    const index = Number(annotations["batch.kubernetes.io/job-completion-index"] ?? 0);
    const isFirstTry = annotations["batch.kubernetes.io/job-index-failure-count"] === "0";
    if (metadata.deletionTimestamp !== undefined && (metadata.deletionGracePeriodSeconds ?? 0) > 0)
      after(ENDS_AFTER_MS, (client) => client.delete(resources.pods, NAMESPACE, name, { uid, gracePeriodSeconds: 0 }));
    else if (!isOver && metadata.deletionTimestamp === undefined)
      after(RUNS_FOR_MS, (client) =>
        client.patch(
          resources.pods,
          NAMESPACE,
          name,
          merge({ metadata: { uid }, status: { phase: index % 2 === 1 && isFirstTry ? "Failed" : "Succeeded" } }),
          { subresource: "status" },
        ),
      );
  }
};

export const jobs: readonly Scenario[] = [
  {
    name: "job",
    subject: controllerManager("job"),
    others: playKubelet,
    end: exceptPauses,
    steps: [
      { afterMs: 0, does: "makes the account that pods run as", run: account },
      {
        afterMs: 200,
        does: "makes an indexed Job of 3, two at a time, each index with a second try",
        run: (client) =>
          client.create<Job>(resources.jobs, {
            metadata: { name: "work", namespace: NAMESPACE },
            spec: { completionMode: "Indexed", completions: 3, parallelism: 2, backoffLimitPerIndex: 1, template },
          }),
      },
      {
        afterMs: 1_000,
        does: "makes a Job of 2 that is suspended",
        run: (client) =>
          client.create<Job>(resources.jobs, {
            metadata: { name: "later", namespace: NAMESPACE },
            spec: { suspend: true, completions: 2, parallelism: 2, template },
          }),
      },
      { afterMs: 500, does: "resumes it", run: changeJob("later", { suspend: false }) },
    ],
  },
  {
    name: "cronjob",
    subject: controllerManager("cronjob"),
    others: endJobs,
    steps: [
      {
        afterMs: 0,
        does: "makes a CronJob for every three minutes",
        run: (client) =>
          client.create<CronJob>(resources.cronJobs, {
            metadata: { name: "tick", namespace: NAMESPACE },
            spec: { schedule: "@every 3m", jobTemplate: { spec: { template } } },
          }),
      },
      {
        // Once, so that all comes to rest before the next time.
        afterMs: 190_000,
        does: "lets its time come, and says that it is still wanted",
        run: (client) =>
          client.patch(resources.cronJobs, NAMESPACE, "tick", merge({ metadata: { labels: { wanted: "yes" } } })),
      },
    ],
  },
  {
    name: "ttl-after-finished",
    subject: controllerManager("ttl-after-finished"),
    others: endJobs,
    steps: ["short", "long"].map((name, index) => ({
      afterMs: 500,
      does: `makes a Job that goes ${2 + 3 * index} s after its end`,
      run: (client: ApiClient) =>
        client.create<Job>(resources.jobs, {
          metadata: { name, namespace: NAMESPACE },
          spec: { ttlSecondsAfterFinished: 2 + 3 * index, template },
        }),
    })),
  },
];

/** As the Job controller and the garbage collector would: a Job is complete soon after it was made, and nothing keeps it when it goes. */
function endJobs(
  { objects }: Parameters<NonNullable<Scenario["others"]>>[0],
  { after }: Parameters<NonNullable<Scenario["others"]>>[1],
): void {
  for (const [key, object] of objects) {
    if (!key.startsWith(JOBS)) continue;
    const { metadata, status } = object as Job;
    const { name = "", uid = "", creationTimestamp = "", finalizers = [] } = metadata;
    if (metadata.deletionTimestamp !== undefined && finalizers.length > 0)
      after(ENDS_AFTER_MS, (client) =>
        client.patch(resources.jobs, NAMESPACE, name, merge({ metadata: { uid, finalizers: null } })),
      );
    else if (status?.startTime === undefined && metadata.deletionTimestamp === undefined)
      after(RUNS_FOR_MS, (client) =>
        client.patch(
          resources.jobs,
          NAMESPACE,
          name,
          merge({ metadata: { uid }, status: completeAt(creationTimestamp) }),
          {
            subresource: "status",
          },
        ),
      );
  }
}

function completeAt(at: string): Job["status"] {
  const conditions = ["SuccessCriteriaMet", "Complete"].map((type) => ({
    type,
    status: "True",
    lastTransitionTime: at,
  }));
  return { startTime: at, completionTime: at, succeeded: 1, conditions };
}

/** Whether it was seen that a Job was suspended for a while is history. */
function exceptPauses(objects: readonly KubernetesObject[]): readonly KubernetesObject[] {
  return objects.map((object) => {
    if (object.kind !== "Job") return object;
    const { status = {} } = object as Job;
    const conditions = (status.conditions ?? []).filter(({ type }) => type !== "Suspended");
    return { ...object, status: { ...status, conditions } };
  });
}
