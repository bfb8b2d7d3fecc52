/** How a process other than the apiserver reaches the API: a kubeconfig, and more addresses where there are several apiservers. */
import { createApiClient } from "@pilothouse/client/api-client";
import type { ApiClient } from "@pilothouse/client";
import { kubeconfigTransports } from "@pilothouse/client/kubeconfig";
import type { Settings, Values } from "@pilothouse/config";
import type { ProcessPorts } from "./index.ts";

export const apiAccessSettings = {
  kubeconfig: { type: "string", help: "Kubeconfig with the process's own identity.", required: true },
  "api-servers": { type: "list", help: "URLs of all apiservers; the kubeconfig's own when left out.", default: [] },
} as const satisfies Settings;

/** `fence` names the current leadership for elected processes (C11). */
export function openApi(
  name: string,
  values: Values<typeof apiAccessSettings>,
  ports: ProcessPorts,
  fence?: () => string | undefined,
): ApiClient {
  const transports = kubeconfigTransports(values.kubeconfig, values["api-servers"], ports.clock);
  for (const transport of transports) ports.scope.defer(() => transport.close());
  return createApiClient({ transports, userAgent: `pilothouse-${name}`, ...(fence ? { fence } : {}) });
}
