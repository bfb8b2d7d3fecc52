/**
 * Fenced leadership (C11): a write that names a leadership is accepted only while that leadership lasts. Judged from what etcd
 * itself tells of elections' keys, and of the marks that writes left, whatever their askers were told.
 */
import type { Finding } from "../finding.ts";

/** An election's key, from this revision on. */
export interface Reign {
  readonly election: string;
  /** The key's create-revision; 0: nobody leads. */
  readonly createRevision: number;
  readonly revision: number;
}

export interface FencedWrite {
  /** Unique; what is stored carries it. */
  readonly mark: string;
  readonly election: string;
  readonly createRevision: number;
  readonly outcome: "done" | "refused" | "unknown";
  /** For people. */
  readonly text: string;
}

/** A mark that appeared in the store. */
export interface LandedWrite {
  readonly mark: string;
  readonly revision: number;
}

export interface LeadershipHistory {
  /** By revision, each election's first one from before the first write. */
  readonly reigns: readonly Reign[];
  readonly writes: readonly FencedWrite[];
  readonly landed: readonly LandedWrite[];
}

export function judgeLeadership({ reigns, writes, landed }: LeadershipHistory): Finding[] {
  const findings: Finding[] = [];
  const report = (message: string): void => void findings.push({ checker: "fenced leadership", message });
  const byElection = Map.groupBy(reigns, ({ election }) => election);
  const revisions = new Map(landed.map(({ mark, revision }) => [mark, revision]));
  for (const [election, ofElection] of byElection) {
    const created = ofElection.map(({ createRevision }) => createRevision).filter((revision) => revision > 0);
    const back = created.find((revision, i) => i > 0 && revision < (created[i - 1] as number));
    if (back !== undefined) report(`the create-revision of ${election} went back to ${back}`);
  }
  for (const { mark, election, createRevision, outcome, text } of writes) {
    const revision = revisions.get(mark);
    if (revision === undefined) {
      if (outcome === "done") report(`${text}: was acknowledged, but the store never had it`);
      continue;
    }
    if (outcome === "refused") report(`${text}: was refused, but is in the store at ${revision}`);
    const leader = byElection.get(election)?.findLast((reign) => reign.revision <= revision)?.createRevision ?? 0;
    if (leader !== createRevision)
      report(
        `${text}: was accepted at revision ${revision}, when the leadership was ${leader === 0 ? "nobody's" : leader}`,
      );
  }
  return findings;
}

/** What the run has shown: without refused stale writes it shows nothing. */
export function leadershipFigures({ reigns, writes, landed }: LeadershipHistory): Readonly<Record<string, number>> {
  const current = new Map<string, number>();
  for (const { election, createRevision } of reigns)
    current.set(election, Math.max(current.get(election) ?? 0, createRevision));
  const isStale = ({ election, createRevision }: FencedWrite): boolean => createRevision < (current.get(election) ?? 0);
  return {
    leaderships: new Set(
      reigns
        .filter(({ createRevision }) => createRevision > 0)
        .map(({ election, createRevision }) => `${election} ${createRevision}`),
    ).size,
    "fenced writes": writes.length,
    accepted: landed.length,
    "refused under an old leadership": writes.filter((write) => write.outcome === "refused" && isStale(write)).length,
  };
}
