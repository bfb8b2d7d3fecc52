/** Stories of pods whose settings change while they run. */
import type { VolumePlan } from "./core/volumes.ts";
import { resources } from "@pilothouse/client";
import { afterEach, expect, test } from "vitest";
import { startRig, type Rig } from "./rig.fixture.ts";

let rig: Rig;
afterEach(() => rig.close());

const mounted = (name: string) => ({
  containers: [{ name: "web", image: "web", volumeMounts: [{ name: "v", mountPath: "/v" }] }],
  volumes: [{ name: "v", configMap: { name } }],
});
const settings = (colour: string, more: object = {}) => ({
  metadata: { name: "settings", namespace: "default" },
  data: { colour },
  ...more,
});
const change = (colour: string): Promise<unknown> =>
  rig.client.patch(resources.configMaps, "default", "settings", {
    type: "application/merge-patch+json",
    body: { data: { colour } },
  });

function shown(pod: string): string | undefined {
  const uid = rig.api.peek("pods", `default/${pod}`)?.metadata.uid;
  const plan = rig.files.volumes.get(`${uid}/v`) as Extract<VolumePlan, { kind: "files" }> | undefined;
  return plan && new TextDecoder().decode(plan.files[0]?.content);
}

/** What is watched of one kind. */
function watches(resource: string): readonly string[] {
  const paths = rig.api.requests.map(({ path }) => decodeURIComponent(path));
  return paths.filter((path) => path.includes("watch=true") && path.includes(`/${resource}?`));
}

test("a ConfigMap that changes is in the volumes of all pods that mount it, at once, and is watched once", async () => {
  rig = await startRig({ web: {} });
  await rig.client.create(resources.configMaps, settings("red"));
  await rig.create("a", mounted("settings"));
  await rig.create("b", mounted("settings"));
  expect([shown("a"), shown("b")]).toEqual(["red", "red"]);
  await change("blue");
  await rig.clock.advance(200);
  expect([shown("a"), shown("b")]).toEqual(["blue", "blue"]);
  expect(watches("configmaps").every((path) => path.includes("fieldSelector=metadata.name=settings"))).toBe(true);
  expect(watches("configmaps")).toHaveLength(1);
});

test("after the last pod that mounted it nobody watches it any more", async () => {
  rig = await startRig({ web: {} });
  await rig.client.create(resources.configMaps, settings("red"));
  await rig.create("a", mounted("settings"));
  await rig.client.delete(resources.pods, "default", "a", { gracePeriodSeconds: 0 });
  await rig.clock.advance(5_000);
  const before = rig.api.requests.length;
  await change("blue");
  await rig.clock.advance(120_000);
  const since = rig.api.requests.slice(before).map(({ path }) => path);
  expect(since.filter((path) => path.includes("configmaps?"))).toEqual([]);
});

test("a kubelet that starts anew shows what changed meanwhile", async () => {
  rig = await startRig({ web: {} });
  await rig.client.create(resources.configMaps, settings("red"));
  await rig.create("a", mounted("settings"));
  await rig.close();
  await change("blue");
  await rig.restart();
  await rig.clock.advance(1_000);
  expect(shown("a")).toBe("blue");
  await change("green");
  await rig.clock.advance(200);
  expect(shown("a")).toBe("green");
});

test("without a watch it takes a minute, as it may", async () => {
  rig = await startRig({ web: {} });
  await rig.client.create(resources.configMaps, settings("red"));
  await rig.create("a", mounted("settings"));
  rig.api.intercept = ({ path }) => {
    if (path.includes("watch=true") && path.includes("configmaps")) throw new Error("no watch");
    return undefined;
  };
  rig.api.endWatches();
  await rig.clock.advance(1_000);
  await change("blue");
  await rig.clock.advance(61_000);
  expect(shown("a")).toBe("blue");
});

test("what says that it never changes is watched no longer than it takes to hear that", async () => {
  rig = await startRig({ web: {} });
  await rig.client.create(resources.configMaps, settings("red", { immutable: true }));
  await rig.create("a", mounted("settings"));
  const before = watches("configmaps").length;
  rig.api.endWatches();
  await rig.clock.advance(60_000);
  expect(watches("configmaps")).toHaveLength(before);
});
