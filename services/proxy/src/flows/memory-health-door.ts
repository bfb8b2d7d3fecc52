/** The memory adapter of HealthDoor: for unit tests and the simulation. */
import type { HealthAnswer, HealthDoor } from "./health-checks.ts";

export interface MemoryHealthDoor extends HealthDoor {
  /** Ports that are somebody else's. */
  readonly taken: Set<number>;
  readonly ports: readonly number[];
  /** Undefined: nobody listens there. */
  ask(port: number): HealthAnswer | undefined;
}

export function memoryHealthDoor(): MemoryHealthDoor {
  const open = new Map<number, () => HealthAnswer>();
  const taken = new Set<number>();
  return {
    taken,
    get ports() {
      return [...open.keys()].toSorted((a, b) => a - b);
    },
    ask: (port) => open.get(port)?.(),
    open(port, answer) {
      if (taken.has(port) || open.has(port)) return Promise.reject(new Error(`listen EADDRINUSE: ${port}`));
      open.set(port, answer);
      return Promise.resolve(() => {
        open.delete(port);
        return Promise.resolve();
      });
    },
  };
}
