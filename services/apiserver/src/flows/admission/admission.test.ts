import { expect, test } from "vitest";
import { kindOf } from "@pilothouse/kinds";
import type { RequestContext } from "../../core/model.ts";
import { createAdmission, type AdmissionDeps, type AdmissionPlugin, type AdmissionRequest } from "./admission.ts";
import { ADMISSION_PLUGINS } from "./plugins.ts";

const noDeps = {} as AdmissionDeps;

function asked(resource: string, subresource = "", operation = "CREATE"): AdmissionRequest {
  const kind = kindOf("", "v1", resource);
  const context = { info: { subresource } } as RequestContext;
  return { operation, kind, context, isDryRun: false, object: { metadata: {} }, old: undefined } as AdmissionRequest;
}

/** A plugin that notes when it is asked. */
function noting(heard: string[], plugin: Partial<AdmissionPlugin> & Pick<AdmissionPlugin, "name">): AdmissionPlugin {
  return {
    operations: ["CREATE"],
    admit: () => void heard.push(`${plugin.name} admits`),
    validate: () => void heard.push(`${plugin.name} validates`),
    ...plugin,
  };
}

test("plugins are asked in their order, each for what it concerns", async () => {
  const heard: string[] = [];
  const admission = createAdmission(noDeps, [
    noting(heard, { name: "every", subresources: "*" }),
    noting(heard, { name: "pods", resources: ["pods"] }),
    noting(heard, { name: "resize", resources: ["pods"], subresources: ["resize"] }),
    noting(heard, { name: "deletes", operations: ["DELETE"] }),
  ]);
  const whoIsAskedFor = async (request: AdmissionRequest): Promise<string[]> => {
    heard.length = 0;
    await admission.admit(request);
    return heard.map((line) => line.split(" ")[0] as string);
  };
  expect(await whoIsAskedFor(asked("pods"))).toEqual(["every", "pods", "resize"]);
  expect(await whoIsAskedFor(asked("pods", "resize"))).toEqual(["every", "resize"]);
  expect(await whoIsAskedFor(asked("pods", "status"))).toEqual(["every"]);
  expect(await whoIsAskedFor(asked("secrets"))).toEqual(["every"]);
  expect(await whoIsAskedFor(asked("pods", "", "DELETE"))).toEqual(["deletes"]);
});

test("the first that refuses is the last that is asked", async () => {
  const heard: string[] = [];
  const refusing = noting(heard, {
    name: "refusing",
    validate: () => {
      throw new Error("no");
    },
  });
  const admission = createAdmission(noDeps, [refusing, noting(heard, { name: "later" })]);
  await admission.admit(asked("pods"));
  await expect(admission.validate(asked("pods"))).rejects.toThrow("no");
  expect(heard).toEqual(["refusing admits", "later admits"]);
});

test("a new node takes no pods until it was seen ready", async () => {
  const admission = createAdmission(noDeps, ADMISSION_PLUGINS);
  const created = async (taints?: object[]): Promise<unknown> => {
    const object = { metadata: { name: "n" }, spec: taints ? { taints } : {} };
    const user = { name: "admin", groups: [] };
    const request = { ...asked("nodes"), object, context: { info: { subresource: "" }, user } };
    await admission.admit(request as unknown as AdmissionRequest);
    return (object.spec as { taints?: unknown }).taints;
  };
  const notReady = { key: "node.kubernetes.io/not-ready", effect: "NoSchedule" };
  expect(await created()).toEqual([notReady]);
  expect(await created([notReady])).toEqual([notReady]);
  const mine = { key: "mine", effect: "NoExecute" };
  expect(await created([mine])).toEqual([mine, notReady]);
});
