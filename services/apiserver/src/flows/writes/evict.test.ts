/** Evictions ask the budgets of the pods, and spend from them. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { apiserverStory, type Answer, type Story } from "../../story.fixture.ts";

let a: Story;
let b: Story;
let namespace: string;
let budgets: string;
let count = 0;
beforeAll(async () => {
  a = await apiserverStory("a");
  b = await apiserverStory("b", a);
});
afterAll(async () => {
  await b.close();
  await a.close();
});
beforeEach(async () => {
  const name = `n${++count}`;
  namespace = `/api/v1/namespaces/${name}`;
  budgets = `/apis/policy/v1/namespaces/${name}/poddisruptionbudgets`;
  await a.ask("POST", "/api/v1/namespaces", { body: { metadata: { name } } });
  await a.ask("POST", `${namespace}/serviceaccounts`, { body: { metadata: { name: "default" } } });
});

const ready = (status: string) => [{ type: "Ready", status }];

async function pod(name: string, isReady = true): Promise<void> {
  const spec = { nodeName: "n", containers: [{ name: "c", image: "web" }] };
  const { json } = await a.ask("POST", `${namespace}/pods`, {
    body: { metadata: { name, labels: { app: "web" } }, spec },
  });
  const status = { phase: "Running", conditions: ready(isReady ? "True" : "False") };
  await a.ask("PUT", `${namespace}/pods/${name}/status`, { body: { ...json, status } });
}

/** As the controller leaves it. */
async function budget(name: string, status: object, spec: object = { minAvailable: 1 }): Promise<void> {
  const body = { metadata: { name }, spec: { selector: { matchLabels: { app: "web" } }, ...spec } };
  const { json } = await a.ask("POST", budgets, { body });
  const counted = { observedGeneration: 1, currentHealthy: 3, desiredHealthy: 1, expectedPods: 3, ...status };
  expect((await a.ask("PUT", `${budgets}/${name}/status`, { body: { ...json, status: counted } })).status).toBe(200);
}

const evict = (name: string, { by = a, dryRun = false } = {}): Promise<Answer> =>
  by.ask("POST", `${namespace}/pods/${name}/eviction${dryRun ? "?dryRun=All" : ""}`, {
    body: { apiVersion: "policy/v1", kind: "Eviction", metadata: { name } },
  });
const statusOf = async (name: string) => (await a.ask("GET", `${budgets}/${name}`)).json["status"];
const isLeaving = async (name: string) =>
  (await a.ask("GET", `${namespace}/pods/${name}`)).json["metadata"]?.["deletionTimestamp"] !== undefined;

describe("an eviction", () => {
  it("is let through while the budget lasts, and is told why not when it is spent", async () => {
    await pod("one");
    await pod("two");
    await budget("guard", { disruptionsAllowed: 1 });
    expect((await evict("one", { dryRun: true })).status).toBe(201);
    expect((await evict("one")).status).toBe(201);
    expect(await isLeaving("one")).toBe(true);
    expect(await statusOf("guard")).toMatchObject({
      disruptionsAllowed: 0,
      disruptedPods: { one: expect.any(String) },
      conditions: [{ type: "DisruptionAllowed", status: "False", reason: "InsufficientPods" }],
    });
    const { json: evicted } = await a.ask("GET", `${namespace}/pods/one`);
    expect(evicted["status"]?.["conditions"]).toContainEqual(
      expect.objectContaining({ type: "DisruptionTarget", status: "True", reason: "EvictionByEvictionAPI" }),
    );
    const refused = await evict("two");
    expect(refused).toMatchObject({
      status: 429,
      json: {
        status: "Failure",
        message: "Cannot evict pod as it would violate the pod's disruption budget.",
        reason: "TooManyRequests",
        details: {
          causes: [
            {
              reason: "DisruptionBudget",
              message: "The disruption budget guard needs 1 healthy pods and has 3 currently",
            },
          ],
        },
        code: 429,
      },
    });
    expect(refused.json["details"]).not.toHaveProperty("retryAfterSeconds");
    expect((await evict("two", { dryRun: true })).status).toBe(429);
    expect(await isLeaving("two")).toBe(false);
  });

  it("never spends more than there is, whoever asks at once and wherever", async () => {
    const names = Array.from({ length: 8 }, (_, index) => `p${index}`);
    for (const name of names) await pod(name);
    await budget("guard", { disruptionsAllowed: 3 });
    const answers = await Promise.all(names.map((name, index) => evict(name, { by: index % 2 === 0 ? a : b })));
    expect(answers.map(({ status }) => status).toSorted((one, other) => one - other)).toEqual([
      201, 201, 201, 429, 429, 429, 429, 429,
    ]);
    const { json } = await a.ask("GET", `${namespace}/pods`);
    const items = json["items"] as unknown as { metadata: { name: string; deletionTimestamp?: string } }[];
    const leaving = items.filter(({ metadata }) => metadata.deletionTimestamp).map(({ metadata }) => metadata.name);
    expect(leaving).toHaveLength(3);
    expect(Object.keys((await statusOf("guard"))?.["disruptedPods"] ?? {}).sort()).toEqual(leaving.sort());
  });

  it("waits for a budget that is new or has changed to be counted", async () => {
    await pod("one");
    await budget("guard", { disruptionsAllowed: 5, observedGeneration: 0 });
    expect(await evict("one")).toMatchObject({
      status: 429,
      json: {
        details: {
          retryAfterSeconds: 10,
          causes: [
            {
              reason: "DisruptionBudget",
              message: "The disruption budget guard is still being processed by the server.",
            },
          ],
        },
      },
    });
  });

  it("of a pod that serves nobody costs nothing, if enough others do or the budget says so", async () => {
    await pod("broken", false);
    await budget("guard", { disruptionsAllowed: 0, currentHealthy: 0, desiredHealthy: 1 });
    expect((await evict("broken")).status).toBe(429);
    const always = {
      body: { spec: { unhealthyPodEvictionPolicy: "AlwaysAllow" } },
      contentType: "application/merge-patch+json",
    };
    await a.ask("PATCH", `${budgets}/guard`, always);
    expect((await evict("broken")).status).toBe(201);
    expect(await statusOf("guard")).not.toHaveProperty("disruptedPods");
  });

  it("of a pod with two budgets fails", async () => {
    await pod("one");
    await budget("guard", { disruptionsAllowed: 1 });
    await budget("another", { disruptionsAllowed: 1 });
    expect(await evict("one")).toMatchObject({
      status: 500,
      json: {
        message: "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
      },
    });
    expect(await isLeaving("one")).toBe(false);
  });

  it("of a pod that is not running yet is a delete", async () => {
    const body = {
      metadata: { name: "new", labels: { app: "web" } },
      spec: { containers: [{ name: "c", image: "web" }] },
    };
    await a.ask("POST", `${namespace}/pods`, { body });
    await budget("guard", { disruptionsAllowed: 0 });
    expect((await evict("new")).status).toBe(201);
    expect((await a.ask("GET", `${namespace}/pods/new`)).status).toBe(404);
  });
});

it("a budget is one thing or the other, and shown in a row", async () => {
  const both = { metadata: { name: "x" }, spec: { minAvailable: 1, maxUnavailable: "101%" } };
  const { json } = await a.ask("POST", budgets, { body: both });
  expect(json["message"]).toContain("minAvailable and maxUnavailable cannot be both set");
  expect(json["message"]).toContain('spec.maxUnavailable: Invalid value: "101%": must not be greater than 100%');
  await budget("guard", { disruptionsAllowed: 2 }, { maxUnavailable: "20%" });
  const accept = "application/json;as=Table;v=v1;g=meta.k8s.io";
  const table = await a.ask("GET", `${budgets}/guard`, { headers: { accept } });
  expect(table.json["rows"]?.[0]?.["cells"]).toEqual(["guard", "N/A", "20%", 2, expect.any(String)]);
});
