/** Every active namespace has the ServiceAccount `default`; what a user does to it is left alone. Pure. */
import type { Namespace, ServiceAccount } from "@pilothouse/api/types/core-v1";
import type { PerNamespaceAction } from "../../core/per-namespace.ts";

export const DEFAULT_SERVICE_ACCOUNT = "default";

export function plan(
  { metadata, status }: Namespace,
  actual: ServiceAccount | undefined,
): PerNamespaceAction<ServiceAccount> {
  const isLeaving = metadata.deletionTimestamp !== undefined || status?.phase === "Terminating";
  if (actual || isLeaving) return { do: "nothing" };
  return {
    do: "create",
    object: { metadata: { name: DEFAULT_SERVICE_ACCOUNT, namespace: metadata.name ?? "" } },
  };
}
