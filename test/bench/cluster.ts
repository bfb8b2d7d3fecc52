/** Whole clusters for benchmarks, made by the same `up` that users type; gone afterwards. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { SERVICES } from "../../deploy/cluster/processes.ts";
import { testCluster, type TestCluster } from "../harness/cluster.ts";
import { medianFigures, type Section } from "./figures.ts";

export interface ClusterProcess {
  readonly name: string;
  readonly pid: number;
}

export interface RunningCluster {
  readonly cluster: TestCluster;
  /** The lines that `up` printed. */
  readonly told: string;
}

/** Sections measured on three clusters, one after the other; figures are medians. */
export async function onThreeClusters(
  measure: (running: RunningCluster) => Promise<readonly Section[]>,
): Promise<readonly Section[]> {
  const runs: (readonly Section[])[] = [];
  while (runs.length < 3) runs.push(await withCluster(measure));
  return (runs[0] ?? []).map((section, i) => ({
    ...section,
    figures: medianFigures(runs.map((sections) => sections[i]?.figures ?? [])),
  }));
}

async function withCluster<T>(work: (running: RunningCluster) => Promise<T>): Promise<T> {
  const cluster = testCluster();
  try {
    return await work({ cluster, told: await cluster.up() });
  } finally {
    await cluster.down();
  }
}

/** Our own processes: the six services and their supervisor. */
export function ownProcesses({ layout }: TestCluster): readonly ClusterProcess[] {
  return [...SERVICES, "supervisor"].map((name) => ({
    name,
    pid: Number(readFileSync(join(layout.run, `${name}.pid`), "utf8")),
  }));
}
