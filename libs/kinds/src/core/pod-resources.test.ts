import type { Container, ContainerStatus, Pod, PodCondition } from "@pilothouse/api/types/core-v1";
import { expect, test } from "vitest";
import { podRequests, podRequestsNonZero } from "./pod-resources.ts";

const asking = (name: string, cpu: string, more: Partial<Container> = {}): Container => {
  return { name, image: "i", resources: { requests: { cpu } }, ...more };
};
const cpuOf = (pod: Pick<Pod, "spec"> & Partial<Pod>): number | undefined =>
  podRequests({ metadata: {}, ...pod }).get("cpu");
const told = (name: string, cpu: string, allocated = cpu): ContainerStatus => ({
  name,
  image: "",
  imageID: "",
  ready: true,
  restartCount: 0,
  resources: { requests: { cpu } },
  allocatedResources: { cpu: allocated },
});

test("containers and sidecars together, or the most that an init container needs beside the sidecars before it", () => {
  const sidecar = asking("side", "100m", { restartPolicy: "Always" });
  const spec = { containers: [asking("a", "200m"), asking("b", "300m")], overhead: { cpu: "50m" } };
  expect(cpuOf({ spec })).toBe(550);
  expect(cpuOf({ spec: { ...spec, initContainers: [sidecar, asking("init", "300m")] } })).toBe(650);
  expect(cpuOf({ spec: { ...spec, initContainers: [sidecar, asking("init", "2")] } })).toBe(2_150);
  expect(cpuOf({ spec: { ...spec, initContainers: [asking("init", "2"), sidecar] } })).toBe(2_050);
});

test("a resize that is not done counts with what is still in force; one that can never be does not count", () => {
  const spec = { containers: [asking("a", "100m")] };
  expect(cpuOf({ spec, status: { containerStatuses: [told("a", "400m")] } })).toBe(400);
  expect(cpuOf({ spec, status: { containerStatuses: [told("a", "50m", "300m")] } })).toBe(300);
  const grown = { containers: [asking("a", "64")] };
  expect(cpuOf({ spec: grown, status: { containerStatuses: [told("a", "100m")] } })).toBe(64_000);
  const conditions: PodCondition[] = [{ type: "PodResizePending", status: "True", reason: "Infeasible" }];
  expect(cpuOf({ spec: grown, status: { conditions, containerStatuses: [told("a", "100m")] } })).toBe(100);
});

test("what a pod asks for as a whole counts instead of what its containers do, with its overhead", () => {
  const spec = { containers: [asking("a", "200m"), asking("b", "300m")], overhead: { cpu: "50m" } };
  expect(cpuOf({ spec: { ...spec, resources: { requests: { cpu: "2", "example.com/gpu": "1" } } } })).toBe(2_050);
  expect(cpuOf({ spec: { ...spec, resources: { requests: { memory: "1Gi" } } } })).toBe(550);
  const silent = { containers: [{ name: "a", image: "i" }], resources: { requests: { cpu: "10m" } } };
  expect(podRequestsNonZero({ metadata: {}, spec: silent }).get("cpu")).toBe(10);
  expect(podRequestsNonZero({ metadata: {}, spec: silent }).get("memory")).toBe(200 * 2 ** 20);
});
