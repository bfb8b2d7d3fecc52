/** Which claims a pod uses. Pure. */
import type { Pod } from "@pilothouse/api/types/core-v1";
import { claimsOf } from "@pilothouse/kinds/core/volume-binding";

export function usesClaim(
  pod: Pod,
  { namespace, name }: { readonly namespace?: string; readonly name?: string },
): boolean {
  return pod.metadata.namespace === namespace && name !== undefined && claimsOf(pod).includes(name);
}
