/** Users of a pod's own, which are nobody on the host. Pure. */
import type { RuntimeStatus } from "@pilothouse/runtime";

/**
 * Why a pod that wants them cannot have them, in upstream's words as far as it has any: nobody gets less isolation than asked for
 * without being told.
 */
export function userNamespaceProblem({ handlers = [] }: RuntimeStatus, handler: string): string {
  const found = handlers.find(({ name }) => name === handler);
  if (!found) return `the handler ${JSON.stringify(handler)} is not known`;
  if (!found.userNamespaces) return `RuntimeClass handler ${JSON.stringify(handler)} does not support user namespaces`;
  return "user namespaces are not supported by this kubelet";
}
