import { expect, test } from "vitest";
import { identityFigures, judgeIdentities, type IdentityRun } from "./identities.ts";

const ran = (identity: string, podUid: string, fromMs: number, untilMs: number, machine = "worker-1"): IdentityRun => ({
  identity,
  podUid,
  run: `${podUid}-${fromMs}`,
  machine,
  fromMs,
  untilMs,
});
const messages = (...runs: IdentityRun[]): string[] => judgeIdentities(runs).map(({ message }) => message);

test("pods of one identity one after the other, and of several at once, are as it should be", () => {
  expect(
    messages(
      ran("db-0", "b", 5_010, 9_000, "worker-2"),
      ran("db-0", "a", 0, 2_000),
      ran("db-0", "a", 2_500, 5_000),
      ran("db-1", "c", 0, 9_000),
    ),
  ).toEqual([]);
});

test("a pod that began while another one of its name still ran on a machine that was cut off is found", () => {
  expect(messages(ran("db-0", "a", 0, 30_000), ran("db-0", "b", 20_000, 40_000, "worker-2"))).toEqual([
    "db-0 ran twice at once: pod a on worker-1 from 0.00 s to 30.00 s, and pod b on worker-2 from 20.00 s to 40.00 s",
  ]);
});

test("two containers of one pod at once are found as well", () => {
  expect(messages(ran("db-0", "a", 0, 10), ran("db-0", "a", 5, 20))).toHaveLength(1);
});

test("a short run within a long one hides no later one within it", () => {
  expect(messages(ran("db-0", "a", 0, 100), ran("db-0", "b", 10, 20), ran("db-0", "c", 50, 60))).toHaveLength(2);
});

test("figures count identities, pods and runs", () => {
  const runs = [ran("db-0", "a", 0, 1), ran("db-0", "a", 2, 3), ran("db-0", "b", 4, 5), ran("db-1", "c", 0, 9)];
  expect(identityFigures(runs)).toEqual({ identities: 2, pods: 3, "runs of containers": 4 });
});
