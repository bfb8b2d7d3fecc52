import { afterAll, beforeAll, expect, it } from "vitest";
import { apiserverStory, type Story } from "../../story.fixture.ts";

const CLASSES = "/apis/storage.k8s.io/v1/storageclasses";
const CLAIMS = "/api/v1/namespaces/default/persistentvolumeclaims";

let story: Story;
beforeAll(async () => {
  story = await apiserverStory();
});
afterAll(() => story.close());

const claimed = async (name: string, more: { spec?: object; annotations?: object } = {}) => {
  const spec = { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } }, ...more.spec };
  const body = { metadata: { name, annotations: more.annotations ?? {} }, spec };
  return (await story.ask("POST", CLAIMS, { body })).json["spec"];
};

it("a claim that names no class gets the newest default one, unless it names one in the old way or wants none", async () => {
  expect(await claimed("early")).not.toHaveProperty("storageClassName");
  for (const [name, mark] of [
    ["first", "storageclass.kubernetes.io/is-default-class"],
    ["second", "storageclass.beta.kubernetes.io/is-default-class"],
    ["unmarked", "example.com/is-default-class"],
  ] as const) {
    await story.ask("POST", CLASSES, {
      body: { metadata: { name, annotations: { [mark]: "true" } }, provisioner: "example.com/disks" },
    });
    await story.clock.advance(2_000);
  }
  expect(await claimed("new")).toMatchObject({ storageClassName: "second" });
  expect(await claimed("none", { spec: { storageClassName: "" } })).toMatchObject({ storageClassName: "" });
  const annotations = { "volume.beta.kubernetes.io/storage-class": "slow" };
  expect(await claimed("old", { annotations })).not.toHaveProperty("storageClassName");
});
