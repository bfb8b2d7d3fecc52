/**
 * Mutating and validating admission of creates: what upstream's default plugins look up and add or refuse. Lookups are in the
 * cache; a refusal is judged twice (C7).
 */
import type { Pod } from "@pilothouse/api/types/core-v1";
import type { Random } from "@pilothouse/clock";
import { forbidden, internalError } from "@pilothouse/errors";
import type { ApiObject, KindDefinition } from "@pilothouse/kinds/kind";
import {
  admitPriority,
  admitServiceAccount,
  admitTolerations,
  serviceAccountNameOf,
} from "@pilothouse/kinds/core/pod-admission";
import type { RequestContext } from "../../core/model.ts";
import { randomSuffix } from "../../core/names.ts";
import { nodeDeleteProblem, nodeWriteProblem } from "../../core/access/node-authorizer.ts";
import { nodeOf } from "../../core/access/users.ts";
import { known, type PriorityClass } from "../../registry/known.ts";
import { admitRequest } from "./certificate-requests.ts";
import type { CachedObjects } from "../reads/cached.ts";

/** Fills in what admission adds to a new object, in place. */
export async function admitCreate(
  cached: CachedObjects,
  random: Random,
  context: RequestContext,
  kind: KindDefinition,
  object: ApiObject,
): Promise<void> {
  judgeNodeWrite(context, kind, object, undefined);
  admitRequest(context, kind, object);
  if (kind.group === "" && kind.resource === "pods") await admitPod(cached, random, context, object as unknown as Pod);
}

/** NodeRestriction, for creates and updates alike. */
export function judgeNodeWrite(
  { user }: RequestContext,
  kind: KindDefinition,
  object: ApiObject,
  old: ApiObject | undefined,
): void {
  const node = nodeOf(user);
  const problem = node === undefined ? undefined : nodeWriteProblem(node, kind.resource, object, old);
  if (problem !== undefined) throw forbidden(kind, object.metadata.name ?? "", problem);
}

/** NodeRestriction, for deletes and evictions. */
export function judgeNodeDelete({ user, info }: RequestContext, kind: KindDefinition, object: ApiObject): void {
  const node = nodeOf(user);
  const problem = node === undefined ? undefined : nodeDeleteProblem(node, kind.resource, info.subresource, object);
  if (problem !== undefined) throw forbidden(kind, object.metadata.name ?? "", problem);
}

/** Built-in classes that exist without objects. */
const SYSTEM_CLASSES: ReadonlyMap<string, number> = new Map([
  ["system-cluster-critical", 2_000_000_000],
  ["system-node-critical", 2_000_001_000],
]);

async function admitPod(cached: CachedObjects, random: Random, { request }: RequestContext, pod: Pod): Promise<void> {
  const { signal } = request;
  const { namespace = "", name = "", annotations } = pod.metadata;
  if (annotations?.["kubernetes.io/config.mirror"] === undefined) {
    const wanted = serviceAccountNameOf(pod);
    const account = await cached.judge(() => {
      const found = cached.get(known.serviceAccounts, namespace, wanted);
      if (!found) throw accountMissing(namespace, name, wanted);
      return found;
    }, signal);
    admitServiceAccount(pod, account, randomSuffix(random));
  }
  admitPriority(pod, await cached.judge(() => priorityClassOf(cached, pod), signal));
  admitTolerations(pod);
}

const POD = { group: "", resource: "pods" } as const;

function accountMissing(namespace: string, pod: string, account: string): Error {
  return forbidden(
    POD,
    pod,
    `error looking up service account ${namespace}/${account}: serviceaccount ${JSON.stringify(account)} not found`,
  );
}

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
