import { expect, test } from "vitest";
import type { SoakMachine } from "./fault-kinds.ts";
import { REST_MS } from "./plan.ts";
import { quorumLosses } from "./quorum.ts";

const machines: readonly SoakMachine[] = [
  ...["a", "b", "c"].map((name) => ({ name, role: "master" }) as const),
  { name: "w", role: "worker" },
];
const hurt = (machine: string, fromMs: number, untilMs: number) => ({ machine, fromMs, untilMs });

test("one master at a time is borne, and workers hold no vote", () => {
  expect(quorumLosses([hurt("a", 0, 10), hurt("b", 10 + REST_MS, 50_000), hurt("w", 0, 90_000)], machines)).toEqual([]);
});

test("quorum is lost while two masters are hurt, their rest included", () => {
  const faults = [hurt("a", 1_000, 5_000), hurt("b", 3_000, 9_000)];
  expect(quorumLosses(faults, machines)).toEqual([{ fromMs: 3_000, untilMs: 5_000 + REST_MS }]);
});
