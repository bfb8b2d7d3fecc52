import { expect, test } from "vitest";
import { ProbeResults } from "./probe-results.ts";

test("probes are counted by their end, until their pod is gone", () => {
  const results = new ProbeResults();
  const pod = (uid: string) => ({ metadata: { name: "a", namespace: "n", uid }, spec: { containers: [] } });
  for (const ok of [true, true, false]) results.count(pod("1"), "c", "liveness", ok);
  results.count(pod("2"), "c", "readiness", true);
  const line = (uid: string, type: string, result: string, times: number): string =>
    `prober_probe_total{container="c",namespace="n",pod="a",pod_uid="${uid}",probe_type="${type}",result="${result}"} ${times}`;
  expect(results.expose().trim().split("\n").slice(2)).toEqual([
    line("1", "Liveness", "successful", 2),
    line("1", "Liveness", "failed", 1),
    line("2", "Readiness", "successful", 1),
  ]);
  results.forget("1");
  expect(results.expose().trim().split("\n").slice(2)).toEqual([line("2", "Readiness", "successful", 1)]);
});
