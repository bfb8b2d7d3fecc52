/** Turns the class that a pod names, or the cluster's default one, into a number. */
import type { Pod } from "@pilothouse/api/types/core-v1";
import { forbidden, internalError } from "@pilothouse/errors";
import { admitPriority } from "@pilothouse/kinds/core/pod-admission";
import { known, type PriorityClass } from "../../registry/known.ts";
import type { CachedObjects } from "../reads/cached.ts";
import type { AdmissionPlugin } from "./admission.ts";

export const priority: AdmissionPlugin = {
  name: "Priority",
  operations: ["CREATE"],
  resources: ["pods"],
  async admit({ cached }, { object, context }) {
    const pod = object as unknown as Pod;
    admitPriority(pod, await cached.judge(() => priorityClassOf(cached, pod), context.request.signal));
  },
};

const POD = { group: "", resource: "pods" } as const;

/** Built-in classes that exist without objects. */
const SYSTEM_CLASSES: ReadonlyMap<string, number> = new Map([
  ["system-cluster-critical", 2_000_000_000],
  ["system-node-critical", 2_000_001_000],
]);

interface PriorityOfClass {
  readonly name: string;
  readonly value: number;
  readonly preemptionPolicy?: string;
}

/** Throws 403 for a class that does not exist, and for a pod that names another priority than its class. */
function priorityClassOf(cached: CachedObjects, pod: Pod): PriorityOfClass | undefined {
  const found = namedClass(cached, pod) ?? defaultClass(cached, pod);
  const given = pod.spec.priority;
  const computed = found?.value ?? 0;
  if (given !== undefined && given !== computed) {
    const why = `the integer value of priority (${given}) must not be provided in pod spec; priority admission controller computed ${computed} from the given PriorityClass name`;
    throw forbidden(POD, pod.metadata.name ?? "", why);
  }
  return found;
}

function namedClass(cached: CachedObjects, { spec, metadata }: Pod): PriorityOfClass | undefined {
  const wanted = spec.priorityClassName;
  if (!wanted) return undefined;
  const builtIn = SYSTEM_CLASSES.get(wanted);
  if (builtIn !== undefined) return { name: wanted, value: builtIn };
  const found = cached.get(known.priorityClasses, "", wanted);
  if (!found) throw forbidden(POD, metadata.name ?? "", `no PriorityClass with name ${wanted} was found`);
  return classOf(found);
}

function defaultClass(cached: CachedObjects, { spec }: Pod): PriorityOfClass | undefined {
  if (spec.priorityClassName) return undefined;
  for (const found of cached.list(known.priorityClasses, "")) {
    if (found.globalDefault) return classOf(found);
  }
  return undefined;
}

function classOf({ metadata, value, preemptionPolicy }: PriorityClass): PriorityOfClass {
  if (metadata.name === undefined) throw internalError("a PriorityClass without a name");
  return { name: metadata.name, value, ...(preemptionPolicy === undefined ? {} : { preemptionPolicy }) };
}
