/**
 * The scale subresource: how many replicas a workload has, read and written as an `autoscaling/v1` Scale of its own.
 *
 * Fields are owned as the workload's: who applies a Scale is in conflict with whoever owns the workload's `spec.replicas`.
 */
import { atOnce } from "@pilothouse/api/steps";
import type { ApiResponse } from "@pilothouse/api/http";
import { invalid, notFound } from "@pilothouse/errors";
import type { ApiObject, KindDefinition } from "@pilothouse/kinds/kind";
import { shown } from "@pilothouse/kinds/columns";
import { wholeSeconds } from "../../core/delete-rules.ts";
import type { RequestContext } from "../../core/model.ts";
import { writeOptionsOf, type WriteOptions } from "../../core/options.ts";
import { applyPatch, judgePatchOptions, patchTypeOf, readConfiguration } from "../../core/patch-request.ts";
import { SCALE_KIND, scaleOf, withScale } from "../../core/scale.ts";
import { apiVersionOf, canonical } from "../../core/wire.ts";
import { writtenAnswer } from "./create.ts";
import { bodyOf, withIdentity } from "./subresources.ts";
import { change, type Change } from "./update.ts";
import type { WriteDeps } from "./write-deps.ts";

export async function getScale(deps: WriteDeps, context: RequestContext, kind: KindDefinition): Promise<ApiResponse> {
  const { info } = context;
  const stored = await deps.objects.read(kind, info.namespace, info.name);
  if (!stored) throw notFound(kind, info.name);
  return answer(deps, context, stored.object);
}

export async function updateScale(
  deps: WriteDeps,
  context: RequestContext,
  kind: KindDefinition,
): Promise<ApiResponse> {
  const options = writeOptionsOf("UpdateOptions", context.request.query, context.request.headers["user-agent"]);
  const scale = bodyOf(context, SCALE_KIND, options);
  judge(scale);
  const { resourceVersion, uid } = scale.metadata;
  const next = (old: () => ApiObject): ApiObject =>
    withIdentity(withScale(old(), scale), {
      ...(resourceVersion ? { resourceVersion } : {}),
      ...(uid ? { uid } : {}),
    });
  const changed = await change(deps, context, kind, { options, next });
  return answer(deps, context, changed.object);
}

export async function patchScale(deps: WriteDeps, context: RequestContext, kind: KindDefinition): Promise<ApiResponse> {
  const { request } = context;
  const options = writeOptionsOf("PatchOptions", request.query, request.headers["user-agent"]);
  const type = patchTypeOf(request.headers["content-type"]);
  judgePatchOptions(type, options, request.query);
  const wish = type === "apply" ? applied(deps, context, kind, options) : patched(deps, context, kind, options);
  const changed = await change(deps, context, kind, { options, ...wish });
  return answer(deps, context, changed.object);
}

type Wish = Pick<Change, "next" | "isApplied">;

function patched(deps: WriteDeps, context: RequestContext, kind: KindDefinition, options: WriteOptions): Wish {
  const { request, info, warn } = context;
  const type = patchTypeOf(request.headers["content-type"]);
  const scaleKind: KindDefinition = { ...kind, ...SCALE_KIND };
  const write = { type, body: request.body, kind: scaleKind, options, subresource: info.subresource };
  return {
    next: (old) => {
      const time = wholeSeconds(deps.time.clock.now());
      const scale = atOnce(applyPatch(write, () => scaleOf(old()), time, warn));
      judge(scale);
      const { resourceVersion } = scale.metadata;
      return withIdentity(withScale(old(), scale), resourceVersion ? { resourceVersion } : {});
    },
  };
}

/** The Scale's number as a configuration of the workload, by the same manager. */
function applied(deps: WriteDeps, context: RequestContext, kind: KindDefinition, options: WriteOptions): Wish {
  const { request, info, warn } = context;
  const { fieldValidation } = options;
  const scale = atOnce(readConfiguration({ body: request.body, kind: SCALE_KIND, fieldValidation }, warn));
  judge(scale);
  const { namespace, uid, resourceVersion } = scale.metadata;
  const { replicas } = (scale["spec"] as { replicas?: number } | undefined) ?? {};
  const configuration = {
    apiVersion: apiVersionOf(kind),
    kind: kind.kind,
    metadata: { name: info.name, namespace, uid, resourceVersion },
    spec: { replicas },
  };
  const body = Buffer.from(JSON.stringify(configuration));
  const write = { type: "apply", body, kind, options, subresource: info.subresource } as const;
  return {
    isApplied: true,
    next: (old) => atOnce(applyPatch(write, old, wholeSeconds(deps.time.clock.now()), warn)),
  };
}

function judge(scale: ApiObject): void {
  const { replicas = 0 } = (scale["spec"] as { replicas?: number } | undefined) ?? {};
  if (replicas >= 0) return;
  const detail = "must be greater than or equal to 0";
  throw invalid(SCALE_KIND, scale.metadata.name ?? "", [
    { type: "FieldValueInvalid", field: "spec.replicas", value: replicas, detail },
  ]);
}

interface Numbers {
  readonly spec?: { readonly replicas?: number };
  readonly status?: { readonly replicas?: number };
}

/** Nothing is stored as such: it is there for how a Scale is shown. */
const SHOWN: KindDefinition = {
  ...SCALE_KIND,
  resource: "scales",
  singular: "scale",
  shortNames: [],
  categories: [],
  namespaced: true,
  verbs: [],
  subresources: [],
  depth: "full",
  columns: [
    shown("Desired", (scale) => (scale as Numbers).spec?.replicas ?? 0, "How many replicas are wanted.", "integer"),
    shown("Available", (scale) => (scale as Numbers).status?.replicas ?? 0, "How many there are.", "integer"),
  ],
};

function answer(deps: WriteDeps, context: RequestContext, object: ApiObject): ApiResponse {
  const scale = canonical(scaleOf(object), SCALE_KIND);
  return writtenAnswer(deps, { ...context, kind: SHOWN }, SHOWN, 200, { object: scale });
}
