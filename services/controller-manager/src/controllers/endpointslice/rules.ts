/** Which pods stand behind a Service, and on which ports. Pure; shared with the Endpoints controller. */
import type { Pod, Service, ServicePort } from "@pilothouse/api/types/core-v1";
import type { EndpointHints } from "@pilothouse/api/types/discovery-v1";
import { labelSelectorOfMap, matchesLabels } from "@pilothouse/selectors";
import { hasPodEnded, isPodReady } from "../../core/pods.ts";

export interface BackendPort {
  readonly name: string;
  readonly protocol: string;
  readonly port: number;
  readonly appProtocol?: string;
}

/** Services without a selector, and names for what lies outside, have endpoints that others keep. */
export function isManaged({ spec }: Service): boolean {
  return spec?.type !== "ExternalName" && Object.keys(spec?.selector ?? {}).length > 0;
}

export function isHeadless({ spec }: Service): boolean {
  return spec?.clusterIP === "None";
}

/** Selected, with an address, and not ended; those that are being deleted included. */
export function backends(service: Service, pods: readonly Pod[]): Pod[] {
  const selector = labelSelectorOfMap(service.spec?.selector);
  return pods.filter(
    (pod) => matchesLabels(selector, pod.metadata.labels) && !hasPodEnded(pod) && (pod.status?.podIP ?? "") !== "",
  );
}

/** The pod's ports for those of the Service; a named target that the pod has not is left out. */
export function backendPorts(service: Service, pod: Pod): BackendPort[] {
  return (service.spec?.ports ?? []).flatMap((servicePort) => {
    const port = targetPort(servicePort, pod);
    if (port === undefined) return [];
    const { name = "", protocol = "TCP", appProtocol } = servicePort;
    return [{ name, protocol, port, ...(appProtocol === undefined ? {} : { appProtocol }) }];
  });
}

/** Takes traffic: ready and staying, or published whatever its state. */
export function takesTraffic(service: Service, pod: Pod): boolean {
  if (service.spec?.publishNotReadyAddresses) return true;
  return isPodReady(pod) && pod.metadata.deletionTimestamp === undefined;
}

/** The pod's own name in a headless Service's zone, if it has one there. */
export function hostnameOf(service: Service, { metadata, spec }: Pod): string | undefined {
  const isThere = spec.subdomain === service.metadata.name && metadata.namespace === service.metadata.namespace;
  return spec.hostname && isThere ? spec.hostname : undefined;
}

/**
 * For which nodes and zones an endpoint is meant, where the Service prefers those that are near; only of what takes traffic.
 * `PreferSameNode` names the zone too: who finds nobody on its own node stays in its zone.
 */
export function hintsOf(
  { spec }: Service,
  ready: boolean,
  nodeName: string | undefined,
  zone: string | undefined,
): { hints?: EndpointHints } {
  const preference = spec?.trafficDistribution;
  if (!ready || preference === undefined || preference === "") return {};
  const forZones = zone === undefined ? {} : { forZones: [{ name: zone }] };
  const forNodes = preference === "PreferSameNode" && nodeName ? { forNodes: [{ name: nodeName }] } : {};
  const hints = { ...forNodes, ...forZones };
  return Object.keys(hints).length === 0 ? {} : { hints };
}

/** Labels that an object for a Service's endpoints gets from the Service. */
export function inheritedLabels(service: Service): Record<string, string> {
  const { "service.kubernetes.io/headless": _ownMark, ...labels } = service.metadata.labels ?? {};
  return isHeadless(service) ? { ...labels, "service.kubernetes.io/headless": "" } : labels;
}

function targetPort({ port, targetPort, protocol = "TCP" }: ServicePort, { spec }: Pod): number | undefined {
  if (targetPort === undefined || targetPort === 0 || targetPort === "") return port;
  if (typeof targetPort === "number") return targetPort;
  const restartable = (spec.initContainers ?? []).filter(({ restartPolicy }) => restartPolicy === "Always");
  const ports = [...spec.containers, ...restartable].flatMap((container) => container.ports ?? []);
  return ports.find((candidate) => candidate.name === targetPort && (candidate.protocol ?? "TCP") === protocol)
    ?.containerPort;
}
