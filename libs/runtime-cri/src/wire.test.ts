import { expect, test } from "vitest";
import { containerStatusFromWire, runtimeStatusFromWire, type WireContainerStatus } from "./wire.ts";

test("what only newer runtimes say is told when they say it", () => {
  const condition = { type: "RuntimeReady", status: true, reason: "", message: "" };
  const status = { conditions: [condition] };
  const conditions = [{ type: "RuntimeReady", ok: true, reason: "", message: "" }];
  expect(runtimeStatusFromWire({ status, runtimeHandlers: [], features: null })).toEqual({ conditions });
  const features = { recursiveReadOnlyMounts: true, userNamespaces: true };
  expect(
    runtimeStatusFromWire({
      status,
      runtimeHandlers: [
        { name: "", features },
        { name: "old", features: null },
      ],
      features: { supplementalGroupsPolicy: true },
    }),
  ).toEqual({
    conditions,
    handlers: [
      { name: "", ...features },
      { name: "old", recursiveReadOnlyMounts: false, userNamespaces: false },
    ],
    supplementalGroupsPolicy: true,
  });
});

test("a container's user is told when the runtime knows it", () => {
  const wire: WireContainerStatus = {
    id: "1",
    metadata: { name: "c", attempt: 0 },
    image: null,
    imageRef: "",
    state: "CONTAINER_RUNNING",
    createdAt: 1e6,
    startedAt: 2e6,
    finishedAt: 0,
    exitCode: 0,
    reason: "",
    message: "",
    labels: {},
    annotations: {},
    logPath: "",
  };
  expect(containerStatusFromWire({ ...wire, user: null }).user).toBeUndefined();
  const linux = { uid: 1, gid: 2, supplementalGroups: [3] };
  expect(containerStatusFromWire({ ...wire, user: { linux } }).user).toEqual(linux);
});
