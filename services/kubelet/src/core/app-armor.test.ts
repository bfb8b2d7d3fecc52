import type { AppArmorProfile, Pod } from "@pilothouse/api/types/core-v1";
import { expect, test } from "vitest";
import { appArmorOf } from "./app-armor.ts";

function profileOf(shared: AppArmorProfile | undefined, own: AppArmorProfile | undefined): unknown {
  const container = { name: "c", ...(own ? { securityContext: { appArmorProfile: own } } : {}) };
  const spec = { containers: [container], ...(shared ? { securityContext: { appArmorProfile: shared } } : {}) };
  const pod: Pod = { metadata: {}, spec };
  return appArmorOf(pod, container);
}

test("the container's own profile counts before the pod's; without any the runtime decides", () => {
  const local = { type: "Localhost", localhostProfile: "strict" };
  const free = { type: "Unconfined" };
  expect(profileOf(undefined, undefined)).toBeUndefined();
  expect(profileOf(local, undefined)).toEqual({ type: "Localhost", localhostRef: "strict" });
  expect(profileOf(local, free)).toEqual({ type: "Unconfined" });
  expect(profileOf(free, { type: "RuntimeDefault" })).toEqual({ type: "RuntimeDefault" });
});
