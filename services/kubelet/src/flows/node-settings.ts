import type { Node } from "@pilothouse/api/types/core-v1";
import type { Pressure } from "../core/admission.ts";
import type { NodeShare } from "../core/cgroups.ts";
import type { NodePlaces } from "../core/container-config.ts";
import type { ClusterDns } from "../core/dns.ts";

/** What is fixed while the kubelet runs. */
export interface NodeSettings {
  readonly places: NodePlaces;
  readonly nodeIp: string;
  readonly clusterDns: ClusterDns;
  /** Sysctls beside the safe ones that pods may set. */
  readonly allowedUnsafeSysctls: readonly string[];
  /** The machine enforces AppArmor's profiles. */
  readonly appArmor: boolean;
  /** The most processes of one pod; 0 = as many as the node has. */
  readonly podPids: number;
  /** The most images brought at the same time; 0 = no bound. */
  readonly maxParallelPulls: number;
  /** What all pods may have together. */
  readonly share: NodeShare;
  /** What runs short on the node now. */
  readonly pressures: () => readonly Pressure[];
  /** The node as it will be registered: static pods are judged by it before the API has been heard of. */
  readonly initialNode: Node;
  readonly allocatable: { readonly cpu: string; readonly memory: string };
}
