/** `idle`: what a cluster costs while nobody asks anything of it, and how long `up` takes, by step. */
import { setTimeout as wait } from "node:timers/promises";
import { ownProcesses, onThreeClusters } from "./cluster.ts";
import type { Figure, Section } from "./figures.ts";
import { cpuUs, pssBytes } from "./processes.ts";

const SETTLE_MS = 15_000;
const OBSERVED_MS = 30_000;
const MB = 1e6;

export function idle(): Promise<readonly Section[]> {
  return onThreeClusters(async ({ cluster, told }) => {
    await wait(SETTLE_MS);
    const processes = ownProcesses(cluster);
    const before = processes.map(({ pid }) => cpuUs(pid));
    await wait(OBSERVED_MS);
    const cpu = processes.map(({ name, pid }, i): Figure => {
      const percent = ((cpuUs(pid) - (before[i] ?? 0)) / (OBSERVED_MS * 1_000)) * 100;
      return { name: `${name}: CPU of one core`, value: percent, unit: "%" };
    });
    const memory = processes.map(({ name, pid }): Figure => ({
      name: `${name}: PSS`,
      value: pssBytes(pid) / MB,
      unit: "MB",
    }));
    return [
      {
        title: "Idle, our seven processes (etcd, NATS and containerd beside them)",
        figures: [
          { name: "PSS together", value: sum(memory), unit: "MB", aim: { atMost: 450 } },
          ...memory,
          { name: "CPU together", value: sum(cpu), unit: "%", aim: { atMost: 5 } },
          ...cpu,
        ],
      },
      { title: "`up`, by step", figures: upSteps(told) },
    ];
  });
}

/** The ticked lines that `up` prints, and its last line's total. */
function upSteps(told: string): readonly Figure[] {
  const steps = [...told.matchAll(/^ {2}✔ (.+?)\s+([\d.]+) s$/gm)];
  const total = /is up \(([\d.]+) s\)/.exec(told)?.[1];
  return [
    ...steps.map(([, name, seconds]): Figure => ({ name: name ?? "", value: Number(seconds), unit: "s" })),
    { name: "`up` altogether", value: Number(total), unit: "s", aim: { atMost: 20 } },
  ];
}

function sum(figures: readonly Figure[]): number {
  return figures.reduce((total, { value }) => total + value, 0);
}
