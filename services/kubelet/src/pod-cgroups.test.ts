/** Stories of the cgroups that pods are given. */
import type { Container } from "@pilothouse/api/types/core-v1";
import { resources } from "@pilothouse/client";
import { afterEach, describe, expect, test } from "vitest";
import type { CgroupLimits } from "./core/cgroups.ts";
import { startRig, type Rig } from "./rig.fixture.ts";

let rig: Rig;
afterEach(() => rig.close());

const web = { name: "web", image: "web" };
const sized = (cpu: string, memory: string): Container => ({
  ...web,
  resources: { requests: { cpu, memory }, limits: { cpu, memory } },
});

describe("cgroups", () => {
  const cgroup = (name: string): CgroupLimits | undefined => {
    const uid = rig.api.peek("pods", `default/${name}`)?.metadata.uid ?? "?";
    return [...rig.cgroups].find(([path]) => path.endsWith(`/pod${uid}`))?.[1];
  };
  const burstable = (): number | undefined => rig.cgroups.get("/test/kubepods/burstable")?.cpuShares;

  test("stand before the containers do: all pods together, classes, and each pod; and go with it", async () => {
    rig = await startRig({ web: {} });
    expect(rig.cgroups.get("/test/kubepods")?.memoryBytes).toBe(8 * 2 ** 30);
    await rig.create("a", { containers: [{ ...web, resources: { requests: { cpu: "500m" } } }] });
    await rig.create("b", { containers: [{ ...web, resources: { requests: { cpu: "1" } } }] });
    expect([cgroup("a")?.cpuShares, cgroup("b")?.cpuShares, burstable()]).toEqual([512, 1024, 1536]);
    await rig.client.delete(resources.pods, "default", "a", { gracePeriodSeconds: 0 });
    await rig.clock.advance(5_000);
    expect(burstable()).toBe(1024);
    expect([...rig.cgroups.keys()].filter((path) => path.includes("/pod"))).toHaveLength(1);
  });

  test("have room for a resize before it, and take back what it gives up after it", async () => {
    rig = await startRig({ web: {} });
    await rig.create("a", { containers: [sized("1", "64Mi")] });
    expect(cgroup("a")).toMatchObject({ cpuQuotaUs: 100_000, memoryBytes: 64 * 2 ** 20 });
    const body = { spec: { containers: [sized("500m", "128Mi")] } };
    const patch = { type: "application/strategic-merge-patch+json", body } as const;
    await rig.client.patch(resources.pods, "default", "a", patch);
    await rig.clock.advance(1_000);
    expect(cgroup("a")).toMatchObject({ cpuQuotaUs: 50_000, memoryBytes: 128 * 2 ** 20 });
  });

  test("that the kernel refuses keep the pod from being made, and it is told why", async () => {
    rig = await startRig({ web: {} });
    rig.cgroupError = new Error("no space left on device");
    await rig.create("a", { containers: [web] });
    expect(rig.runtime.journal).toEqual([]);
    const events = rig.api.list("events").map((it) => `${String(it["reason"])}: ${String(it["message"])}`);
    expect(events).toContain(
      "FailedToCreatePodContainer: unable to ensure pod container exists: no space left on device",
    );
    rig.cgroupError = undefined;
    await rig.clock.advance(3_000);
    expect(rig.status("a")?.phase).toBe("Running");
  });
});
