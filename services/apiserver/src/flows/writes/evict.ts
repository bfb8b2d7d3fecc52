/**
 * POST pods/eviction: a delete that the pod's disruption budget may refuse. What it costs is spent in the delete's own transaction:
 * upstream spends first and deletes then.
 */
import type { ApiResponse } from "@pilothouse/api/http";
import type { Pod, PodCondition } from "@pilothouse/api/types/core-v1";
import type { DeleteOptions } from "@pilothouse/api/types/meta-v1";
import type { PodDisruptionBudget } from "@pilothouse/api/types/policy-v1";
import { badRequest, forbidden, StatusError } from "@pilothouse/errors";
import type { ApiObject, GroupVersionKind } from "@pilothouse/kinds/kind";
import { evictionVerdict, isBeyondBudgets, isGuardedBy } from "@pilothouse/kinds/policy/disruptions";
import { checkDeleteOptions, wholeSeconds } from "../../core/delete-rules.ts";
import type { RequestContext } from "../../core/model.ts";
import { writeOptionsOf } from "../../core/options.ts";
import { objectAnswer } from "../../core/wire.ts";
import { known } from "../../registry/known.ts";
import { deleteObject, type Guard } from "./delete.ts";
import { bodyOf, STATUS_KIND, SUCCESS } from "./subresources.ts";
import type { WriteDeps } from "./write-deps.ts";

const EVICTION: GroupVersionKind = { group: "policy", version: "v1", kind: "Eviction" };
const BUDGETS = known.podDisruptionBudgets.kind;
const REFUSAL = "Cannot evict pod as it would violate the pod's disruption budget.";
const SEVERAL = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";

export async function evictPod(deps: WriteDeps, context: RequestContext): Promise<ApiResponse> {
  const { request, info } = context;
  const asked = writeOptionsOf("CreateOptions", request.query, request.headers["user-agent"]);
  const eviction = bodyOf(context, EVICTION, asked);
  if (eviction.metadata.name && eviction.metadata.name !== info.name) {
    throw badRequest("name in URL does not match name in Eviction object");
  }
  const options: DeleteOptions = { ...(eviction["deleteOptions"] as DeleteOptions | undefined) };
  if (asked.dryRun) options.dryRun = ["All"];
  checkDeleteOptions(options);
  const evict = () =>
    deleteObject(deps, context, known.pods.kind, info.namespace, info.name, options, (object) =>
      guarded(deps, context, object),
    );
  // One after the other: at once they would only lose races for the same budget.
  await deps.turns.take(`evictions in ${info.namespace}`, async () => {
    // That no budget guards a pod is never concluded from a cache that may be behind.
    await deps.cached.cache.waitUntilCurrent(request.signal);
    await evict();
  });
  return objectAnswer(request.headers["accept"], 201, SUCCESS, STATUS_KIND);
}

const guarded = async (
  deps: WriteDeps,
  { span }: RequestContext,
  object: ApiObject,
): Promise<Awaited<ReturnType<Guard>>> => {
  const pod = object as unknown as Pod;
  const now = wholeSeconds(deps.time.clock.now());
  const mark = (marked: ApiObject): void => setDisruptionTarget(marked as unknown as Pod, now);
  if (isBeyondBudgets(pod)) return { mark };
  const budgets = [...deps.cached.list(known.podDisruptionBudgets, pod.metadata.namespace ?? "")];
  const [budget, another] = budgets.filter((one) => isGuardedBy(pod, one));
  if (!budget) return { mark };
  if (another) throw new StatusError(500, "InternalError", SEVERAL);
  const verdict = evictionVerdict(pod, budget, now);
  if (verdict.kind === "spent") throw refusal(verdict.cause, verdict.retryAfterSeconds);
  if (verdict.kind === "broken") {
    throw forbidden({ group: "policy", resource: "poddisruptionbudget" }, budget.metadata.name ?? "", verdict.why);
  }
  const next: PodDisruptionBudget | undefined =
    verdict.kind === "spends" ? { ...budget, status: verdict.status } : undefined;
  return { mark, alongside: deps.beside(BUDGETS, budget, next, span.context) };
};

function refusal(cause: string, retryAfterSeconds: number): StatusError {
  return new StatusError(429, "TooManyRequests", REFUSAL, {
    ...(retryAfterSeconds > 0 ? { retryAfterSeconds } : {}),
    causes: [{ reason: "DisruptionBudget", message: cause }],
  });
}

function setDisruptionTarget(pod: Pod, now: string): void {
  const target: PodCondition = {
    type: "DisruptionTarget",
    status: "True",
    reason: "EvictionByEvictionAPI",
    message: "Eviction API: evicting",
    lastTransitionTime: now,
  };
  const others = (pod.status?.conditions ?? []).filter(({ type }) => type !== target.type);
  pod.status = { ...pod.status, conditions: [...others, target] };
}
