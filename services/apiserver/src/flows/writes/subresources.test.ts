import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { apiserverStory, type Story } from "../../story.fixture.ts";

const BASE = "/api/v1/namespaces/default";
let story: Story;
beforeAll(async () => {
  story = await apiserverStory("subresources");
  await story.ask("POST", `${BASE}/serviceaccounts`, { body: { metadata: { name: "default" } } });
});
afterAll(() => story.close());

async function pod(name: string): Promise<void> {
  const spec = { containers: [{ name: "c", image: "pilothouse.local/web" }] };
  const { status } = await story.ask("POST", `${BASE}/pods?fieldManager=user`, { body: { metadata: { name }, spec } });
  expect(status).toBe(201);
}

it("a pod that is bound has a node that nobody owns, as upstream has it", async () => {
  await pod("p");
  const fieldsOf = async () => (await story.ask("GET", `${BASE}/pods/p`)).json["metadata"]?.["managedFields"];
  const before = await fieldsOf();
  const body = { metadata: { name: "p" }, target: { kind: "Node", name: "n1" } };
  await story.ask("POST", `${BASE}/pods/p/binding?fieldManager=kube-scheduler`, { body });
  expect((await story.ask("GET", `${BASE}/pods/p`)).json["spec"]?.["nodeName"]).toBe("n1");
  expect(await fieldsOf()).toEqual(before);
});

describe("fields that nobody knows, in bodies of subresources", () => {
  const bodies: readonly (readonly [what: string, target: string, body: object])[] = [
    ["a binding", "/pods/b/binding", { metadata: { name: "b" }, target: { kind: "Node", name: "n1" } }],
    ["a binding by itself", "/bindings", { metadata: { name: "b" }, target: { kind: "Node", name: "n1" } }],
    ["an eviction", "/pods/b/eviction", { metadata: { name: "b" } }],
    ["a token's request", "/serviceaccounts/default/token", { spec: {} }],
  ];
  it.each(bodies)("of %s are refused where that is asked for, else warned of", async (_what, target, body) => {
    await pod("b");
    const ask = (query: string) => story.ask("POST", `${BASE}${target}?${query}`, { body: { ...body, colour: "red" } });
    const refused = await ask("fieldValidation=Strict");
    expect([refused.status, refused.json["message"]]).toEqual([
      400,
      expect.stringContaining('strict decoding error: unknown field "colour"'),
    ]);
    const warned = await ask("");
    expect([warned.status, warned.headers["warning"]]).toEqual([201, ['299 - "unknown field \\"colour\\""']]);
    expect((await ask("fieldValidation=Ignore")).headers["warning"]).toBeUndefined();
    await story.ask("DELETE", `${BASE}/pods/b?gracePeriodSeconds=0`);
  });
});
