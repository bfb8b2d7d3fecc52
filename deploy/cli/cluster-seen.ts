/** What was seen of a cluster's parts: facts and failures, not yet judged. */
import type * as coreV1 from "@pilothouse/api/types/core-v1";
import type { EtcdMemberEntry, EtcdMemberStatus } from "@pilothouse/store-etcd";

/** What came of asking. */
export type Seen<T> = { readonly value: T } | { readonly why: string };

export interface CertificateSeen {
  readonly beginsMs: number;
  readonly endsMs: number;
  /** Why clients would refuse it; undefined when they would not. */
  readonly refused: string | undefined;
}

export interface ApiserverSeen {
  readonly server: string;
  /** /readyz and /version. */
  readonly version: Seen<string>;
  readonly certificate: Seen<CertificateSeen>;
}

export interface EtcdSeen {
  readonly endpoint: string;
  readonly status: Seen<EtcdMemberStatus>;
  readonly members: Seen<readonly EtcdMemberEntry[]>;
  readonly elections: Seen<ElectionsSeen>;
  readonly certificate: Seen<CertificateSeen>;
}

export interface ElectionsSeen {
  /** How much of the cluster's history the member has. */
  readonly revision: number;
  readonly leaders: readonly LeaderSeen[];
}

export interface LeaderSeen {
  /** `kube-scheduler` */
  readonly election: string;
  readonly identity: string;
  /** RFC 3339 */
  readonly since: string;
}

export interface NatsSeen {
  /** `host:port` */
  readonly server: string;
  readonly info: Seen<NatsInfo>;
}

export interface NatsInfo {
  /** The server's own. */
  readonly name: string;
  readonly version: string;
  readonly certificate: CertificateSeen;
}

export interface KubeletSeen {
  readonly node: string;
  readonly certificate: Seen<CertificateSeen>;
}

export interface ClusterSeen {
  /** As users reach the API. */
  readonly api: ApiserverSeen;
  readonly apiservers: readonly ApiserverSeen[];
  readonly etcd: readonly EtcdSeen[];
  readonly nats: readonly NatsSeen[];
  readonly nodes: Seen<readonly coreV1.Node[]>;
  readonly kubelets: readonly KubeletSeen[];
}
