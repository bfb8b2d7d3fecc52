/**
 * One pod per identity of a StatefulSet: of two runs of a container under one identity the later one begins after the earlier one
 * ended. Judged from what the containers themselves left on their machines' disks, which tells also of a machine that nobody could
 * reach: by clocks that are one, because the lab's machines share a kernel.
 */
import type { Finding } from "../finding.ts";

/** One life of a container, from its first beat to its last. Instants are milliseconds of the kernel's own time. */
export interface IdentityRun {
  /** The pod's name. */
  readonly identity: string;
  readonly podUid: string;
  readonly run: string;
  readonly machine: string;
  readonly fromMs: number;
  readonly untilMs: number;
}

export function judgeIdentities(runs: readonly IdentityRun[]): Finding[] {
  const findings: Finding[] = [];
  for (const [identity, ofIdentity] of Map.groupBy(runs, ({ identity }) => identity)) {
    const inOrder = ofIdentity.toSorted((one, other) => one.fromMs - other.fromMs);
    let longest = inOrder[0] as IdentityRun;
    for (const run of inOrder.slice(1)) {
      if (run.fromMs <= longest.untilMs)
        findings.push({
          checker: "one pod per identity",
          message: `${identity} ran twice at once: ${describeRun(longest)}, and ${describeRun(run)}`,
        });
      if (run.untilMs > longest.untilMs) longest = run;
    }
  }
  return findings;
}

export function identityFigures(runs: readonly IdentityRun[]): Readonly<Record<string, number>> {
  return {
    identities: new Set(runs.map(({ identity }) => identity)).size,
    pods: new Set(runs.map(({ podUid }) => podUid)).size,
    "runs of containers": runs.length,
  };
}

function describeRun({ podUid, machine, fromMs, untilMs }: IdentityRun): string {
  return `pod ${podUid} on ${machine} from ${(fromMs / 1_000).toFixed(2)} s to ${(untilMs / 1_000).toFixed(2)} s`;
}
