/** Pods that have been counted, or never will be, lose the finalizer that kept them. */
import type { Pod } from "@pilothouse/api/types/core-v1";
import { isStatus } from "@pilothouse/errors";
import type { ControllerPorts } from "../../controller-ports.ts";
import type { Cause } from "../../executor.ts";
import { TRACKING_FINALIZER } from "./rules-tracking.ts";

/** Takes our finalizer away, from the pod as it was judged; undefined when it is gone. */
export async function letGo(
  { informers, executor }: Pick<ControllerPorts, "informers" | "executor">,
  pod: Pod,
  cause: Cause,
): Promise<Pod | undefined> {
  const { uid, resourceVersion } = pod.metadata;
  try {
    const metadata = { uid, resourceVersion, finalizers: finalizersWithout(pod) };
    return await executor.patch(informers.pods, pod, { metadata }, cause);
  } catch (error) {
    if (isStatus(error, "NotFound")) return undefined;
    throw error;
  }
}

export function finalizersWithout({ metadata }: Pod): string[] | null {
  return orNull((metadata.finalizers ?? []).filter((name) => name !== TRACKING_FINALIZER));
}

/** In a merge patch: an empty list is no list. */
export function orNull<T>(list: T[]): T[] | null {
  return list.length > 0 ? list : null;
}
