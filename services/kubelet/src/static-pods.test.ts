/** Stories of pods that a node has of its own. */
import type { Pod } from "@pilothouse/api/types/core-v1";
import { resources } from "@pilothouse/client";
import { afterEach, expect, test } from "vitest";
import { startRig, type Rig } from "./rig.fixture.ts";

let rig: Rig;
afterEach(() => rig.close());

const MIRROR = "kubernetes.io/config.mirror";
const PATH = "/manifests/web.yaml";
const manifest = (image = "web", more = ""): string =>
  `apiVersion: v1\nkind: Pod\nmetadata: { name: web }\nspec:\n  terminationGracePeriodSeconds: 5\n  containers: [{ name: web, image: ${image} }]\n${more}`;
const mirror = (): Pod | undefined => rig.api.peek("pods", "default/web-node-1") as Pod | undefined;
const starts = (): readonly string[] => rig.runtime.journal.filter((line) => line.startsWith("start "));

async function startWith(text: string | undefined, images = { web: {}, other: {} }): Promise<void> {
  rig = await startRig(images);
  if (text === undefined) return;
  rig.manifests.set(PATH, text);
  await rig.wrote();
  await rig.clock.advance(1_000);
}

test("a manifest runs, and the API shows it by a mirror pod that belongs to the node", async () => {
  await startWith(manifest());
  expect(starts()).toEqual(["start web-node-1/web#0"]);
  const found = mirror();
  const annotations = found?.metadata.annotations ?? {};
  expect(annotations["kubernetes.io/config.source"]).toBe("file");
  expect(annotations[MIRROR]).toBe(annotations["kubernetes.io/config.hash"]);
  expect(found?.metadata.ownerReferences).toEqual([
    {
      apiVersion: "v1",
      kind: "Node",
      name: "node-1",
      uid: rig.api.peek("nodes", "node-1")?.metadata.uid,
      controller: true,
    },
  ]);
  expect(found?.spec).toMatchObject({
    nodeName: "node-1",
    tolerations: [{ operator: "Exists", effect: "NoExecute" }],
  });
  expect(found?.status).toMatchObject({ phase: "Running", containerStatuses: [{ name: "web", ready: true }] });
});

test("a mirror that somebody deletes comes again, and its pod runs on", async () => {
  await startWith(manifest());
  const before = mirror()?.metadata.uid;
  await rig.client.delete(resources.pods, "default", "web-node-1");
  await rig.clock.advance(5_000);
  expect(mirror()?.metadata.uid).not.toBe(before);
  expect(mirror()?.status?.phase).toBe("Running");
  expect(rig.runtime.journal).toEqual(["run sandbox web-node-1", "pull web", "start web-node-1/web#0"]);
});

test("a file that goes takes its pod along, and the mirror goes last", async () => {
  await startWith(manifest("slow"), { slow: { stopMs: 2_000 } } as never);
  rig.manifests.delete(PATH);
  await rig.wrote();
  await rig.clock.advance(1_000);
  expect(mirror()?.status?.phase).toBe("Running");
  await rig.clock.advance(5_000);
  expect(mirror()).toBeUndefined();
  expect(rig.runtime.journal.slice(-2)).toEqual(["remove web-node-1/web#0", "remove sandbox web-node-1"]);
  expect(await rig.files.listPods()).toEqual([]);
});

test("a file that changes is another pod, which begins when the one before has ended", async () => {
  await startWith(manifest("slow"), { slow: { stopMs: 2_000 }, other: {} } as never);
  const before = mirror()?.metadata;
  rig.manifests.set(PATH, manifest("other"));
  await rig.wrote();
  await rig.clock.advance(1_000);
  expect(starts()).toEqual(["start web-node-1/web#0"]);
  await rig.clock.advance(5_000);
  const lines = rig.runtime.journal;
  expect(lines.lastIndexOf("start web-node-1/web#0")).toBeGreaterThan(lines.indexOf("remove sandbox web-node-1"));
  expect(mirror()?.metadata.annotations?.[MIRROR]).not.toBe(before?.annotations?.[MIRROR]);
  expect(mirror()).toMatchObject({ spec: { containers: [{ image: "other" }] }, status: { phase: "Running" } });
});

test("without an API server the node runs its own pods, and shows them once there is one", async () => {
  await startWith(undefined);
  await rig.client.delete(resources.nodes, "", "node-1");
  await rig.clock.advance(1_000);
  rig.api.intercept = () => {
    throw new Error("connection refused");
  };
  rig.manifests.set(PATH, manifest());
  await rig.restart();
  await rig.clock.advance(10_000);
  expect(starts()).toEqual(["start web-node-1/web#0"]);
  rig.api.intercept = undefined;
  await rig.clock.advance(60_000);
  expect(mirror()?.status?.phase).toBe("Running");
  expect(starts()).toHaveLength(1);
});

test("a kubelet that starts anew knows its own pods again; what its files say no more is ended", async () => {
  await startWith(manifest());
  rig.manifests.set("/manifests/other.yaml", manifest("other").replace("name: web }", "name: other }"));
  await rig.wrote();
  const before = [...rig.runtime.journal];
  await rig.restart();
  await rig.clock.advance(20_000);
  expect(rig.runtime.journal).toEqual(before);
  expect(mirror()?.status?.phase).toBe("Running");

  const closing = rig.close();
  await closing;
  rig.manifests.delete(PATH);
  await rig.restart();
  await rig.clock.advance(20_000);
  expect(rig.runtime.journal).toContain("remove sandbox web-node-1");
  expect(rig.runtime.journal).not.toContain("remove sandbox other-node-1");
  expect(mirror()).toBeUndefined();
});

test("what is no pod, or wants what only the API has, is passed over and complained of once", async () => {
  await startWith(manifest("web", "  serviceAccountName: boss\n"));
  rig.manifests.set("/manifests/a.yaml", "kind: Pod\napiVersion: v1\nmetadata: { name: UPPER }\nspec: {}\n");
  rig.manifests.set("/manifests/b.yaml", "kind: Service\napiVersion: v1\n");
  rig.manifests.set("/manifests/c.yaml", "{ not yaml");
  await rig.wrote();
  await rig.clock.advance(60_000);
  expect(rig.runtime.journal).toEqual([]);
  const complaints = rig.telemetry.logs.filter(({ message }) => message === "a manifest is passed over");
  expect(complaints.map(({ fields }) => String(fields?.["why"]))).toEqual([
    "static pods may not reference serviceaccounts",
    expect.stringContaining("spec.containers: Required value"),
    "it is no Pod of v1",
    expect.any(String),
  ]);
});
