import type { ResourceQuota } from "@pilothouse/api/types/core-v1";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import type { ApiObject } from "../kind.ts";
import { chargeOf } from "./charge.ts";
import { evaluatorOf, type Evaluator } from "./usage.ts";

const NOW_MS = Date.parse("2026-01-01T00:00:00Z");

function evaluator(resource: string, group = ""): Evaluator {
  const found = evaluatorOf({ group, resource });
  if (!found) throw new Error(`${resource} cost nothing`);
  return found;
}

function pod(cpu: string, more: object = {}): ApiObject {
  const spec = { containers: [{ name: "c", resources: { requests: { cpu } } }] };
  return { metadata: { name: "p" }, spec, ...more };
}

function quota(hard: Record<string, string>, used: Record<string, string>): ResourceQuota {
  return { metadata: { name: "q" }, spec: { hard }, status: { hard, used } };
}

test("whatever is asked for in whatever order, usage is the sum of what was let in, and never beyond the limit", () => {
  const millis = fc.array(fc.integer({ min: 0, max: 900 }), { maxLength: 20 });
  fc.assert(
    fc.property(millis, fc.integer({ min: 0, max: 4_000 }), (asked, limit) => {
      let state = quota({ "requests.cpu": `${limit}m` }, { "requests.cpu": "0" });
      let sum = 0;
      for (const milli of asked) {
        const wanted = { object: pod(`${milli}m`), old: undefined };
        const verdict = chargeOf(evaluator("pods"), wanted, [state], NOW_MS);
        expect(verdict.kind).toBe(sum + milli <= limit ? "charged" : "refused");
        if (verdict.kind === "refused") continue;
        sum += milli;
        state = verdict.quotas[0] ?? state;
      }
      expect(evaluatedMilli(state)).toBe(sum);
    }),
  );
});

function evaluatedMilli({ status }: ResourceQuota): number {
  const text = status?.used?.["requests.cpu"] ?? "0";
  return text.endsWith("m") ? Number(text.slice(0, -1)) : Number(text) * 1_000;
}

test("a pod that has ended, or should have gone, is only one object more", () => {
  const names = (object: ApiObject) => [...evaluator("pods").usage(object, NOW_MS).keys()];
  expect(names(pod("1"))).toEqual(["count/pods", "pods", "cpu", "requests.cpu"]);
  expect(names(pod("1", { status: { phase: "Succeeded" } }))).toEqual(["count/pods"]);
  const metadata = { name: "p", deletionTimestamp: "2025-12-31T23:59:00Z", deletionGracePeriodSeconds: 30 };
  expect(names(pod("1", { metadata }))).toEqual(["count/pods"]);
  expect(names(pod("1", { metadata: { ...metadata, deletionGracePeriodSeconds: 90 } }))).toContain("pods");
});

test("whatever is served may be counted, by its full name; some by their old names too; events never", () => {
  expect(evaluator("deployments", "apps").tracks("count/deployments.apps")).toBe(true);
  expect(evaluator("deployments", "apps").tracks("count/deployments")).toBe(false);
  expect(evaluator("secrets").tracks("secrets")).toBe(true);
  expect(evaluator("serviceaccounts").tracks("serviceaccounts")).toBe(false);
  expect(evaluatorOf({ group: "", resource: "events" })).toBeUndefined();
});

test("an update pays for what it asks for more, and gets nothing back at once", () => {
  const claim = (storage: string): ApiObject => ({
    metadata: { name: "c" },
    spec: { resources: { requests: { storage } } },
  });
  const state = quota({ "requests.storage": "10Gi" }, { "requests.storage": "4Gi" });
  const charge = (from: string, to: string) => {
    const verdict = chargeOf(evaluator("persistentvolumeclaims"), { object: claim(to), old: claim(from) }, [state], 0);
    return verdict.kind === "charged" ? verdict.quotas.map(({ status }) => status?.used) : verdict.why;
  };
  expect(charge("4Gi", "6Gi")).toEqual([{ "requests.storage": "6Gi" }]);
  expect(charge("4Gi", "2Gi")).toEqual([]);
  expect(charge("4Gi", "11Gi")).toBe(
    "exceeded quota: q, requested: requests.storage=7Gi, used: requests.storage=4Gi, limited: requests.storage=10Gi",
  );
});
