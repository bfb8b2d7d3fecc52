import type { Pod } from "@pilothouse/api/types/core-v1";
import { firstErrors, forbidden, invalid } from "../field-errors.ts";
import type { FieldErrors } from "../field-errors.ts";
import { keepField, nextGeneration, startGeneration } from "../isolation.ts";
import { ALL_VERBS, type KindDefinition } from "../kind.ts";
import { proxyOf, STATUS } from "../subresources.ts";
import { ephemeralUpdateRules, keepAllButEphemeral } from "./ephemeral-rules.ts";
import { podColumns } from "./pod-columns.ts";
import { defaultPod } from "./pod-defaults.ts";
import { keepAllButResources, resizeRules } from "./pod-resize.ts";
import { podSpecRules } from "./pod-template.ts";
import { podStatusUpdateRules, podUpdateRules } from "./pod-update.ts";
import { podWarnings } from "./pod-warnings.ts";
import { qosClassOf } from "./resource-rules.ts";

const MIRROR_POD = "kubernetes.io/config.mirror";

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
  },
  prepareForUpdate: (pod, old) => {
    keepField(pod, old, "status");
    nextGeneration(pod, old);
  },
  prepareForStatusUpdate: (pod, old) => {
    keepField(pod, old, "spec");
    keepField(pod.metadata, old.metadata, "ownerReferences");
    const qosClass = old.status?.qosClass;
    if (qosClass !== undefined) pod.status = { ...pod.status, qosClass };
  },
  validate: (pod) => firstErrors(rules(pod)),
  validateUpdate: (pod, old) => firstErrors(podUpdateRules(pod, old)),
  validateCreate: (pod) =>
    (pod.spec.ephemeralContainers ?? []).length > 0
      ? [forbidden("spec.ephemeralContainers", "cannot be set on create")]
      : [],
  subresourceUpdates: {
    ephemeralcontainers: {
      prepare: keepAllButEphemeral,
      validate: (pod, old) => firstErrors(ephemeralUpdateRules(pod, old)),
    },
    resize: { prepare: keepAllButResources, validate: (pod, old) => firstErrors(resizeRules(pod, old)) },
  },
  validateStatusUpdate: (pod, old) => firstErrors(podStatusUpdateRules(pod, old)),
  warnings: (pod, old) => podWarnings(pod.spec, "spec", old ? undefined : pod.metadata.name),
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

function* rules(pod: Pod): FieldErrors {
  const mirror = pod.metadata.annotations?.[MIRROR_POD];
  if (mirror !== undefined && !pod.spec.nodeName) {
    const path = `metadata.annotations[${MIRROR_POD}]`;
    yield invalid(path, mirror, "must set spec.nodeName if mirror pod annotation is set");
  }
  yield* podSpecRules(pod.spec, "spec");
  for (const field of ["containers", "initContainers"] as const) {
    for (const [index, { image = "" }] of (pod.spec[field] ?? []).entries()) {
      if (image.trim() === image) continue;
      yield invalid(`spec.${field}[${index}].image`, image, "must not have leading or trailing whitespace");
    }
  }
}
