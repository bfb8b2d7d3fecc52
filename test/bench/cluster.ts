/** A whole cluster for one benchmark, made by the same `up` that users type; gone afterwards. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { SERVICES } from "../../deploy/cluster/processes.ts";
import { testCluster, type TestCluster } from "../harness/cluster.ts";

export interface ClusterProcess {
  readonly name: string;
  readonly pid: number;
}

export interface RunningCluster {
  readonly cluster: TestCluster;
  /** The lines that `up` printed. */
  readonly told: string;
}

export async function withCluster<T>(work: (running: RunningCluster) => Promise<T>): Promise<T> {
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
