import type { Pod, PodCondition } from "@pilothouse/api/types/core-v1";
import { expect, test } from "vitest";
import type { RuntimeContainer } from "./pod-runtime.ts";
import { podStatus } from "./status.ts";

const running: RuntimeContainer = {
  id: "1",
  sandboxId: "s",
  name: "c",
  attempt: 0,
  image: "i",
  imageRef: "i",
  state: "running",
  createdAtMs: 1,
  startedAtMs: 1,
  finishedAtMs: 0,
  exitCode: 0,
  reason: "",
  message: "",
  logPath: "",
  labels: {},
  annotations: {},
};
const sandbox = {
  id: "s",
  name: "a",
  namespace: "default",
  uid: "u",
  attempt: 0,
  state: "ready",
  createdAtMs: 1,
  labels: {},
  annotations: {},
  ips: ["198.18.0.2"],
} as const;

function conditionsOf(gates: readonly string[], told: readonly PodCondition[]): readonly PodCondition[] {
  const pod: Pod = {
    metadata: { name: "a", namespace: "default", uid: "u" },
    spec: {
      containers: [{ name: "c", image: "i" }],
      readinessGates: gates.map((conditionType) => ({ conditionType })),
    },
    status: { phase: "Running", conditions: [...told] },
  };
  return (
    podStatus({
      pod,
      runtime: { sandboxes: [sandbox], containers: [running] },
      probes: new Map(),
      waiting: new Map(),
      messages: new Map(),
      inForce: new Map(),
      resize: { pending: undefined, inProgress: undefined },
      terminal: false,
      hostIp: "198.51.100.1",
      nowMs: 1_000,
    }).conditions ?? []
  );
}

const ready = (gates: readonly string[], told: readonly PodCondition[]): PodCondition | undefined =>
  conditionsOf(gates, told).find(({ type }) => type === "Ready");

test("a pod with readiness gates is ready once others say so, and no longer than they do", () => {
  const gate = "example.com/ok";
  expect(ready([gate], [])).toMatchObject({
    status: "False",
    reason: "ReadinessGatesNotReady",
    message: 'corresponding condition of pod readiness gate "example.com/ok" does not exist.',
  });
  expect(ready([gate], [{ type: gate, status: "True" }])).toMatchObject({ status: "True" });
  expect(ready([gate, "other"], [{ type: gate, status: "False" }])).toMatchObject({
    status: "False",
    message:
      'the status of pod readiness gate "example.com/ok" is not "True", but False, ' +
      'corresponding condition of pod readiness gate "other" does not exist.',
  });
  const containers = conditionsOf([gate], []).find(({ type }) => type === "ContainersReady");
  expect(containers).toMatchObject({ status: "True" });
});
