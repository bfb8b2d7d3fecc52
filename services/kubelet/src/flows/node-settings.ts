import type { NodePlaces } from "../core/container-config.ts";
import type { ClusterDns } from "../core/dns.ts";

/** What is fixed while the kubelet runs. */
export interface NodeSettings {
  readonly places: NodePlaces;
  readonly nodeIp: string;
  readonly clusterDns: ClusterDns;
  readonly allocatable: { readonly cpu: string; readonly memory: string };
}
