/**
 * The next step of a rollout. Pure.
 *
 * plan(Deployment, ReplicaSets that could concern it, pods) says which ReplicaSets to adopt, let go, create, update or delete. One
 * step at a time: the next one is decided when the pods have followed. As upstream: rolling update and recreate, proportional
 * scaling, pause, rollback by template, revisions, history limit.
 */
import type { Deployment, ReplicaSet } from "@pilothouse/api/types/apps-v1";
import { labelSelectorOf, selectsEverything } from "@pilothouse/selectors";
import { hashSuffix } from "../../core/names.ts";
import { claim, controllerReference } from "../../core/ownership.ts";
import {
  annotationNames,
  findNewReplicaSet,
  isRollingUpdate,
  maxSurge,
  nameOf,
  replicasOf,
  revisionOf,
  TEMPLATE_HASH_LABEL,
  templateText,
} from "./rules.ts";
import {
  active,
  isScalingEvent,
  newReplicaSetSize,
  resizeNew,
  scaleAll,
  shrinkOld,
  type Resize,
} from "./plan-scale.ts";
import { isComplete, type Rollout } from "./plan-status.ts";

export interface DeploymentPlan {
  readonly adopt: readonly ReplicaSet[];
  readonly release: readonly ReplicaSet[];
  readonly create: ReplicaSet | undefined;
  readonly updates: readonly ReplicaSetUpdate[];
  readonly deletes: readonly ReplicaSet[];
  /** `resting` while paused, resized or deleted: progress is neither made nor missed. */
  readonly pace: "rolling out" | "resting";
  readonly rollout: Rollout;
  /** The Deployment's revision annotation, when there is a ReplicaSet of its template. */
  readonly revision: string | undefined;
}

export interface ReplicaSetUpdate {
  readonly before: ReplicaSet;
  readonly after: ReplicaSet;
}

/** Annotations of a Deployment that its ReplicaSets do not inherit. */
const OWN_ANNOTATIONS: ReadonlySet<string> = new Set([
  "kubectl.kubernetes.io/last-applied-configuration",
  "deprecated.deployment.rollback.to",
  ...Object.values(annotationNames),
]);

const MAX_HISTORY_CHARS = 2_000;

/**
 * @param candidates ReplicaSets that the Deployment controls, and those of its namespace that nobody does
 * @param hasRunningPods true while a ReplicaSet has pods that have not ended, also such that are being deleted
 */
export function plan(
  deployment: Deployment,
  candidates: readonly ReplicaSet[],
  hasRunningPods: (replicaSet: ReplicaSet) => boolean,
): DeploymentPlan {
  const selector = labelSelectorOf(deployment.spec.selector);
  const { owned, adopt, release } = claim(deployment, selectsEverything(selector) ? "nothing" : selector, candidates);
  const fresh = findNewReplicaSet(deployment, owned);
  const old = owned.filter((replicaSet) => replicaSet !== fresh);
  const rollout = { deployment, fresh, old };
  const nothing: DeploymentPlan = {
    adopt,
    release,
    create: undefined,
    updates: [],
    deletes: [],
    pace: "resting",
    rollout,
    revision: undefined,
  };
  // Adopted ones are another revision afterwards: everything else waits until that is seen.
  if (adopt.length + release.length > 0 || deployment.metadata.deletionTimestamp !== undefined) return nothing;
  return { ...nothing, ...nextStep(rollout, hasRunningPods) };
}

type Step = Pick<DeploymentPlan, "pace"> & Partial<Pick<DeploymentPlan, "create" | "updates" | "deletes" | "revision">>;

function nextStep(rollout: Rollout, hasRunningPods: (replicaSet: ReplicaSet) => boolean): Step {
  const { deployment, fresh, old } = rollout;
  const { paused } = deployment.spec;
  const inherited = fresh ? inherit(deployment, fresh, old) : undefined;
  const revision = inherited?.metadata.annotations?.[annotationNames.revision];
  const step = (pace: Step["pace"], resizes: readonly Resize[], reannotate: readonly ReplicaSet[] = []): Step => ({
    pace,
    updates: merged(deployment, fresh, inherited, resizes, reannotate),
    revision,
  });
  if (paused || isScalingEvent(deployment, [...old, ...(fresh ? [fresh] : [])])) {
    const resizes = scaleAll(deployment, fresh, old);
    const resting = step("resting", resizes, active(fresh ? [...old, fresh] : old));
    return paused ? { ...resting, deletes: beyondHistory(deployment, old) } : resting;
  }
  if (!isRollingUpdate(deployment)) {
    const shrinking = active(old).map((replicaSet) => ({ replicaSet, to: 0 }));
    if (shrinking.length > 0) return step("rolling out", shrinking);
    if (old.some(hasRunningPods)) return step("rolling out", []);
  }
  if (!fresh) {
    const create = newReplicaSet(deployment, old);
    return { pace: "rolling out", create, revision: create.metadata.annotations?.[annotationNames.revision] };
  }
  const growing = resizeNew(deployment, fresh, old);
  if (growing) return step("rolling out", [growing]);
  const shrinking = isRollingUpdate(deployment) ? shrinkOld(deployment, fresh, old) : [];
  if (shrinking.length > 0 || !isComplete(deployment, deployment.status)) return step("rolling out", shrinking);
  return { ...step("rolling out", []), deletes: beyondHistory(deployment, old) };
}

function newReplicaSet(deployment: Deployment, old: readonly ReplicaSet[]): ReplicaSet {
  const { name = "", namespace = "" } = deployment.metadata;
  const { template, selector, minReadySeconds } = deployment.spec;
  const hash = hashSuffix(`${templateText(template)}#${deployment.status?.collisionCount ?? ""}`);
  const labels = { ...template.metadata?.labels, [TEMPLATE_HASH_LABEL]: hash };
  const replicas = newReplicaSetSize(deployment, old, 0);
  return {
    metadata: {
      name: `${name}-${hash}`,
      namespace,
      labels,
      annotations: {
        ...inheritedAnnotations(deployment),
        ...sizeAnnotations(deployment),
        [annotationNames.revision]: String(nextRevision(old)),
      },
      ownerReferences: [controllerReference({ ...deployment, apiVersion: "apps/v1", kind: "Deployment" })],
    },
    spec: {
      replicas,
      selector: { ...selector, matchLabels: { ...selector?.matchLabels, [TEMPLATE_HASH_LABEL]: hash } },
      template: { ...template, metadata: { ...template.metadata, labels } },
      ...(minReadySeconds === undefined ? {} : { minReadySeconds }),
    },
  };
}

/** The new ReplicaSet as it should be: the Deployment's annotations and minReadySeconds, and the highest revision. */
function inherit(deployment: Deployment, fresh: ReplicaSet, old: readonly ReplicaSet[]): ReplicaSet {
  const annotations = { ...fresh.metadata.annotations, ...inheritedAnnotations(deployment) };
  const [before, next] = [revisionOf(fresh), nextRevision(old)];
  if (before < next) {
    annotations[annotationNames.revision] = String(next);
    if (before > 0) annotations[annotationNames.revisionHistory] = withHistory(annotations, before);
  }
  const { minReadySeconds } = deployment.spec;
  const spec = minReadySeconds === undefined ? fresh.spec : { ...fresh.spec, minReadySeconds };
  return { ...fresh, metadata: { ...fresh.metadata, annotations }, spec };
}

function withHistory(annotations: Readonly<Record<string, string>>, revision: number): string {
  const history = (annotations[annotationNames.revisionHistory] ?? "").split(",").filter((part) => part !== "");
  const all = [...history, String(revision)];
  while (all.join(",").length > MAX_HISTORY_CHARS) all.shift();
  return all.join(",");
}

function nextRevision(old: readonly ReplicaSet[]): number {
  return Math.max(0, ...old.map(revisionOf)) + 1;
}

function inheritedAnnotations({ metadata }: Deployment): Record<string, string> {
  return Object.fromEntries(Object.entries(metadata.annotations ?? {}).filter(([name]) => !OWN_ANNOTATIONS.has(name)));
}

function sizeAnnotations(deployment: Deployment): Record<string, string> {
  return {
    [annotationNames.desiredReplicas]: String(replicasOf(deployment)),
    [annotationNames.maxReplicas]: String(replicasOf(deployment) + maxSurge(deployment)),
  };
}

/** One update for each ReplicaSet of which size, size annotations or inheritance change. */
function merged(
  deployment: Deployment,
  fresh: ReplicaSet | undefined,
  inherited: ReplicaSet | undefined,
  resizes: readonly Resize[],
  reannotate: readonly ReplicaSet[],
): ReplicaSetUpdate[] {
  const touched = new Set([...(fresh ? [fresh] : []), ...resizes.map(({ replicaSet }) => replicaSet), ...reannotate]);
  const updates = [...touched].map((before) => {
    const base = before === fresh && inherited ? inherited : before;
    const resize = resizes.find(({ replicaSet }) => replicaSet === before);
    if (!resize && !reannotate.includes(before)) return { before, after: base };
    const annotations = { ...base.metadata.annotations, ...sizeAnnotations(deployment) };
    const replicas = resize?.to ?? replicasOf(before);
    return {
      before,
      after: { ...base, metadata: { ...base.metadata, annotations }, spec: { ...base.spec, replicas } },
    };
  });
  return updates.filter(({ before, after }) => isOther(before, after));
}

function isOther(a: ReplicaSet, b: ReplicaSet): boolean {
  if (replicasOf(a) !== replicasOf(b) || (a.spec.minReadySeconds ?? 0) !== (b.spec.minReadySeconds ?? 0)) return true;
  const [before, after] = [a.metadata.annotations ?? {}, b.metadata.annotations ?? {}];
  return Object.keys(after).some((name) => after[name] !== before[name]);
}

/** Old ReplicaSets without pods beyond the history limit, lowest revisions first. */
function beyondHistory({ spec }: Deployment, old: readonly ReplicaSet[]): ReplicaSet[] {
  const limit = spec.revisionHistoryLimit ?? 10;
  const byRevision = old
    .filter(({ metadata }) => metadata.deletionTimestamp === undefined)
    .sort((a, b) => revisionOf(a) - revisionOf(b) || (nameOf(a) < nameOf(b) ? -1 : 1));
  return byRevision.slice(0, Math.max(0, byRevision.length - limit)).filter(({ metadata, spec, status }) => {
    const seen = (metadata.generation ?? 0) <= (status?.observedGeneration ?? 0);
    return seen && (spec.replicas ?? 1) === 0 && (status?.replicas ?? 0) === 0;
  });
}
