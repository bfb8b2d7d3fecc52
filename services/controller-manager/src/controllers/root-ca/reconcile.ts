/** The root CA publisher: ConfigMap kube-root-ca.crt in every namespace, as it should be. */
import type { ControllerPorts } from "../../controller-ports.ts";
import { startPerNamespaceController } from "../../per-namespace.ts";
import { plan, ROOT_CA_CONFIG_MAP } from "./plan.ts";

export function startRootCaController(ports: ControllerPorts): void {
  startPerNamespaceController(ports, {
    controller: "root-ca-certificate-publisher",
    objectName: ROOT_CA_CONFIG_MAP,
    informer: ports.informers.configMaps,
    plan: (namespace, actual) => plan(ports.config.rootCa(), namespace, actual),
    onPlanChange: ports.onRootCaChange,
  });
}
