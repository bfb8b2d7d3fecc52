/** Probes: from single outcomes to verdicts, by their thresholds. Pure. */
import type { Container, Probe } from "@pilothouse/api/types/core-v1";

export const probeKinds = ["startup", "liveness", "readiness"] as const;
export type ProbeKind = (typeof probeKinds)[number];

export type Verdict = "success" | "failure" | "unknown";

/** What the probes say of one running container; a probe that it does not have is absent. */
export type Verdicts = Readonly<Partial<Record<ProbeKind, Verdict>>>;

export interface ProbeState {
  readonly verdict: Verdict;
  /** Outcomes in a row that differ from none before them. */
  readonly last: boolean | undefined;
  readonly run: number;
}

/** A container is alive until proven dead, and not ready until proven ready. */
export function initialState(kind: ProbeKind): ProbeState {
  const verdicts = { startup: "unknown", liveness: "success", readiness: "failure" } as const;
  return { verdict: verdicts[kind], last: undefined, run: 0 };
}

/** The state after one more outcome: the verdict changes once the threshold of equal outcomes is reached. */
export function observe(state: ProbeState, probe: Probe, succeeded: boolean): ProbeState {
  const run = state.last === succeeded ? state.run + 1 : 1;
  const threshold = succeeded ? (probe.successThreshold ?? 1) : (probe.failureThreshold ?? 3);
  const verdict = run < threshold ? state.verdict : succeeded ? "success" : "failure";
  return { verdict, last: succeeded, run };
}

export function probeOf(container: Container, kind: ProbeKind): Probe | undefined {
  switch (kind) {
    case "startup":
      return container.startupProbe;
    case "liveness":
      return container.livenessProbe;
    case "readiness":
      return container.readinessProbe;
  }
}

/** True once the container counts as started: at once, or when its startup probe has succeeded. */
export function isStarted(container: Container, verdicts: Verdicts | undefined): boolean {
  return !container.startupProbe || verdicts?.startup === "success";
}

export function isReady(container: Container, verdicts: Verdicts | undefined): boolean {
  return isStarted(container, verdicts) && (!container.readinessProbe || verdicts?.readiness === "success");
}

/** The grace that the probe which failed gives; undefined = the pod's own. */
export function graceOfProbe(container: Container, verdicts: Verdicts | undefined): number | undefined {
  const failed = (["startup", "liveness"] as const).find((kind) => verdicts?.[kind] === "failure");
  return failed && probeOf(container, failed)?.terminationGracePeriodSeconds;
}

/** Why a running container must be restarted, in the words of its event; undefined while it is well. */
export function unhealthy(container: Container, verdicts: Verdicts | undefined): string | undefined {
  if (container.startupProbe && verdicts?.startup === "failure")
    return `Container ${container.name} failed startup probe, will be restarted`;
  if (container.livenessProbe && verdicts?.liveness === "failure")
    return `Container ${container.name} failed liveness probe, will be restarted`;
  return undefined;
}
