/** Turns the class that a pod names, or the cluster's default one, into a number; and lets only one class be the default. */
import type { Pod } from "@pilothouse/api/types/core-v1";
import type { PriorityClass } from "@pilothouse/api/types/scheduling-v1";
import { forbidden, internalError } from "@pilothouse/errors";
import { admitPriority } from "@pilothouse/kinds/core/pod-admission";
import { known } from "../../registry/known.ts";
import type { CachedObjects } from "../reads/cached.ts";
import type { AdmissionPlugin } from "./admission.ts";

const CLASSES = known.priorityClasses.kind;

export const priority: AdmissionPlugin = {
  name: "Priority",
  operations: ["CREATE", "UPDATE"],
  resources: ["pods", "scheduling.k8s.io/priorityclasses"],
  async admit({ cached }, { operation, kind, object, old, context }) {
    if (kind.resource !== "pods") return;
    const pod = object as unknown as Pod;
    if (operation === "UPDATE") keepPriority(pod, old as unknown as Pod);
    else admitPriority(pod, await cached.judge(() => priorityClassOf(cached, pod), context.request.signal));
  },
  async validate({ cached }, { kind, object, context }) {
    if (kind !== CLASSES) return;
    const { metadata, globalDefault } = object as unknown as PriorityClass;
    if (globalDefault !== true) return;
    // That there is no other one is never concluded from a cache that may be behind.
    await cached.cache.waitUntilCurrent(context.request.signal);
    const other = defaultClass(cached);
    if (!other || other.metadata.name === metadata.name) return;
    const why = `PriorityClass ${other.metadata.name ?? ""} is already marked as default. Only one default can exist`;
    throw forbidden(CLASSES, metadata.name ?? "", why);
  },
};

const POD = { group: "", resource: "pods" } as const;

interface PriorityOfClass {
  readonly name: string;
  readonly value: number;
  readonly preemptionPolicy?: string;
}

/** Who updates a pod with an older client's object does not take its priority away. */
function keepPriority({ spec }: Pod, { spec: old }: Pod): void {
  if (spec.priority === undefined && old.priority !== undefined) spec.priority = old.priority;
  if (spec.preemptionPolicy === undefined && old.preemptionPolicy !== undefined)
    spec.preemptionPolicy = old.preemptionPolicy;
}

/** Throws 403 for a class that does not exist, and for a pod that names another priority or policy than its class. */
function priorityClassOf(cached: CachedObjects, { spec, metadata }: Pod): PriorityOfClass | undefined {
  const refuse = (why: string) => forbidden(POD, metadata.name ?? "", why);
  const wanted = spec.priorityClassName;
  const found = wanted ? cached.get(known.priorityClasses, "", wanted) : defaultClass(cached);
  if (wanted && !found) throw refuse(`no PriorityClass with name ${wanted} was found`);
  const computed = found?.value ?? 0;
  const computedBy = "priority admission controller computed";
  const from = "from the given PriorityClass name";
  if (spec.priority !== undefined && spec.priority !== computed) {
    const given = `the integer value of priority (${spec.priority})`;
    throw refuse(`${given} must not be provided in pod spec; ${computedBy} ${computed} ${from}`);
  }
  const policy = found ? found.preemptionPolicy : "PreemptLowerPriority";
  if (policy !== undefined && spec.preemptionPolicy !== undefined && spec.preemptionPolicy !== policy) {
    const given = `the string value of PreemptionPolicy (${spec.preemptionPolicy})`;
    throw refuse(`${given} must not be provided in pod spec; ${computedBy} ${policy} ${from}`);
  }
  return found && classOf(found);
}

/** Two at once may have become the default: the lower one is it. */
function defaultClass(cached: CachedObjects): PriorityClass | undefined {
  let lowest: PriorityClass | undefined;
  for (const found of cached.list(known.priorityClasses, "")) {
    if (found.globalDefault && (!lowest || found.value < lowest.value)) lowest = found;
  }
  return lowest;
}

function classOf({ metadata, value, preemptionPolicy }: PriorityClass): PriorityOfClass {
  if (metadata.name === undefined) throw internalError("a PriorityClass without a name");
  return { name: metadata.name, value, ...(preemptionPolicy === undefined ? {} : { preemptionPolicy }) };
}
