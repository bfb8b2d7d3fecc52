/** Values that another version, or somebody's hand, has left in etcd (C1): decoded, defaulted and encoded anew at load. */
import { manualClock } from "@pilothouse/clock/manual";
import type { Store } from "@pilothouse/store";
import { memoryStore } from "@pilothouse/store/memory";
import { expect, test } from "vitest";
import { SCHEMA_STAMP } from "../../core/stored/stored.ts";
import { apiserverStory } from "../../story.fixture.ts";

const PATH = "/apis/apps/v1/namespaces/default/deployments/old";
const KEY = "/registry/apps/deployments/default/old";

/** As a version wrote it that knew neither all of today's defaults nor today's order of fields. */
const OLD = {
  metadata: { namespace: "default", name: "old", uid: "u1", creationTimestamp: "2020-01-01T00:00:00Z" },
  apiVersion: "apps/v1",
  spec: {
    template: { spec: { containers: [{ image: "web:1", name: "web" }] }, metadata: { labels: { app: "old" } } },
    selector: { matchLabels: { app: "old" } },
  },
  kind: "Deployment",
};

async function put(store: Store, value: string): Promise<void> {
  await store.txn({ compares: [], then: [{ op: "put", key: KEY, value: Buffer.from(value) }] });
}

async function stampIn(store: Store): Promise<string | undefined> {
  const value = Buffer.from((await store.get(KEY)).entry?.value ?? "").toString("utf8");
  return (JSON.parse(value.slice(value.lastIndexOf("\n") + 1)) as { schema?: string }).schema;
}

test.each([
  ["another schema stamp", `${JSON.stringify(OLD)}\n{"schema":"v1.0/0","write":"w","splice":1}`],
  ["no trailer", JSON.stringify(OLD, undefined, 2)],
])(
  "%s: served with today's defaults by GET, LIST and selectors, and written in today's form by a no-op PUT",
  async (_, value) => {
    const clock = manualClock();
    const store = memoryStore({ clock });
    await put(store, value);
    const { revision } = await store.get(KEY);
    const story = await apiserverStory("a", { clock, store });

    const read = await story.ask("GET", PATH);
    const defaulted = {
      replicas: 1,
      strategy: { type: "RollingUpdate" },
      template: { spec: { containers: [{ name: "web", imagePullPolicy: "IfNotPresent" }] } },
    };
    expect(read.json).toMatchObject({ metadata: { resourceVersion: String(revision), uid: "u1" }, spec: defaulted });
    const listed = await story.ask("GET", "/apis/apps/v1/deployments?fieldSelector=metadata.name%3Dold");
    expect(listed.json["items"]).toEqual([read.json]);

    const written = await story.ask("PUT", PATH, { raw: read.text });
    expect(written.status).toBe(200);
    expect(written.json["spec"]).toEqual(read.json["spec"]);
    expect(Number(written.json["metadata"]?.["resourceVersion"])).toBeGreaterThan(revision);
    expect(await stampIn(store)).toBe(SCHEMA_STAMP);
    const again = await story.ask("PUT", PATH, { raw: written.text });
    expect(again.json["metadata"]).toEqual(written.json["metadata"]);
    await story.close();
  },
);

test("a value of another stamp that comes while the apiserver runs is taken in the same way", async () => {
  const clock = manualClock();
  const store = memoryStore({ clock });
  const story = await apiserverStory("a", { clock, store });
  await put(store, `${JSON.stringify(OLD)}\n{"schema":"v9.9/9","write":"w","splice":1}`);
  expect((await story.ask("GET", PATH)).json).toMatchObject({ spec: { replicas: 1 } });
  await story.close();
});
