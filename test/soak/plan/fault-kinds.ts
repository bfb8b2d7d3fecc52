/** What a soak may do to a machine: a row a kind of fault, with how long it lasts and what is drawn beside. */
import type { FaultOptions } from "../../../deploy/lab/faults.ts";

export interface SoakMachine {
  readonly name: string;
  readonly role: "master" | "worker";
}

export interface FaultKind {
  /** A name of deploy/lab/faults.ts. */
  readonly fault: string;
  readonly roles: readonly SoakMachine["role"][];
  /** Of its undoing; 0 for what does not last. */
  readonly leastMs: number;
  readonly mostMs: number;
  /** `luck`: a number in [0, 1). */
  readonly options: (machine: SoakMachine, luck: number) => FaultOptions;
}

const EVERYWHERE = ["master", "worker"] as const;
const MASTER_PROCESSES = ["etcd", "nats", "apiserver", "scheduler", "controller-manager"] as const;
const NODE_PROCESSES = ["kubelet", "proxy", "dns", "containerd"] as const;
const DIRECTIONS = ["both", "in", "out"] as const;

export const FAULT_KINDS: readonly FaultKind[] = [
  { fault: "power-off", roles: EVERYWHERE, leastMs: 10_000, mostMs: 40_000, options: () => ({}) },
  { fault: "pause", roles: EVERYWHERE, leastMs: 3_000, mostMs: 30_000, options: () => ({}) },
  {
    fault: "partition",
    roles: EVERYWHERE,
    leastMs: 5_000,
    mostMs: 30_000,
    options: (_, luck) => ({ direction: oneOf(DIRECTIONS, luck) }),
  },
  {
    fault: "flapping",
    roles: EVERYWHERE,
    leastMs: 10_000,
    mostMs: 30_000,
    options: (_, luck) => ({ periodMs: Math.round(500 + 3_500 * luck) }),
  },
  {
    fault: "loss",
    roles: EVERYWHERE,
    leastMs: 10_000,
    mostMs: 30_000,
    options: (_, luck) => ({ percent: Math.round(5 + 35 * luck) }),
  },
  {
    fault: "delay",
    roles: EVERYWHERE,
    leastMs: 10_000,
    mostMs: 30_000,
    options: (_, luck) => ({ delayMs: Math.round(20 + 180 * luck) }),
  },
  { fault: "slow-disk", roles: EVERYWHERE, leastMs: 10_000, mostMs: 30_000, options: () => ({}) },
  { fault: "full-disk", roles: EVERYWHERE, leastMs: 5_000, mostMs: 20_000, options: () => ({}) },
  { fault: "kill", roles: EVERYWHERE, leastMs: 0, mostMs: 0, options: someProcess },
  { fault: "stop", roles: EVERYWHERE, leastMs: 3_000, mostMs: 25_000, options: someProcess },
];

function someProcess({ role }: SoakMachine, luck: number): FaultOptions {
  return { process: oneOf(role === "master" ? [...MASTER_PROCESSES, ...NODE_PROCESSES] : NODE_PROCESSES, luck) };
}

function oneOf<T>(all: readonly T[], luck: number): T {
  return all[Math.floor(luck * all.length)] as T;
}
