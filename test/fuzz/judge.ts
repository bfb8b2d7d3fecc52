/** One case, judged: does the property hold, within its time, with every prototype as it was? */
import { seededRandom } from "@pilothouse/clock/seeded";
import type { Input, Target } from "./target.ts";

/** What one case may take of the processor: longer would be a stall that other requests feel. */
const MAX_CPU_MS = 200;
/** A case of the handler is a dozen requests and a whole apiserver's start. */
const MAX_CPU_MS_OF_SERVICES = 1_500;

const TRIES_IF_SLOW = 3;

/** Any case by its number: no case depends on the ones before it. */
export function inputOf(target: Target, seed: string, index: number): Input {
  return target.input(seededRandom(`${seed}/${target.name}/${index}`));
}

/** Why the case fails; undefined when all is well. What was slow once is tried again: a collection of garbage is nobody's fault. */
export async function failureOf(target: Target, input: Input): Promise<string | undefined> {
  const limitMs = target.name === "requests" ? MAX_CPU_MS_OF_SERVICES : MAX_CPU_MS;
  let fastestMs = Infinity;
  for (let attempt = 0; attempt < TRIES_IF_SLOW && fastestMs > limitMs; attempt++) {
    const started = process.threadCpuUsage();
    try {
      const pending = target.check(input);
      if (pending) await pending;
    } catch (error) {
      return error instanceof Error ? (error.stack ?? error.message) : `thrown: ${String(error)}`;
    }
    const { user, system } = process.threadCpuUsage(started);
    fastestMs = Math.min(fastestMs, (user + system) / 1_000);
  }
  if (fastestMs > limitMs) return `too slow: more than ${limitMs} ms of CPU (${fastestMs.toFixed(0)})`;
  return pollution();
}

const CLEAN = new Map(
  [Object.prototype, Array.prototype, Function.prototype].map((it) => [it, Reflect.ownKeys(it).length]),
);

function pollution(): string | undefined {
  const polluted = [...CLEAN].find(([prototype, keys]) => Reflect.ownKeys(prototype).length !== keys);
  return polluted && "a prototype has got new keys";
}
