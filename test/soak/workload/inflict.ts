/** Carries a plan of faults out on the lab. */
import { sleep, type Clock } from "@pilothouse/clock";
import { FAULTS } from "../../../deploy/lab/faults.ts";
import { findMachine } from "../../../deploy/lab/lab.ts";
import type { Lab } from "../../../deploy/lab/layout.ts";
import { describePlanned, type PlannedFault } from "../plan/plan.ts";

/** What really happened: mending, and boots, take their time. */
export interface Inflicted {
  readonly fault: string;
  readonly machine: string;
  readonly text: string;
  readonly fromMs: number;
  readonly untilMs: number;
  /** Why it could not be done, or undone. */
  readonly failure?: string;
}

/** Settles when every fault is mended. A signal ends those that last, and begins no others. */
export async function inflictPlan(
  lab: Lab,
  plan: readonly PlannedFault[],
  clock: Clock,
  startMs: number,
  tell: (line: string) => void,
  signal: AbortSignal,
): Promise<Inflicted[]> {
  const inflicted: Inflicted[] = [];
  await Promise.all(
    plan.map(async (planned) => {
      await sleep(clock, Math.max(0, startMs + planned.atMs - clock.monotonicMs()), signal).catch(() => undefined);
      if (signal.aborted) return;
      const text = describePlanned(planned);
      tell(text);
      inflicted.push(await inflict(lab, planned, text, clock, startMs, signal));
    }),
  );
  return inflicted.sort((one, other) => one.fromMs - other.fromMs);
}

async function inflict(
  lab: Lab,
  { fault, machine: name, options, forMs }: PlannedFault,
  text: string,
  clock: Clock,
  startMs: number,
  signal: AbortSignal,
): Promise<Inflicted> {
  const row = FAULTS.find((row) => row.name === fault);
  const machine = findMachine(lab, name);
  const fromMs = clock.monotonicMs() - startMs;
  const failures: string[] = [];
  const trying = async (work: () => Promise<void> | undefined): Promise<void> => {
    try {
      await work();
    } catch (error) {
      failures.push(error instanceof Error ? error.message : String(error));
    }
  };
  await trying(() => row?.apply(lab, machine, options));
  await sleep(clock, forMs, signal).catch(() => undefined);
  // Also what failed half-way is undone.
  await trying(() => row?.undo?.(lab, machine));
  const untilMs = clock.monotonicMs() - startMs;
  return {
    fault,
    machine: name,
    text,
    fromMs,
    untilMs,
    ...(failures.length > 0 ? { failure: failures.join("; ") } : {}),
  };
}
