/** Claims of the default class, as a chart's StatefulSet makes them: a volume each, for as long as the claim is there. */
import { existsSync, readdirSync } from "node:fs";
import type { PersistentVolumeClaim } from "@pilothouse/api/types/core-v1";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { TestCluster } from "../harness/cluster.ts";
import { until } from "../harness/index.ts";

const NAMESPACE = "volumes";
const IMAGE = "pilothouse.local/toolbox:latest";

export function volumes(cluster: TestCluster): void {
  const kubectl = (command: string, input?: string): Promise<string> =>
    cluster.kubectl(["-n", NAMESPACE, ...command.split(" ")], input);
  const directories = (): readonly string[] =>
    existsSync(cluster.layout.volumes) ? readdirSync(cluster.layout.volumes) : [];

  beforeAll(async () => {
    await cluster.kubectl(`create namespace ${NAMESPACE}`);
  });

  afterAll(async () => {
    await cluster.kubectl(`delete namespace ${NAMESPACE} --timeout=60s`);
  }, 90_000);

  test("a StatefulSet's pods have volumes that outlive them", { timeout: 120_000 }, async () => {
    await kubectl("apply -f -", JSON.stringify(database));
    await kubectl("rollout status statefulset/db --timeout=60s");
    const seen = JSON.parse(await kubectl("get pvc -o json")) as { items: readonly PersistentVolumeClaim[] };
    const claims = seen.items.map(({ metadata, spec, status }) => [
      metadata.name,
      spec.storageClassName,
      status?.phase,
    ]);
    expect(claims).toEqual([
      ["data-db-0", "standard", "Bound"],
      ["data-db-1", "standard", "Bound"],
    ]);
    expect(directories()).toHaveLength(2);
    await kubectl("exec db-0 -- cp /etc/hostname /data/file");
    const written = await kubectl("exec db-0 -- cat /data/file");
    await kubectl("delete pod db-0");
    await kubectl("rollout status statefulset/db --timeout=60s");
    expect(await kubectl("exec db-0 -- cat /data/file")).toBe(written);
  });

  test("and that go with their claims", { timeout: 120_000 }, async () => {
    await kubectl("delete statefulset db --timeout=30s");
    await kubectl("delete pvc --all --timeout=30s");
    await until("their directories are removed", () => directories().length === 0, 30_000);
    await until("their volumes are gone", async () => (await cluster.kubectl("get pv -o name")) === "", 30_000);
    const helpers = "get pods -n kube-system -l app.kubernetes.io/name=local-volume-provisioner -o name";
    await until("nothing helps any more", async () => (await cluster.kubectl(helpers)) === "", 30_000);
  });
}

/** Its user is not root, and it mounts no more than its claim. */
const database = {
  apiVersion: "apps/v1",
  kind: "StatefulSet",
  metadata: { name: "db" },
  spec: {
    replicas: 2,
    serviceName: "db",
    selector: { matchLabels: { app: "db" } },
    template: {
      metadata: { labels: { app: "db" } },
      spec: {
        terminationGracePeriodSeconds: 0,
        securityContext: { runAsUser: 1000, runAsGroup: 1000 },
        containers: [
          {
            name: "db",
            image: IMAGE,
            imagePullPolicy: "IfNotPresent",
            command: ["sleep", "3600"],
            volumeMounts: [{ name: "data", mountPath: "/data" }],
          },
        ],
      },
    },
    volumeClaimTemplates: [
      {
        metadata: { name: "data" },
        spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "64Mi" } } },
      },
    ],
  },
};
