/** When more masters were hurt than etcd bears. */
import type { Span } from "../checkers/availability.ts";
import type { SoakMachine } from "./fault-kinds.ts";
import { REST_MS, toleratedMasters } from "./plan.ts";

export interface Hurt extends Span {
  readonly machine: string;
}

/** A machine is hurt until it has rested. */
export function quorumLosses(faults: readonly Hurt[], machines: readonly SoakMachine[]): Span[] {
  const isMaster = (name: string): boolean =>
    machines.some((machine) => machine.name === name && machine.role === "master");
  const hurts = faults.filter(({ machine }) => isMaster(machine));
  const tolerated = toleratedMasters(machines);
  const instants = [...new Set(hurts.flatMap(({ fromMs, untilMs }) => [fromMs, untilMs + REST_MS]))].sort(
    (one, other) => one - other,
  );
  return instants.flatMap((fromMs, i) => {
    const untilMs = instants[i + 1];
    if (untilMs === undefined) return [];
    const hurt = hurts.filter((fault) => fault.fromMs <= fromMs && fromMs < fault.untilMs + REST_MS);
    return new Set(hurt.map(({ machine }) => machine)).size > tolerated ? [{ fromMs, untilMs }] : [];
  });
}
