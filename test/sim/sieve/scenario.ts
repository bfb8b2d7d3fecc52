/** What a sweep is about: one process, what users and machines do meanwhile, and what must come of it. */
import type { ApiClient, KubernetesObject } from "@pilothouse/client";
import type { Bus } from "@pilothouse/bus";
import type { SeenKey } from "@pilothouse/election";
import type { Scope } from "@pilothouse/lifecycle";
import type { Store } from "@pilothouse/store";
import type { Telemetry } from "@pilothouse/telemetry";
import type { Life } from "../machine.ts";
import type { Identity } from "../network.ts";
import type { Commit } from "../store.ts";
import type { World } from "../world.ts";

export interface Scenario {
  /** The controller's, as `npm run sim -- --sieve <name>` calls it. */
  readonly name: string;
  readonly subject: Subject;
  /** Done one after the other, whether the process under test has followed or not. */
  readonly steps: readonly Step[];
  /** What the rest of a cluster does about each change, as far as the scenario needs it. */
  readonly others?: (commit: Commit, others: Others) => void;
  /** Whether each commit must also keep what must always hold of ReplicaSets, Deployments and their pods (invariants.ts). */
  readonly keepsInvariants?: boolean;
  /** What of the end state counts. Absent: all. */
  readonly end?: (objects: readonly KubernetesObject[]) => readonly KubernetesObject[];
  /** From the scenario's end, or a fault's, until all has come to rest. Default 60,000. */
  readonly settlesWithinMs?: number;
}

export interface Step {
  /** After the step before. */
  readonly afterMs: number;
  readonly does: string;
  readonly run: (client: ApiClient) => Promise<unknown>;
}

/** The process under test. */
export interface Subject {
  readonly machine: string;
  /** The names of the controllers that it runs, if it is a controller-manager. */
  readonly controllers?: readonly string[];
  /** Its machine in a new world, with all that outlives the process. */
  prepare(world: World): Prepared;
}

export interface Prepared {
  start(life: Life, scope: Scope, wires: Wires): void;
  /** What it has brought about outside of the API, a line each; it counts as the end state does. Absent: nothing. */
  readonly remains?: () => Promise<readonly string[]>;
}

/** What connects the process under test with the rest. */
export interface Wires {
  readonly store: Store;
  readonly bus: Bus;
  readonly telemetry: Telemetry;
  readonly probeLeader: (leader: SeenKey) => Promise<boolean>;
  readonly client: (identity: Identity, userAgent: string, fence?: () => string | undefined) => ApiClient;
  /** To be told of each thing done outside of the API, before the process hears that it is done. */
  readonly acted: (what: string) => void;
}

/** Acts as the rest of a cluster. */
export interface Others {
  readonly client: ApiClient;
  /** Runs the work some time later; what is gone by then needs nothing any more. */
  readonly after: (delayMs: number, work: (client: ApiClient) => Promise<unknown>) => void;
}
