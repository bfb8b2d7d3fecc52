import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { apiserverStory, type Answer, type Json, type Story } from "../../story.fixture.ts";

const DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments";
const APPLY = "application/apply-patch+yaml";
let story: Story;
beforeAll(async () => void (story = await apiserverStory("scale")));
afterAll(() => story.close());

const template = {
  metadata: { labels: { app: "w" } },
  spec: { containers: [{ name: "c", image: "pilothouse.local/web" }] },
};

/** Applied by `owner`, with three replicas. */
async function deployment(name: string): Promise<void> {
  const spec = { replicas: 3, selector: { matchLabels: { app: "w" } }, template };
  const body = { apiVersion: "apps/v1", kind: "Deployment", metadata: { name }, spec };
  const { status } = await story.ask("PATCH", `${DEPLOYMENTS}/${name}?fieldManager=owner`, {
    body,
    contentType: APPLY,
  });
  expect(status).toBe(201);
}

function apply(name: string, query: string, spec: object = { replicas: 5 }): Promise<Answer> {
  const body = { apiVersion: "autoscaling/v1", kind: "Scale", metadata: { name }, spec };
  return story.ask("PATCH", `${DEPLOYMENTS}/${name}/scale?${query}`, { body, contentType: APPLY });
}

interface Entry {
  readonly manager: string;
  readonly operation: string;
  readonly subresource?: string;
  readonly fieldsV1: Json;
}

/** Who owns the number, as `manager operation subresource`. */
async function owners(name: string): Promise<string[]> {
  const { json } = await story.ask("GET", `${DEPLOYMENTS}/${name}`);
  const entries = json["metadata"]?.["managedFields"] as unknown as Entry[];
  const owning = entries.filter(({ fieldsV1 }) => fieldsV1["f:spec"]?.["f:replicas"] !== undefined);
  return owning.map(({ manager, operation, subresource = "" }) => `${manager} ${operation} ${subresource}`);
}

describe("a Scale that is applied", () => {
  it("is in conflict with whoever applied another number of replicas, and takes it by force", async () => {
    await deployment("w");
    const refused = await apply("w", "fieldManager=scaler");
    expect(refused.status).toBe(409);
    expect(refused.json["message"]).toBe('Apply failed with 1 conflict: conflict with "owner": .spec.replicas');
    expect(await owners("w")).toEqual(["owner Apply "]);
    const forced = await apply("w", "fieldManager=scaler&force=true");
    expect(forced.json).toMatchObject({ kind: "Scale", spec: { replicas: 5 } });
    expect(await owners("w")).toEqual(["scaler Apply scale"]);
  });

  it("shares the number with whoever applied the same", async () => {
    await deployment("same");
    expect((await apply("same", "fieldManager=scaler", { replicas: 3 })).status).toBe(200);
    expect((await owners("same")).sort()).toEqual(["owner Apply ", "scaler Apply scale"]);
  });

  it("names its manager and its kind, as any configuration does", async () => {
    await deployment("strict");
    expect((await apply("strict", "force=true")).json["message"]).toContain(
      "fieldManager: Required value: is required for apply patch",
    );
    const body = { apiVersion: "apps/v1", kind: "Deployment", metadata: { name: "strict" } };
    const wrong = await story.ask("PATCH", `${DEPLOYMENTS}/strict/scale?fieldManager=m`, { body, contentType: APPLY });
    expect([wrong.status, wrong.json["message"]]).toEqual([
      400,
      'Incorrect apiVersion in the patch: "apps/v1", expected autoscaling/v1',
    ]);
    expect((await apply("strict", "fieldManager=m", { replicas: -1 })).status).toBe(422);
    expect((await apply("strict", "fieldManager=m&fieldValidation=Strict", { replicas: 3, more: 1 })).status).toBe(400);
  });
});

describe("a number of replicas", () => {
  it("is whose who last wrote it, through the scale too", async () => {
    await deployment("u");
    const body = { spec: { replicas: 4 } };
    const contentType = "application/merge-patch+json";
    await story.ask("PATCH", `${DEPLOYMENTS}/u/scale?fieldManager=kubectl-scale`, { body, contentType });
    expect(await owners("u")).toEqual(["kubectl-scale Update scale"]);
  });

  it("is shown as kubectl get --subresource=scale shows it", async () => {
    await deployment("t");
    const accept = "application/json;as=Table;v=v1;g=meta.k8s.io";
    const { json } = await story.ask("GET", `${DEPLOYMENTS}/t/scale`, { headers: { accept } });
    const columns = json["columnDefinitions"] as unknown as { name: string }[];
    expect(columns.map(({ name }) => name)).toEqual(["Name", "Desired", "Available", "Age"]);
    expect(json["rows"]?.[0]?.["cells"]).toEqual(["t", 3, 0, "0s"]);
  });
});
