/** All that a soak has to tell: what the report shows, and its JSON file holds. */
import type { Sample } from "../checkers/availability.ts";
import type { ProcessSample, Slope } from "../checkers/slopes.ts";
import type { Finding } from "../finding.ts";
import type { Inflicted } from "../workload/inflict.ts";
import type { LeaderSeen } from "../workload/leaders.ts";

/** Instants are milliseconds from the soak's beginning. */
export interface SoakOutcome {
  readonly seed: string;
  /** ISO 8601. */
  readonly begun: string;
  readonly lastedMs: number;
  readonly findings: readonly Finding[];
  /** By part of the workload, or by checker. */
  readonly figures: Readonly<Record<string, Readonly<Record<string, number>>>>;
  readonly faults: readonly Inflicted[];
  readonly samples: readonly Sample[];
  readonly processes: readonly ProcessSample[];
  readonly slopes: readonly Slope[];
  readonly leaders: readonly LeaderSeen[];
}
