/** What controllers count, so that the apiserver may refuse. */
import type { Deployment } from "@pilothouse/api/types/apps-v1";
import type { HorizontalPodAutoscaler } from "@pilothouse/api/types/autoscaling-v2";
import type { Pod, ResourceQuota } from "@pilothouse/api/types/core-v1";
import type { PodDisruptionBudget } from "@pilothouse/api/types/policy-v1";
import { resources, type ApiClient } from "@pilothouse/client";
import type { Scenario } from "../scenario.ts";
import { controllerManager } from "../subjects.ts";
import { account, merge, NAMESPACE } from "./acts.ts";

const pod = (name: string) => (client: ApiClient) =>
  client.create<Pod>(resources.pods, {
    metadata: { name, namespace: NAMESPACE },
    spec: { automountServiceAccountToken: false, containers: [{ name: "web", image: "web" }] },
  });

/** Somebody was about to take it away, and thought better of it. */
const seemsToGo = (name: string) => async (client: ApiClient) => {
  const made = await webPod(name)(client);
  const target = { type: "DisruptionTarget", status: "True", reason: "PreemptionByScheduler" };
  const conditions = [...(made.status?.conditions ?? []), { ...target, lastTransitionTime: "2026-01-01T00:00:00Z" }];
  return client.update(resources.pods, { ...made, status: { ...made.status, conditions } }, { subresource: "status" });
};

const webDeployment = (client: ApiClient) =>
  client.create<Deployment>(resources.deployments, {
    metadata: { name: "web", namespace: NAMESPACE },
    spec: {
      replicas: 1,
      selector: { matchLabels: { app: "web" } },
      template: { metadata: { labels: { app: "web" } }, spec: { containers: [{ name: "web", image: "web" }] } },
    },
  });

/** Its volume would have a random name. */
const webPod = (name: string) => async (client: ApiClient) => {
  const made = await client.create<Pod>(resources.pods, {
    metadata: { name, namespace: NAMESPACE, labels: { app: "web" } },
    spec: { automountServiceAccountToken: false, nodeName: "a", containers: [{ name: "web", image: "web" }] },
  });
  const conditions = [{ type: "Ready", status: "True", lastTransitionTime: "2026-01-01T00:00:00Z" }];
  const status = { phase: "Running", conditions };
  return client.update(resources.pods, { ...made, status }, { subresource: "status" });
};

const configMap = (name: string) => (client: ApiClient) =>
  client.create(resources.configMaps, { metadata: { name, namespace: NAMESPACE } });

export const policies: readonly Scenario[] = [
  {
    // Only upwards: how long the way down takes depends on what a leader remembers.
    name: "horizontalpodautoscaler",
    subject: controllerManager("horizontalpodautoscaler"),
    steps: [
      { afterMs: 0, does: "makes a Deployment", run: webDeployment },
      {
        afterMs: 500,
        does: "lets a queue decide, up to three",
        run: (client) =>
          client.create<HorizontalPodAutoscaler>(resources.horizontalPodAutoscalers, {
            metadata: { name: "web", namespace: NAMESPACE },
            spec: {
              scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name: "web" },
              maxReplicas: 3,
              metrics: [
                {
                  type: "External",
                  external: { metric: { name: "queue" }, target: { type: "AverageValue", averageValue: "10" } },
                },
              ],
            },
          }),
      },
      {
        afterMs: 20_000,
        does: "lets it have five",
        run: (client) =>
          client.patch(resources.horizontalPodAutoscalers, NAMESPACE, "web", merge({ spec: { maxReplicas: 5 } })),
      },
    ],
  },
  {
    name: "resourcequota",
    subject: controllerManager("resourcequota"),
    // What changes a quota behind the controller's back is counted again after five minutes at the latest.
    settlesWithinMs: 330_000,
    steps: [
      { afterMs: 0, does: "makes the account that pods run as", run: account },
      { afterMs: 200, does: "makes a pod", run: pod("first") },
      {
        afterMs: 500,
        does: "limits pods and configmaps",
        run: (client) =>
          client.create<ResourceQuota>(resources.resourceQuotas, {
            metadata: { name: "quota", namespace: NAMESPACE },
            spec: { hard: { pods: "3", configmaps: "2" } },
          }),
      },
      { afterMs: 1_000, does: "makes another pod", run: pod("second") },
      { afterMs: 500, does: "makes a configmap", run: configMap("a") },
      {
        afterMs: 500,
        does: "deletes a pod",
        run: (client) => client.delete(resources.pods, NAMESPACE, "first", { gracePeriodSeconds: 0 }),
      },
      { afterMs: 500, does: "makes a third pod", run: pod("third") },
      {
        afterMs: 500,
        does: "limits something else",
        run: (client) =>
          client.patch(
            resources.resourceQuotas,
            NAMESPACE,
            "quota",
            merge({ spec: { hard: { configmaps: null, secrets: "1" } } }),
          ),
      },
    ],
  },
  {
    // Without an eviction: whether one is let through depends on what was counted by then, and so would the end.
    name: "disruption",
    subject: controllerManager("disruption"),
    settlesWithinMs: 150_000,
    steps: [
      { afterMs: 0, does: "makes the account that pods run as", run: account },
      {
        afterMs: 200,
        does: "wants one pod to stay",
        run: (client) =>
          client.create<PodDisruptionBudget>(resources.podDisruptionBudgets, {
            metadata: { name: "guard", namespace: NAMESPACE },
            spec: { minAvailable: 1, selector: { matchLabels: { app: "web" } } },
          }),
      },
      { afterMs: 500, does: "runs a pod", run: webPod("first") },
      { afterMs: 500, does: "runs another", run: webPod("second") },
      { afterMs: 500, does: "runs a third that seems about to go", run: seemsToGo("third") },
      { afterMs: 500, does: "takes one away", run: (client) => client.delete(resources.pods, NAMESPACE, "first") },
      {
        afterMs: 500,
        does: "wants none to stay",
        run: (client) =>
          client.patch(resources.podDisruptionBudgets, NAMESPACE, "guard", merge({ spec: { minAvailable: 0 } })),
      },
    ],
  },
];
