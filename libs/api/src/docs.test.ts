import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { generate } from "../tools/generate-docs.ts";
import { parameterDoc, structureDocs } from "./docs.ts";

it("docs.json is what tools/generate-docs.ts writes", () => {
  expect(readFileSync(new URL("docs.json", import.meta.url), "utf8") === generate()).toBe(true);
});

it("describes structures, fields and parameters", () => {
  const service = structureDocs("io.k8s.api.core.v1.ServicePort");
  expect(service?.about).toBe("ServicePort contains information on service's port.");
  expect(service?.fields["port"]).toBe("The port that will be exposed by this service.");
  expect(service?.required).toEqual(["port"]);
  expect(structureDocs("toString")).toBeUndefined();
  expect(parameterDoc("container", "exec")).toMatch(/^Container in which to execute the command/);
  expect(parameterDoc("limit")).toMatch(/^limit is a maximum number of responses/);
});
