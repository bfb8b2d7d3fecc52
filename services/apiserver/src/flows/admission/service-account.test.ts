/** Pods and the accounts they run as, while the namespace is still being furnished. */
import { afterAll, beforeAll, expect, it } from "vitest";
import { apiserverStory, type Story } from "../../story.fixture.ts";

let story: Story;
beforeAll(async () => {
  story = await apiserverStory();
});
afterAll(() => story.close());

const podIn = (namespace: string, more: object = {}) => {
  const body = { metadata: { name: "p" }, spec: { containers: [{ name: "c", image: "web" }], ...more } };
  return story.ask("POST", `/api/v1/namespaces/${namespace}/pods`, { body });
};
const make = (path: string, name: string) => story.ask("POST", path, { body: { metadata: { name } } });

it("a pod that comes before its namespace's account waits for it", async () => {
  await make("/api/v1/namespaces", "quick");
  const answer = podIn("quick");
  await story.clock.advance(350);
  await make("/api/v1/namespaces/quick/serviceaccounts", "default");
  await story.clock.advance(200);
  const { status, json } = await answer;
  expect(status).toBe(201);
  expect(json).toMatchObject({ spec: { serviceAccountName: "default" } });
});

it("an account that does not come is told after two seconds at most", async () => {
  await make("/api/v1/namespaces", "bare");
  const answer = podIn("bare");
  await story.clock.advance(2_000);
  expect(await answer).toMatchObject({
    status: 403,
    json: {
      message:
        'pods "p" is forbidden: error looking up service account bare/default: serviceaccount "default" not found',
    },
  });
});

it("no controller makes an account of another name: its absence is told at once", async () => {
  await make("/api/v1/namespaces", "other");
  expect(await podIn("other", { serviceAccountName: "runner" })).toMatchObject({ status: 403 });
});
