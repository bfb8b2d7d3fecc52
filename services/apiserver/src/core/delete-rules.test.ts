import { describe, expect, it } from "vitest";
import type { DeleteOptions } from "@pilothouse/api/types/meta-v1";
import type { ApiObject, KindDefinition } from "@pilothouse/kinds/kind";
import { kindOf } from "@pilothouse/kinds";
import { deleteWarning, isReadyToGo, planDelete, wholeSeconds } from "./delete-rules.ts";

const configMaps = kindOf("", "v1", "configmaps") as KindDefinition;
const jobs = kindOf("batch", "v1", "jobs") as KindDefinition;
const namespaces = kindOf("", "v1", "namespaces") as KindDefinition;
const pods: KindDefinition = {
  ...(kindOf("", "v1", "pods") as KindDefinition),
  gracePeriodSeconds: (_, asked) => asked ?? 30,
};
const now = Date.UTC(2026, 0, 1);
const object = (metadata: ApiObject["metadata"]): ApiObject => ({ apiVersion: "v1", kind: "X", metadata });

describe("what a delete does", () => {
  it("removes what has neither grace nor finalizers", () => {
    expect(planDelete(configMaps, object({ name: "a" }), {}, now)).toEqual({ action: "remove" });
  });

  it("marks what has finalizers, once", () => {
    const plan = planDelete(configMaps, object({ name: "a", finalizers: ["x.io/f"] }), {}, now);
    expect(plan).toMatchObject({ action: "mark", object: { metadata: { deletionTimestamp: wholeSeconds(now) } } });
    if (plan.action !== "mark") throw new Error("unreachable");
    expect(plan.object.metadata.deletionGracePeriodSeconds).toBe(0);
    expect(planDelete(configMaps, plan.object, {}, now + 1)).toEqual({ action: "pending" });
    expect(isReadyToGo(configMaps, plan.object)).toBe(false);
    expect(isReadyToGo(configMaps, { ...plan.object, metadata: { ...plan.object.metadata, finalizers: [] } })).toBe(
      true,
    );
  });

  it("gives pods their grace, lets it be shortened, and ends at zero", () => {
    const first = planDelete(pods, object({ name: "p", generation: 1 }), {}, now);
    if (first.action !== "mark") throw new Error("expected a mark");
    expect(first.object.metadata).toMatchObject({
      deletionTimestamp: wholeSeconds(now + 30_000),
      deletionGracePeriodSeconds: 30,
      generation: 2,
    });
    expect(planDelete(pods, first.object, {}, now)).toEqual({ action: "pending" });
    expect(planDelete(pods, first.object, { gracePeriodSeconds: 5 }, now)).toMatchObject({
      object: { metadata: { deletionTimestamp: wholeSeconds(now + 5_000), deletionGracePeriodSeconds: 5 } },
    });
    expect(planDelete(pods, first.object, { gracePeriodSeconds: 0 }, now)).toEqual({ action: "remove" });
  });

  it("turns propagation policies into finalizers", () => {
    expect(planDelete(configMaps, object({ name: "a" }), { propagationPolicy: "Foreground" }, now)).toMatchObject({
      object: { metadata: { finalizers: ["foregroundDeletion"] } },
    });
    expect(planDelete(configMaps, object({ name: "a" }), { orphanDependents: true }, now)).toMatchObject({
      object: { metadata: { finalizers: ["orphan"] } },
    });
  });

  it("leaves what a ReplicationController made where nothing is said, as it always was", () => {
    const controllers = kindOf("", "v1", "replicationcontrollers") as KindDefinition;
    const finalizersAfter = (options: DeleteOptions, finalizers?: string[]): string[] | undefined => {
      const plan = planDelete(controllers, object({ name: "rc", ...(finalizers ? { finalizers } : {}) }), options, now);
      return plan.action === "mark" ? plan.object.metadata.finalizers : undefined;
    };
    expect(finalizersAfter({})).toEqual(["orphan"]);
    expect(finalizersAfter({ propagationPolicy: "Background" })).toBeUndefined();
    expect(finalizersAfter({ orphanDependents: false })).toBeUndefined();
    expect(finalizersAfter({}, ["foregroundDeletion"])).toEqual(["foregroundDeletion"]);
  });

  it("leaves a Job's pods behind unless it is told what to do with them, and says so", () => {
    const marked = (options: object, finalizers?: string[]) =>
      planDelete(jobs, object({ name: "j", ...(finalizers ? { finalizers } : {}) }), options, now);
    expect(marked({})).toMatchObject({ object: { metadata: { finalizers: ["orphan"] } } });
    expect(marked({ propagationPolicy: "Background" })).toEqual({ action: "remove" });
    expect(marked({}, ["foregroundDeletion"])).toMatchObject({
      object: { metadata: { finalizers: ["foregroundDeletion"] } },
    });
    expect(deleteWarning(jobs, {})).toBe(
      "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or set " +
        "propagationPolicy=Orphan to suppress this warning",
    );
    expect(deleteWarning(jobs, { propagationPolicy: "Orphan" })).toBeUndefined();
    expect(deleteWarning(configMaps, {})).toBeUndefined();
  });

  it("keeps a namespace until its content is gone", () => {
    const namespace = { ...object({ name: "n" }), spec: { finalizers: ["kubernetes"] }, status: { phase: "Active" } };
    expect(planDelete(namespaces, namespace, {}, now)).toMatchObject({
      action: "mark",
      object: { status: { phase: "Terminating" } },
    });
  });
});
