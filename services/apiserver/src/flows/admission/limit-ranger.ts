/** Pods and claims stay within their namespace's LimitRanges; containers that say nothing get what those say. */
import type { LimitRange, PersistentVolumeClaim, Pod } from "@pilothouse/api/types/core-v1";
import { forbidden } from "@pilothouse/errors";
import { claimLimitProblems, defaultFromLimitRange, podLimitProblems } from "@pilothouse/kinds/core/limit-ranger";
import { known } from "../../registry/known.ts";
import type { AdmissionPlugin, AdmissionRequest } from "./admission.ts";

export const limitRanger: AdmissionPlugin = {
  name: "LimitRanger",
  operations: ["CREATE", "UPDATE"],
  resources: ["pods", "persistentvolumeclaims"],
  admit({ cached }, request) {
    if (!isPod(request) || request.operation !== "CREATE") return;
    const pod = request.object as unknown as Pod;
    for (const range of cached.list(known.limitRanges, pod.metadata.namespace ?? "")) defaultFromLimitRange(pod, range);
  },
  // What a pod asks for is settled when it is created.
  async validate({ cached }, request) {
    const { object, kind, context, operation } = request;
    if (!object || (isPod(request) && operation === "UPDATE")) return;
    const { name = "", namespace = "" } = object.metadata;
    const problemsOf = isPod(request)
      ? (range: LimitRange) => podLimitProblems(object as unknown as Pod, range)
      : (range: LimitRange) => claimLimitProblems(object as unknown as PersistentVolumeClaim, range);
    await cached.judge(() => {
      for (const range of cached.list(known.limitRanges, namespace)) {
        const problems = [...new Set(problemsOf(range))];
        if (problems.length === 0) continue;
        throw forbidden(kind, name, problems.length === 1 ? (problems[0] as string) : `[${problems.join(", ")}]`);
      }
    }, context.request.signal);
  },
};

function isPod({ kind }: AdmissionRequest): boolean {
  return kind.resource === "pods";
}
