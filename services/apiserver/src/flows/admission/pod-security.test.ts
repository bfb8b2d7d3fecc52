import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { kindOf } from "@pilothouse/kinds";
import type { RequestContext } from "../../core/model.ts";
import { apiserverStory, type Answer, type Story } from "../../story.fixture.ts";
import type { AdmissionDeps, AdmissionRequest } from "./admission.ts";
import { podSecurityWith } from "./pod-security.ts";

const SAFE = "/api/v1/namespaces/safe";
const MERGE = "application/merge-patch+json";
const label = (labels: object) => ({ body: { metadata: { labels } }, contentType: MERGE });
const pod = (name: string, spec: object = {}) => ({
  body: { metadata: { name }, spec: { containers: [{ name: "c", image: "web" }], ...spec } },
});
const warningsOf = ({ headers }: Answer) => headers["warning"];

let story: Story;
beforeAll(async () => {
  story = await apiserverStory();
  const labels = { "pod-security.kubernetes.io/enforce": "baseline" };
  await story.ask("POST", "/api/v1/namespaces", { body: { metadata: { name: "safe", labels } } });
  await story.ask("POST", `${SAFE}/serviceaccounts`, { body: { metadata: { name: "default" } } });
});
afterAll(() => story.close());

describe("pod security", () => {
  it("refuses pods by the level that is enforced, and warns of workloads that would make them", async () => {
    const refused = await story.ask("POST", `${SAFE}/pods`, pod("shared", { hostNetwork: true }));
    expect(refused).toMatchObject({
      status: 403,
      json: {
        message:
          'pods "shared" is forbidden: violates PodSecurity "baseline:latest": host namespaces (hostNetwork=true)',
      },
    });
    expect(await story.ask("POST", `${SAFE}/pods`, pod("plain"))).toMatchObject({ status: 201 });
    const template = {
      metadata: { labels: { app: "a" } },
      spec: { hostPID: true, containers: [{ name: "c", image: "web" }] },
    };
    const deployment = { metadata: { name: "d" }, spec: { selector: { matchLabels: { app: "a" } }, template } };
    const made = await story.ask("POST", "/apis/apps/v1/namespaces/safe/deployments", { body: deployment });
    expect(made.status).toBe(201);
    expect(warningsOf(made)).toEqual([
      '299 - "would violate PodSecurity \\"baseline:latest\\": host namespaces (hostPID=true)"',
    ]);
  });

  it("warns of pods that meet what is enforced and not what is wished for", async () => {
    await story.ask("PATCH", SAFE, label({ "pod-security.kubernetes.io/warn": "restricted" }));
    const made = await story.ask("POST", `${SAFE}/pods?dryRun=All`, pod("soft"));
    expect(made.status).toBe(201);
    expect(String(warningsOf(made))).toContain(
      'would violate PodSecurity \\"restricted:latest\\": allowPrivilegeEscalation != false',
    );
  });

  it("tells who asks for more which pods do not meet it, and refuses labels that say nothing", async () => {
    const stricter = await story.ask("PATCH", SAFE, label({ "pod-security.kubernetes.io/enforce": "restricted" }));
    expect(stricter.status).toBe(200);
    expect(warningsOf(stricter)).toEqual([
      '299 - "existing pods in namespace \\"safe\\" violate the new PodSecurity enforce level \\"restricted:latest\\""',
      '299 - "plain: allowPrivilegeEscalation != false, unrestricted capabilities, runAsNonRoot != true, seccompProfile"',
    ]);
    const wrong = await story.ask("PATCH", SAFE, label({ "pod-security.kubernetes.io/enforce": "most" }));
    expect(wrong).toMatchObject({ status: 422, json: { reason: "Invalid" } });
    expect(wrong.json["message"]).toContain("must be one of privileged, baseline, restricted");
  });

  it("leaves pods alone that are there already, until their images change", async () => {
    const labelled = await story.ask("PATCH", `${SAFE}/pods/plain`, label({ a: "b" }));
    expect(labelled.status).toBe(200);
    const body = { spec: { containers: [{ name: "c", image: "other" }] } };
    const strategic = "application/strategic-merge-patch+json";
    expect((await story.ask("PATCH", `${SAFE}/pods/plain`, { body, contentType: strategic })).status).toBe(403);
  });

  it("asks nothing of who is exempt", async () => {
    const plugin = podSecurityWith({ namespaces: ["kube-system"], usernames: ["root"], runtimeClasses: ["vm"] });
    const cached = {
      judge: <T>(attempt: () => T) => attempt(),
      get: () => ({ metadata: { labels: { "pod-security.kubernetes.io/enforce": "restricted" } } }),
    };
    const judge = (namespace: string, user: string, runtimeClassName?: string) => {
      const spec = { containers: [{ name: "c" }], ...(runtimeClassName ? { runtimeClassName } : {}) };
      const context = {
        info: { namespace, subresource: "" },
        user: { name: user },
        request: {},
        warn: () => undefined,
      };
      const request = {
        operation: "CREATE",
        kind: kindOf("", "v1", "pods"),
        context: context as unknown as RequestContext,
        object: { metadata: {}, spec },
      };
      return plugin.validate?.({ cached } as unknown as AdmissionDeps, request as unknown as AdmissionRequest);
    };
    await expect(judge("a", "somebody")).rejects.toThrow("violates PodSecurity");
    await judge("kube-system", "somebody");
    await judge("a", "root");
    await judge("a", "somebody", "vm");
  });
});
