/** A user of Jobs: makes one after the other, indexed ones and plain ones, deletes them when they are over, and now and then before. */
import { sleep, type Random } from "@pilothouse/clock";
import { WORK_SCRIPT } from "../machines/evidence.ts";
import { askAny, type Access } from "./access.ts";
import { witness } from "./witness.ts";

const PAUSE_MS = { least: 15_000, most: 30_000 };
/** Pods that fail are replaced later and later, and the Job is not to fail. */
const BACKOFF_LIMIT = 1_000;
const KEPT = 4;

export interface JobFigures {
  created: number;
  "deleted early": number;
  /** Requests that no apiserver answered. */
  failed: number;
}

/** Until the signal. */
export async function useJobs(
  access: Access,
  namespace: string,
  random: Random,
  signal: AbortSignal,
): Promise<JobFigures> {
  const figures: JobFigures = { created: 0, "deleted early": 0, failed: 0 };
  const all = `/apis/batch/v1/namespaces/${namespace}/jobs`;
  const kept: string[] = [];
  for (let number = 0; !signal.aborted; number++) {
    const [mode, size, width, early] = [random.next(), random.next(), random.next(), random.next()];
    const name = `job-${number}`;
    try {
      if ((await askAny(access, "POST", all, job(namespace, name, { mode, size, width }))).status === 201) {
        figures.created++;
        kept.push(name);
      }
      // The newest may still be at work; the oldest has had its time.
      const gone = early < 0.1 ? kept.pop() : kept.length > KEPT ? kept.shift() : undefined;
      if (gone !== undefined) {
        const { status } = await askAny(access, "DELETE", `${all}/${gone}`, { propagationPolicy: "Background" });
        if (status === 200 && early < 0.1) figures["deleted early"]++;
      }
    } catch {
      figures.failed++;
    }
    const pauseMs = PAUSE_MS.least + random.next() * (PAUSE_MS.most - PAUSE_MS.least);
    await sleep(access.clock, Math.round(pauseMs), signal).catch(() => undefined);
  }
  return figures;
}

function job(
  namespace: string,
  name: string,
  { mode, size, width }: { readonly mode: number; readonly size: number; readonly width: number },
): object {
  return {
    metadata: { name },
    spec: {
      completions: 2 + Math.floor(size * 3),
      parallelism: 1 + Math.floor(width * 3),
      completionMode: mode < 0.5 ? "Indexed" : "NonIndexed",
      backoffLimit: BACKOFF_LIMIT,
      template: { spec: { ...witness(namespace, WORK_SCRIPT, { JOB_NAME: name }), restartPolicy: "Never" } },
    },
  };
}
