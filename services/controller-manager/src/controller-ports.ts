/** What all controllers get: ports, the informers they read, and one executor. */
import type { ApiClient } from "@pilothouse/client";
import type { Clock, Random } from "@pilothouse/clock";
import type { EventRecorder } from "@pilothouse/controller";
import type { Scope } from "@pilothouse/lifecycle";
import type { Telemetry } from "@pilothouse/telemetry";
import type { Executor } from "./executor.ts";
import type { Informers } from "./informers.ts";

export interface ControllerPorts {
  readonly client: ApiClient;
  readonly clock: Clock;
  readonly random: Random;
  readonly telemetry: Telemetry;
  /** Ends with the leadership. */
  readonly scope: Scope;
  readonly informers: Informers;
  readonly executor: Executor;
  /** By component, as `kubectl describe` names it: `replicaset-controller`. */
  readonly events: (component: string) => EventRecorder;
  readonly onLeadershipLost: () => void;
}
