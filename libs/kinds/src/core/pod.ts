import type { Pod } from "@pilothouse/api/types/core-v1";
import { firstErrors, forbidden, invalid } from "../field-errors.ts";
import type { FieldErrors } from "../field-errors.ts";
import { keepField, nextGeneration, startGeneration } from "../isolation.ts";
import { ALL_VERBS, type KindDefinition } from "../kind.ts";
import { proxyOf, STATUS } from "../subresources.ts";
import { ephemeralUpdateRules, keepAllButEphemeral } from "./ephemeral-rules.ts";
import { podAnnotationRules, profilesFromAnnotations, profilesMatchRules } from "./pod-annotations.ts";
import { podColumns } from "./pod-columns.ts";
import { defaultPod } from "./pod-defaults.ts";
import { selectByOwnLabels } from "./pod-label-keys.ts";
import { keepAllButResources, resizeRules } from "./pod-resize.ts";
import { keepObservedGenerations, podStatusUpdateRules } from "./pod-status.ts";
import { podSpecRules } from "./pod-template.ts";
import { podUpdateRules } from "./pod-update.ts";
import { podWarnings } from "./pod-warnings.ts";
import { qosClassOf } from "./resource-rules.ts";

export const pod: KindDefinition<Pod> = {
  group: "",
  version: "v1",
  kind: "Pod",
  resource: "pods",
  singular: "pod",
  shortNames: ["po"],
  categories: ["all"],
  namespaced: true,
  verbs: ALL_VERBS,
  subresources: [
    STATUS,
    { name: "binding", verbs: ["create"], kind: "Binding" },
    { name: "ephemeralcontainers", verbs: ["get", "patch", "update"], kind: "Pod" },
    { name: "eviction", verbs: ["create"], group: "policy", version: "v1", kind: "Eviction" },
    { name: "log", verbs: ["get"] },
    { name: "exec", verbs: ["create", "get"], kind: "PodExecOptions" },
    { name: "attach", verbs: ["create", "get"], kind: "PodAttachOptions" },
    { name: "portforward", verbs: ["create", "get"], kind: "PodPortForwardOptions" },
    proxyOf("Pod"),
    { name: "resize", verbs: ["get", "patch", "update"], kind: "Pod" },
  ],
  depth: "full",
  defaults: defaultPod,
  prepareForCreate: (pod) => {
    startGeneration(pod);
    pod.status = { phase: "Pending", qosClass: qosClassOf(pod) };
    if ((pod.spec.schedulingGates ?? []).length > 0) {
      pod.status.conditions = [
        {
          type: "PodScheduled",
          status: "False",
          reason: "SchedulingGated",
          message: "Scheduling is blocked due to non-empty scheduling gates",
        },
      ];
    }
    selectByOwnLabels(pod);
    profilesFromAnnotations(pod.metadata.annotations ?? {}, pod.spec);
  },
  prepareForUpdate: (pod, old) => {
    keepField(pod, old, "status");
    nextGeneration(pod, old);
  },
  prepareForStatusUpdate: (pod, old) => {
    keepField(pod, old, "spec");
    keepField(pod.metadata, old.metadata, "ownerReferences");
    // Old kubelets leave it out.
    const qosClass = pod.status?.qosClass || old.status?.qosClass;
    if (qosClass !== undefined) pod.status = { ...pod.status, qosClass };
    keepObservedGenerations(pod, old);
  },
  validate: (pod) => firstErrors(rules(pod)),
  validateUpdate: (pod, old) => firstErrors(podUpdateRules(pod, old)),
  validateCreate: (pod) => firstErrors(createRules(pod)),
  subresourceUpdates: {
    ephemeralcontainers: {
      prepare: keepAllButEphemeral,
      validate: (pod, old) => firstErrors(ephemeralUpdateRules(pod, old)),
    },
    resize: { prepare: keepAllButResources, validate: (pod, old) => firstErrors(resizeRules(pod, old)) },
  },
  validateStatusUpdate: (pod, old) => firstErrors(podStatusUpdateRules(pod, old)),
  // Who updates pods is hardly ever somebody who reads.
  warnings: (pod, old) => (old ? [] : podWarnings(pod)),
  gracePeriodSeconds: ({ spec, status }, asked) => {
    const runs = spec.nodeName && status?.phase !== "Failed" && status?.phase !== "Succeeded";
    if (!runs) return 0;
    const seconds = asked ?? spec.terminationGracePeriodSeconds ?? 0;
    return seconds < 0 ? 1 : seconds;
  },
  selectableFields: ({ spec, status }) => ({
    "spec.nodeName": spec.nodeName ?? "",
    // What clients of old call it.
    "spec.host": spec.nodeName ?? "",
    "spec.restartPolicy": spec.restartPolicy ?? "",
    "spec.schedulerName": spec.schedulerName ?? "",
    "spec.serviceAccountName": spec.serviceAccountName ?? "",
    "spec.hostNetwork": String(spec.hostNetwork === true),
    "status.phase": status?.phase ?? "",
    "status.podIP": status?.podIPs?.[0]?.ip ?? status?.podIP ?? "",
    "status.nominatedNodeName": status?.nominatedNodeName ?? "",
  }),
  columns: podColumns,
  ageColumn: false,
};

function* rules({ metadata, spec }: Pod): FieldErrors {
  yield* podAnnotationRules(metadata.annotations ?? {}, spec, "metadata.annotations");
  yield* podSpecRules(spec, "spec", { podName: metadata.name ?? "" });
  if (!spec.serviceAccountName) {
    for (const [index, { projected }] of (spec.volumes ?? []).entries()) {
      for (const [i, { serviceAccountToken }] of (projected?.sources ?? []).entries()) {
        if (!serviceAccountToken) continue;
        const path = `spec.volumes[${index}].projected.sources[${i}].serviceAccountToken`;
        yield forbidden(path, "must not be specified when serviceAccountName is not set");
      }
    }
  }
  for (const field of ["containers", "initContainers", "ephemeralContainers"] as const) {
    for (const [index, { image = "" }] of (spec[field] ?? []).entries()) {
      if (image.trim() === image) continue;
      yield invalid(`spec.${field}[${index}].image`, image, "must not have leading or trailing whitespace");
    }
  }
}

function* createRules({ metadata, spec }: Pod): FieldErrors {
  if ((spec.ephemeralContainers ?? []).length > 0)
    yield forbidden("spec.ephemeralContainers", "cannot be set on create");
  if (spec.nodeName && (spec.schedulingGates ?? []).length > 0) {
    yield forbidden("spec.nodeName", "cannot be set until all schedulingGates have been cleared");
  }
  yield* profilesMatchRules(metadata.annotations ?? {}, spec, "spec");
}
