/** How a process other than the apiserver reaches the API: a kubeconfig, and more addresses where there are several apiservers. */
import { createApiClient } from "@pilothouse/client/api-client";
import type { ApiClient } from "@pilothouse/client";
import { kubeconfigTransports, loadKubeconfig } from "@pilothouse/client/kubeconfig";
import type { Settings, Values } from "@pilothouse/config";
import { watchTlsSet, type TlsPorts } from "./tls-files.ts";

export const apiAccessSettings = {
  kubeconfig: { type: "string", help: "Kubeconfig with the process's own identity.", required: true },
  "api-servers": { type: "list", help: "URLs of all apiservers; the kubeconfig's own when left out.", default: [] },
} as const satisfies Settings;

/** The kubeconfig, and the files that it names, are read again when they change. `fence` names the current leadership for elected processes (C11). */
export function openApi(
  name: string,
  values: Values<typeof apiAccessSettings>,
  ports: TlsPorts,
  fence?: () => string | undefined,
): ApiClient {
  const config = watchTlsSet(
    "kubeconfig",
    (text) => loadKubeconfig(values.kubeconfig, text),
    ({ ca, clientCertificate: certificate, clientKey: key }) => ({
      ca,
      ...(certificate === undefined ? {} : { certificate }),
      ...(key === undefined ? {} : { key }),
    }),
    ports,
  );
  const transports = kubeconfigTransports(config.current(), values["api-servers"], ports.clock);
  for (const transport of transports) {
    ports.scope.defer(() => transport.close());
    config.follow((identity) => transport.renew(identity));
  }
  return createApiClient({ transports, userAgent: `pilothouse-${name}`, ...(fence ? { fence } : {}) });
}
