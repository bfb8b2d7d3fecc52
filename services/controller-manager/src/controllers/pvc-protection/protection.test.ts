import type { PersistentVolume, PersistentVolumeClaim, Pod } from "@pilothouse/api/types/core-v1";
import { expect, test } from "vitest";
import { plan as planVolume, PV_FINALIZER } from "../pv-protection/plan.ts";
import { plan as planClaim, PVC_FINALIZER } from "./plan.ts";

const now = "2026-01-01T00:00:00Z";

function claim(deleted: boolean): PersistentVolumeClaim {
  const metadata = { name: "data", namespace: "default", finalizers: ["example.com/own", PVC_FINALIZER] };
  return { metadata: deleted ? { ...metadata, deletionTimestamp: now } : metadata, spec: {} };
}

function pod(more: Partial<Pod["spec"]> = {}, phase = "Running"): Pod {
  const volumes = [{ name: "v", persistentVolumeClaim: { claimName: "data" } }];
  return {
    metadata: { name: "web", namespace: "default" },
    spec: { containers: [], nodeName: "a", volumes, ...more },
    status: { phase },
  };
}

const left = (pods: readonly Pod[], deleted = true): readonly string[] | undefined =>
  planClaim(claim(deleted), pods)?.metadata.finalizers;

test("a deleted claim goes when no pod uses it, and keeps what others hold it by", () => {
  expect(left([])).toEqual(["example.com/own"]);
  expect(left([], false)).toBeUndefined();
  expect(left([pod()])).toBeUndefined();
  expect(left([pod({}, "Succeeded")])).toEqual(["example.com/own"]);
  expect(left([pod({ nodeName: "" })])).toEqual(["example.com/own"]);
  expect(left([{ ...pod(), metadata: { name: "web", namespace: "other" } }])).toEqual(["example.com/own"]);
  const ephemeral = [{ name: "data", ephemeral: {} }];
  expect(
    planClaim({ ...claim(true), metadata: { ...claim(true).metadata, name: "web-data" } }, [
      pod({ volumes: ephemeral }),
    ]),
  ).toBeUndefined();
});

test("a deleted volume goes when no claim has it", () => {
  const volume = (phase: string, deletionTimestamp?: string): PersistentVolume => ({
    metadata: { name: "v", finalizers: [PV_FINALIZER], ...(deletionTimestamp ? { deletionTimestamp } : {}) },
    spec: {},
    status: { phase },
  });
  expect(planVolume(volume("Released", now))?.metadata.finalizers).toEqual([]);
  expect(planVolume(volume("Bound", now))).toBeUndefined();
  expect(planVolume(volume("Released"))).toBeUndefined();
});
