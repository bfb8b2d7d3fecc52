/**
 * Jobs, followed event by event: never more living pods than the parallelism, none made after the Job was complete, no success
 * forgotten; and at the end, beside what the containers themselves left on their machines' disks: no success counted that did not
 * happen, or twice.
 */
import type { Finding } from "../finding.ts";
import type { WorkloadEvent, WorkloadObject } from "./surge.ts";

/** A container's work is done, and it says so before it ends. */
export interface DoneWork {
  readonly job: string;
  readonly podUid: string;
  /** Of a Job that is indexed. */
  readonly index: string;
}

interface SeenJob {
  readonly name: string;
  readonly parallelism: number;
  readonly completions: number;
  readonly isIndexed: boolean;
  readonly living: Set<string>;
  succeeded: number;
  completedIndexes: string;
  completeAt: number | undefined;
}

export class JobMonitor {
  readonly findings: Finding[] = [];
  readonly figures = { "Jobs seen": 0, "Jobs complete": 0, "pods of Jobs": 0, "successes counted": 0, "work done": 0 };
  readonly #jobs = new Map<string, SeenJob>();

  /** In the order of their revisions. Other kinds are passed over. */
  observe(event: WorkloadEvent): void {
    if (event.kind === "Job") this.#job(event);
    else if (event.kind === "Pod") this.#pod(event);
  }

  /** When no event follows any more. */
  judge(done: readonly DoneWork[]): Finding[] {
    const byJob = Map.groupBy(done, ({ job }) => job);
    for (const job of this.#jobs.values()) {
      const work = byJob.get(job.name) ?? [];
      const pods = new Set(work.map(({ podUid }) => podUid)).size;
      this.figures["successes counted"] += job.succeeded;
      this.figures["work done"] += pods;
      if (job.succeeded > pods)
        this.#report(`${job.name} counts ${job.succeeded} successes, and ${pods} of its pods did their work`);
      const indexes = new Set(work.map(({ index }) => index));
      const undone = indexesOf(job.completedIndexes).filter((index) => !indexes.has(String(index)));
      if (undone.length > 0) this.#report(`${job.name} counts indexes whose work nobody did: ${undone.join(", ")}`);
    }
    return this.findings;
  }

  #job({ revision, type, object }: WorkloadEvent): void {
    const { uid } = object.metadata;
    const { spec, status } = object;
    let job = this.#jobs.get(uid);
    if (!job) {
      job = {
        name: object.metadata.name,
        parallelism: spec?.parallelism ?? 1,
        completions: spec?.completions ?? 1,
        isIndexed: spec?.completionMode === "Indexed",
        living: new Set(),
        succeeded: 0,
        completedIndexes: "",
        completeAt: undefined,
      };
      this.#jobs.set(uid, job);
      this.figures["Jobs seen"]++;
    }
    if (type === "DELETED") return;
    const succeeded = status?.succeeded ?? 0;
    if (succeeded < job.succeeded)
      this.#report(`${job.name} counted ${job.succeeded} successes, and at revision ${revision} only ${succeeded}`);
    job.succeeded = Math.max(job.succeeded, succeeded);
    job.completedIndexes = status?.completedIndexes ?? "";
    const isComplete = hasCondition(object, "Complete");
    if (job.completeAt !== undefined && !isComplete)
      this.#report(`${job.name} was complete at revision ${job.completeAt}, and at ${revision} is not`);
    if (!isComplete || job.completeAt !== undefined) return;
    job.completeAt = revision;
    this.figures["Jobs complete"]++;
    const counted = job.isIndexed ? indexesOf(job.completedIndexes).length : succeeded;
    if (counted < job.completions)
      this.#report(`${job.name} is complete at revision ${revision} with ${counted} of ${job.completions} completions`);
    if (job.isIndexed && succeeded !== counted)
      this.#report(`${job.name} counts ${succeeded} successes of ${counted} indexes at revision ${revision}`);
  }

  #pod({ revision, type, object }: WorkloadEvent): void {
    const owner = object.metadata.ownerReferences?.find(({ controller }) => controller)?.uid;
    const job = this.#jobs.get(owner ?? "");
    if (!job) return;
    const { uid, name, deletionTimestamp } = object.metadata;
    const isOver = object.status?.phase === "Succeeded" || object.status?.phase === "Failed";
    if (type === "DELETED" || deletionTimestamp !== undefined || isOver) {
      job.living.delete(uid);
      return;
    }
    job.living.add(uid);
    if (type !== "ADDED") return;
    this.figures["pods of Jobs"]++;
    if (job.completeAt !== undefined)
      this.#report(
        `pod ${name} was made at revision ${revision}; ${job.name} has been complete since ${job.completeAt}`,
      );
    if (job.living.size > job.parallelism)
      this.#report(
        `pod ${name} at revision ${revision}: ${job.name} has ${job.living.size} living pods, ${job.parallelism} at a time are wanted`,
      );
  }

  #report(message: string): void {
    this.findings.push({ checker: "Jobs", message });
  }
}

export function hasCondition({ status }: WorkloadObject, wanted: string): boolean {
  return status?.conditions?.some(({ type, status }) => type === wanted && status === "True") ?? false;
}

/** `0,2-4` → 0, 2, 3, 4. */
function indexesOf(text: string): number[] {
  return text
    .split(",")
    .filter((part) => part !== "")
    .flatMap((part) => {
      const [first = 0, last = first] = part.split("-").map(Number);
      return Array.from({ length: last - first + 1 }, (_, i) => first + i);
    });
}
