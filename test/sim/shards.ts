/** Seeds on all cores: worker processes take one after the other, and their reports come in the order of the seeds. */
import { fork, type ChildProcess } from "node:child_process";
import { availableParallelism } from "node:os";
import type { SeedResult } from "./seeds.ts";

/** What a worker tells of one seed. */
export interface SeedReport extends Omit<SeedResult, "failure"> {
  readonly failure: { readonly name: string; readonly message: string; readonly stack: string } | undefined;
  /** What the seed cost, in milliseconds of one core. */
  readonly cpuMs: number;
}

export interface ShardOptions {
  readonly seeds: Iterable<number>;
  /** Planted in every worker: see mutants.ts. */
  readonly mutant?: string | undefined;
  /** Default: one for each core. */
  readonly workers?: number;
}

/** Runs the seeds; breaking out of the loop ends the workers. Throws when a worker dies, which no seed can make it do. */
export async function* runSeeds({
  seeds,
  mutant,
  workers = availableParallelism(),
}: ShardOptions): AsyncGenerator<SeedReport> {
  const waiting = [...seeds];
  const reports = new Map<number, SeedReport>();
  const shards: ChildProcess[] = [];
  let news = Promise.withResolvers<void>();
  const order = [...waiting];
  const start = (): void => {
    const shard = fork(new URL("worker.ts", import.meta.url), mutant === undefined ? [] : [mutant], {
      execArgv: WORKER_FLAGS,
      serialization: "advanced",
    });
    shards.push(shard);
    shard.on("message", (message: "ready" | SeedReport) => {
      if (message !== "ready") reports.set(message.seed, message);
      const next = waiting.shift();
      if (next !== undefined) shard.send(next);
      news.resolve();
    });
    shard.on("exit", (code, signal) => news.reject(new Error(`a worker died: ${signal ?? `code ${code ?? "none"}`}`)));
  };
  try {
    for (let i = 0; i < Math.min(workers, order.length); i++) start();
    for (const seed of order) {
      for (let report = reports.get(seed); ; report = reports.get(seed)) {
        if (report) {
          reports.delete(seed);
          yield report;
          break;
        }
        await news.promise;
        news = Promise.withResolvers();
      }
    }
  } finally {
    for (const shard of shards) {
      shard.removeAllListeners("exit");
      shard.kill();
    }
  }
}

/** Much is made and dropped in each step: a larger nursery means that less of it is copied. */
const WORKER_FLAGS = ["--disable-warning=ExperimentalWarning", "--max-semi-space-size=32"];
