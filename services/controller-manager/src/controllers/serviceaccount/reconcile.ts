/** The service account controller: without the account `default` no pod can be made in a namespace. */
import type { ControllerPorts } from "../../controller-ports.ts";
import { startPerNamespaceController } from "../../per-namespace.ts";
import { DEFAULT_SERVICE_ACCOUNT, plan } from "./plan.ts";

export function startServiceAccountController(ports: ControllerPorts): void {
  startPerNamespaceController(ports, {
    controller: "serviceaccount",
    objectName: DEFAULT_SERVICE_ACCOUNT,
    informer: ports.informers.serviceAccounts,
    plan,
  });
}
