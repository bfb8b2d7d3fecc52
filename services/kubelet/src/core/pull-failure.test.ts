import { expect, test } from "vitest";
import { isPullFailure, pullFailure } from "./pull-failure.ts";

test.each([
  ["no such host", "ErrImagePull", "no such host"],
  [
    "RegistryUnavailable: no such host",
    "RegistryUnavailable",
    "image pull failed for web because the registry is unavailable: no such host",
  ],
  [
    "SignatureValidationFailed",
    "SignatureValidationFailed",
    "image pull failed for web because the signature validation failed",
  ],
])("%j is %s", (text, reason, message) => {
  expect(pullFailure("web", text)).toEqual({ reason, message });
  expect(isPullFailure(reason)).toBe(true);
});

test("what is wrong with a name is no failed pull: it is not waited for ever longer", () => {
  expect(["InvalidImageName", "ErrImageNeverPull", "CreateContainerError"].filter(isPullFailure)).toEqual([]);
});
