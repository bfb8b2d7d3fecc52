/** What all controllers get: ports, the informers they read, and one executor. */
import type { Bus } from "@pilothouse/bus";
import type { ApiClient } from "@pilothouse/client";
import type { Clock, Random } from "@pilothouse/clock";
import type { EventRecorder } from "@pilothouse/controller";
import type { LegacyTokenClaims } from "@pilothouse/crypto";
import type { Scope } from "@pilothouse/lifecycle";
import type { Telemetry } from "@pilothouse/telemetry";
import type { Executor } from "./executor.ts";
import type { AuthorityName, LeafWish } from "./core/certificate-requests.ts";
import type { LocalVolumes } from "./controllers/local-volume-provisioner/plan-helpers.ts";
import type { MetricsReader } from "./controllers/horizontalpodautoscaler/metrics.ts";
import type { Informers } from "./informers.ts";

/** Issues a certificate (PEM) for the key of a request. `lifeSeconds` is the longest it may live. */
export type CertificateSigner = (csrPem: string, leaf: LeafWish, lifeSeconds: number) => Promise<string>;

export interface ControllerManagerConfig {
  /** Pods' addresses; each node gets a /24 of it. */
  readonly clusterCidr: string;
  /** PEM of the authorities that pods trust for the API, as of now. */
  readonly rootCa: () => string;
  /** What signs certificate requests, by authority; a controller-manager without one leaves its requests alone. */
  readonly signers?: Partial<Readonly<Record<AuthorityName, CertificateSigner>>>;
  /** How volumes on nodes' own disks are made. Absent: they are not. */
  readonly localVolumes?: LocalVolumes;
  /** Signs tokens that stand in Secrets; a controller-manager without it leaves such Secrets alone. */
  readonly signAccountToken?: (claims: LegacyTokenClaims) => Promise<string>;
  /** Where autoscalers get their numbers. Absent: from the API's metrics groups, if somebody serves them. */
  readonly metrics?: MetricsReader;
}

export interface ControllerPorts {
  readonly client: ApiClient;
  readonly clock: Clock;
  readonly random: Random;
  readonly telemetry: Telemetry;
  /** Ends with the leadership. */
  readonly scope: Scope;
  /** For informers that only one controller needs. Absent: they use HTTP only. */
  readonly bus?: Bus;
  readonly informers: Informers;
  readonly executor: Executor;
  /** By component, as `kubectl describe` names it: `replicaset-controller`. */
  readonly events: (component: string) => EventRecorder;
  readonly onLeadershipLost: () => void;
  /** Calls back when `config.rootCa` has changed, until the scope closes. */
  readonly onRootCaChange: (hear: () => void) => void;
  readonly config: ControllerManagerConfig;
}
