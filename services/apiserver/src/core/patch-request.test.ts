import { atOnce } from "@pilothouse/api/steps";
import { kindOf } from "@pilothouse/kinds";
import { StatusError } from "@pilothouse/errors";
import { expect, test } from "vitest";
import { applyPatch, type PatchType } from "./patch-request.ts";

const kind = kindOf("", "v1", "configmaps")!;
const old = { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "m" }, data: { a: "1" } };

function patched(type: PatchType, patch: unknown, fieldValidation: "Strict" | "Warn") {
  const options = { dryRun: false, fieldManager: "test", fieldValidation, force: undefined };
  const warnings: string[] = [];
  const body = Buffer.from(JSON.stringify(patch));
  try {
    const object = atOnce(
      applyPatch(
        { type, body, kind, options, subresource: "" },
        () => structuredClone(old),
        "2026-01-01T00:00:00Z",
        (text) => {
          warnings.push(text);
        },
      ),
    );
    return { object, warnings };
  } catch (error) {
    if (!(error instanceof StatusError)) throw error;
    return { code: error.status.code, message: error.message };
  }
}

test("a strict patch that makes an unknown field is refused with 422 about the patch, shown as Go shows it", () => {
  expect(patched("strategic", { spec: { b: [1, "x", null], a: true } }, "Strict")).toEqual({
    code: 422,
    message:
      ' "" is invalid: patch: Invalid value: "map[spec:map[a:true b:[1 x <nil>]]]": strict decoding error: unknown field "spec"',
  });
  const whole = JSON.stringify(JSON.stringify({ ...old, spec: 1 }));
  for (const [type, patch] of [
    ["merge", { spec: 1 }],
    ["json", [{ op: "add", path: "/spec", value: 1 }]],
  ] as const) {
    expect(patched(type, patch, "Strict")).toEqual({
      code: 422,
      message: ` "" is invalid: patch: Invalid value: ${whole}: strict decoding error: unknown field "spec"`,
    });
  }
});

test("a lenient one leaves the field out and warns", () => {
  expect(patched("merge", { spec: 1, data: { b: "2" } }, "Warn")).toMatchObject({
    object: { data: { a: "1", b: "2" } },
    warnings: ['unknown field "spec"'],
  });
});

test("a patch that does not fit the kind is 422 too", () => {
  expect(patched("merge", { data: "text" }, "Warn")).toMatchObject({
    code: 422,
    message: expect.stringContaining('patch: Invalid value: "{'),
  });
});
