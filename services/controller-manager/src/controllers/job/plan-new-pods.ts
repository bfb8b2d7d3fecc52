/** The pods that a Job makes, without the random end of their names. Pure. */
import type { Job } from "@pilothouse/api/types/batch-v1";
import type { Container, Pod } from "@pilothouse/api/types/core-v1";
import { controllerReference } from "../../core/ownership.ts";
import { COMPLETION_INDEX, FAILURE_COUNT, failureCounts, IGNORED_FAILURE_COUNT } from "./rules-indexes.ts";
import { TRACKING_FINALIZER } from "./rules-tracking.ts";

const INDEX_VARIABLE = "JOB_COMPLETION_INDEX";
/** What a generated name leaves for what it is generated from. */
const MAX_GENERATE_NAME = 58;

export function jobReference(job: Job) {
  return controllerReference({ ...job, apiVersion: "batch/v1", kind: "Job" });
}

export function podOfJob(job: Job): Pod {
  const { metadata: { labels, annotations, finalizers = [] } = {}, spec } = job.spec.template;
  const { name = "", namespace = "" } = job.metadata;
  return {
    metadata: {
      generateName: `${name}-`.slice(0, MAX_GENERATE_NAME),
      namespace,
      ...(labels ? { labels } : {}),
      ...(annotations ? { annotations } : {}),
      finalizers: finalizers.includes(TRACKING_FINALIZER) ? finalizers : [...finalizers, TRACKING_FINALIZER],
      ownerReferences: [jobReference(job)],
    },
    spec: spec ?? { containers: [] },
  };
}

/** @param replaced the failed pod of this index whose successor it is */
export function podOfIndex(job: Job, index: number, replaced: Pod | undefined): Pod {
  const { metadata, spec } = podOfJob(job);
  const { name = "" } = job.metadata;
  const suffix = `-${index}-`;
  return {
    metadata: {
      ...metadata,
      generateName: `${name.slice(0, MAX_GENERATE_NAME - suffix.length)}${suffix}`,
      labels: { ...metadata.labels, [COMPLETION_INDEX]: String(index) },
      annotations: { ...metadata.annotations, [COMPLETION_INDEX]: String(index), ...failureAnnotations(job, replaced) },
    },
    spec: {
      ...spec,
      hostname: `${name}-${index}`,
      containers: spec.containers.map(withIndexVariable),
      ...(spec.initContainers ? { initContainers: spec.initContainers.map(withIndexVariable) } : {}),
    },
  };
}

function failureAnnotations({ spec }: Job, replaced: Pod | undefined): Record<string, string> {
  if (spec.backoffLimitPerIndex === undefined) return {};
  const { counted, ignored } = failureCounts(spec, replaced);
  return { [FAILURE_COUNT]: String(counted), ...(ignored > 0 ? { [IGNORED_FAILURE_COUNT]: String(ignored) } : {}) };
}

/** A variable that the user named so stays the user's. */
function withIndexVariable(container: Container): Container {
  const { env = [] } = container;
  if (env.some(({ name }) => name === INDEX_VARIABLE)) return container;
  const fieldRef = { fieldPath: `metadata.labels['${COMPLETION_INDEX}']` };
  return { ...container, env: [...env, { name: INDEX_VARIABLE, valueFrom: { fieldRef } }] };
}
