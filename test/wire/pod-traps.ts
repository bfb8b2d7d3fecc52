/** Wire traps of what a pod's user asks besides create, read, update and delete; and of kinds that two versions show. */
import { beforeAll, expect, test } from "vitest";
import type { Answer } from "./exchange.ts";
import type { WireRig } from "./rig.ts";

const NAMESPACE = "pods";
const IN = `/api/v1/namespaces/${NAMESPACE}`;
const BUDGETS = `/apis/policy/v1/namespaces/${NAMESPACE}/poddisruptionbudgets`;
const DEPLOYMENTS = `/apis/apps/v1/namespaces/${NAMESPACE}/deployments`;
const EVENTS = `/apis/events.k8s.io/v1/namespaces/${NAMESPACE}/events`;
const SCALERS = (version: string): string =>
  `/apis/autoscaling/${version}/namespaces/${NAMESPACE}/horizontalpodautoscalers`;
const STRATEGIC = "application/strategic-merge-patch+json";
const MERGE = "application/merge-patch+json";

export function podTraps(rig: () => WireRig): void {
  const ask = (path: string): Promise<Answer> => rig().api.ask({ path });
  const create = (path: string, body: object): Promise<Answer> => rig().api.ask({ method: "POST", path, body });
  const patch = (path: string, type: string, body: object): Promise<Answer> =>
    rig().api.ask({ method: "PATCH", path, headers: { "content-type": type }, body: JSON.stringify(body) });
  const makePod = (name: string): Promise<Answer> =>
    create(`${IN}/pods`, {
      metadata: { name, labels: { app: name } },
      spec: { containers: [{ name: "c", image: "pilothouse.local/c" }] },
    });

  beforeAll(async () => {
    await create("/api/v1/namespaces", { metadata: { name: NAMESPACE } });
    await create(`${IN}/serviceaccounts`, { metadata: { name: "default" } });
  });

  test("wire trap 12: an eviction that a budget refuses names no time to come back, so that kubectl itself asks again", async () => {
    await makePod("guarded");
    const isReady = { type: "Ready", status: "True", lastTransitionTime: "2026-01-01T00:00:00Z" };
    await patch(`${IN}/pods/guarded/status`, MERGE, { status: { phase: "Running", conditions: [isReady] } });
    await create(BUDGETS, {
      metadata: { name: "guard" },
      spec: { minAvailable: 1, selector: { matchLabels: { app: "guarded" } } },
    });
    const counted = { observedGeneration: 1, currentHealthy: 1, desiredHealthy: 1, expectedPods: 1 };
    await patch(`${BUDGETS}/guard/status`, MERGE, { status: { ...counted, disruptionsAllowed: 0 } });
    const refused = await create(`${IN}/pods/guarded/eviction`, {
      apiVersion: "policy/v1",
      kind: "Eviction",
      metadata: { name: "guarded" },
    });
    expect([refused.status, refused.headers["retry-after"]]).toEqual([429, undefined]);
    expect(refused.json()).toMatchObject({
      reason: "TooManyRequests",
      message: "Cannot evict pod as it would violate the pod's disruption budget.",
      details: {
        causes: [
          {
            reason: "DisruptionBudget",
            message: "The disruption budget guard needs 1 healthy pods and has 1 currently",
          },
        ],
      },
    });
  });

  test("wire trap 31: debug adds a container by a strategic patch; a pod that is not there is missed by its name", async () => {
    // The first that asks by the subresource alone is 1.23's.
    for (const client of rig().kubectls(27)) {
      const name = client.name.replace(/[ .]/g, "-");
      await makePod(name);
      const args = ["-n", NAMESPACE, "debug", name, "--image=pilothouse.local/box", "--container=look", "--", "true"];
      expect([client.name, (await rig().run(client, args)).code]).toEqual([client.name, 0]);
      expect((await ask(`${IN}/pods/${name}`)).json()).toMatchObject({
        spec: { ephemeralContainers: [{ name: "look", image: "pilothouse.local/box", command: ["true"] }] },
      });
      const missed = await rig().run(client, ["-n", NAMESPACE, "debug", "nobody", "--image=pilothouse.local/box"]);
      expect([client.name, missed.code, missed.err]).toEqual([
        client.name,
        1,
        expect.stringContaining('pods "nobody" not found'),
      ]);
    }
    const container = { spec: { ephemeralContainers: [{ name: "look", image: "pilothouse.local/box" }] } };
    const noPod = await patch(`${IN}/pods/nobody/ephemeralcontainers`, STRATEGIC, container);
    expect([noPod.status, noPod.json()]).toEqual([
      404,
      expect.objectContaining({ reason: "NotFound", details: { name: "nobody", kind: "pods" } }),
    ]);
    const noSubresource = await patch(`${IN}/pods/nobody/emphemeralcontainers`, STRATEGIC, container);
    expect(noSubresource.status).toBe(404);
    expect((noSubresource.json() as { details: object }).details).not.toHaveProperty("name");
  });

  test("wire trap 47: autoscalers in v1 and in v2, and events in both groups, are one object each", async () => {
    for (const client of rig().kubectls(20)) {
      const name = client.name.replace(/[ .]/g, "-");
      await create(DEPLOYMENTS, deployment(name));
      const args = ["-n", NAMESPACE, "autoscale", "deployment", name, "--min=2", "--max=5", "--cpu-percent=60"];
      expect([client.name, (await rig().run(client, args)).code]).toEqual([client.name, 0]);
      const inBoth = [await ask(`${SCALERS("v1")}/${name}`), await ask(`${SCALERS("v2")}/${name}`)];
      expect(inBoth.map((answer) => answer.json())).toMatchObject([
        { apiVersion: "autoscaling/v1", spec: { minReplicas: 2, maxReplicas: 5, targetCPUUtilizationPercentage: 60 } },
        {
          apiVersion: "autoscaling/v2",
          spec: {
            metrics: [
              { type: "Resource", resource: { name: "cpu", target: { type: "Utilization", averageUtilization: 60 } } },
            ],
          },
        },
      ]);
    }
    await create(EVENTS, {
      metadata: { name: "heard" },
      eventTime: "2026-01-01T00:00:00.000000Z",
      reportingController: "example.com/tester",
      reportingInstance: "tester-1",
      action: "Testing",
      reason: "Tested",
      type: "Normal",
      note: "in the new words",
      regarding: { kind: "Pod", namespace: NAMESPACE, name: "somebody" },
    });
    for (const client of rig().kubectls(20)) {
      const { out } = await rig().run(client, ["-n", NAMESPACE, "get", "events", "--no-headers"]);
      expect([client.name, out]).toEqual([
        client.name,
        expect.stringMatching(/Tested +pod\/somebody +in the new words/),
      ]);
    }
  });
}

function deployment(name: string): object {
  const labels = { app: name };
  const spec = { containers: [{ name: "c", image: "pilothouse.local/c" }] };
  return { metadata: { name }, spec: { selector: { matchLabels: labels }, template: { metadata: { labels }, spec } } };
}
