import { expect, test } from "vitest";
import { kindOf } from "@pilothouse/kinds";
import type { RequestContext } from "../../core/model.ts";
import { createAdmission, type AdmissionDeps, type AdmissionPlugin, type AdmissionRequest } from "./admission.ts";

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
