/**
 * Which fault befalls which machine when, drawn from a seed. Pure.
 *
 * Rules: at any time, rests after a fault included, fewer masters are hurt than would break quorum, unless that is asked for; no
 * machine suffers from two faults at a time; the first minute and the last two are quiet, so that there is a beginning to compare
 * with and the end shows what a healed cluster is like.
 */
import type { Random } from "@pilothouse/clock";
import type { FaultOptions } from "../../../deploy/lab/faults.ts";
import { FAULT_KINDS, type FaultKind, type SoakMachine } from "./fault-kinds.ts";

export interface PlannedFault {
  readonly atMs: number;
  readonly forMs: number;
  /** A name of deploy/lab/faults.ts. */
  readonly fault: string;
  readonly machine: string;
  readonly options: FaultOptions;
}

export interface PlanRequest {
  readonly machines: readonly SoakMachine[];
  readonly lastsMs: number;
  /** From one fault's beginning to the next one's, about. */
  readonly faultEveryMs: number;
  /** Quorum may be lost. */
  readonly breaksQuorum?: boolean;
}

export const QUIET_BEGINNING_MS = 60_000;
export const QUIET_END_MS = 120_000;
/** After its fault a master is still catching up: as long it counts as hurt. */
export const REST_MS = 20_000;

/** In the order of their beginnings. */
export function planSoak(random: Random, request: PlanRequest): PlannedFault[] {
  const { machines, lastsMs, faultEveryMs } = request;
  const pick = <T>(all: readonly T[]): T | undefined => all[Math.floor(random.next() * all.length)];
  const planned: PlannedFault[] = [];
  for (let atMs = QUIET_BEGINNING_MS; ; atMs += Math.round(faultEveryMs * (0.75 + 0.5 * random.next()))) {
    const leftMs = lastsMs - QUIET_END_MS - atMs;
    if (leftMs <= 0) return planned;
    const choices = machines.flatMap((machine) => kindsFor(machine).map((kind) => ({ machine, kind })));
    const chosen = pick(choices.filter(({ machine }) => mayBeHurt(machine, atMs, planned, request)));
    // The draws are made in any case: what the rules forbid here shifts nothing later.
    const [length, detail] = [random.next(), random.next()];
    if (!chosen) continue;
    const { kind, machine } = chosen;
    const forMs = Math.min(leftMs, Math.round(kind.leastMs + length * (kind.mostMs - kind.leastMs)));
    planned.push({ atMs, forMs, fault: kind.fault, machine: machine.name, options: kind.options(machine, detail) });
  }
}

export function describePlanned({ atMs, forMs, fault, machine, options }: PlannedFault): string {
  const details = Object.entries(options).map(([name, value]) => `${name} ${String(value)}`);
  const what = [fault, machine, ...details].join(", ");
  return `${(atMs / 1_000).toFixed(0)} s: ${what}${forMs > 0 ? ` for ${(forMs / 1_000).toFixed(0)} s` : ""}`;
}

/** Most masters that may be hurt at a time. */
export function toleratedMasters(machines: readonly SoakMachine[]): number {
  return Math.floor((machines.filter(({ role }) => role === "master").length - 1) / 2);
}

function kindsFor({ role }: SoakMachine): readonly FaultKind[] {
  return FAULT_KINDS.filter(({ roles }) => roles.includes(role));
}

function mayBeHurt(
  machine: SoakMachine,
  atMs: number,
  planned: readonly PlannedFault[],
  { machines, breaksQuorum }: PlanRequest,
): boolean {
  const hurt = new Set(
    planned.filter((fault) => fault.atMs + fault.forMs + REST_MS > atMs).map(({ machine }) => machine),
  );
  if (hurt.has(machine.name)) return false;
  if (machine.role === "worker" || breaksQuorum) return true;
  const masters = machines.filter(({ name, role }) => role === "master" && hurt.has(name));
  return masters.length < toleratedMasters(machines);
}
