/** A chart with hooks, tests and a look at the cluster through its whole life, by every helm: what a release's user does. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { CommandFailed, type TestCluster } from "../harness/cluster.ts";
import { until } from "../harness/index.ts";
import { realClients, type Client } from "../wire/clients.ts";

const TOOLBOX = "pilothouse.local/toolbox:latest";

export function helmReleases(cluster: TestCluster): void {
  let helms: readonly Client[] = [];
  let directory = "";

  beforeAll(async () => {
    helms = (await realClients()).found.filter(({ name }) => name.startsWith("helm"));
    directory = mkdtempSync(join(tmpdir(), "helm-"));
    writeChart(join(directory, "shop"));
  }, 180_000);

  afterAll(() => rmSync(directory, { recursive: true }));

  describe.each(["helm 3", "helm 4"])("%s", (name) => {
    const namespace = name.replace(" ", "-");
    const helm = (...args: readonly string[]): Promise<string> => {
      const client = helms.find((one) => one.name === name);
      if (!client) throw new Error(`${name} is not to be had`);
      return cluster.onNode("env", [`HOME=${join(directory, namespace)}`, client.path, "-n", namespace, ...args]);
    };
    const refused = async (...args: readonly string[]): Promise<string> => {
      try {
        throw new Error(`did not fail: ${await helm(...args)}`);
      } catch (error) {
        if (error instanceof CommandFailed) return error.stderr;
        throw error;
      }
    };
    const k = (args: string): Promise<string> => cluster.kubectl(`-n ${namespace} ${args}`);
    const change = (...args: readonly string[]): readonly string[] => [
      "upgrade",
      "shop",
      join(directory, "shop"),
      "--timeout=90s",
      ...args,
    ];
    const served = async (): Promise<string> => await k("exec deploy/shop -- wget -qO- http://shop/version");
    const turns = async (): Promise<string> => await k("get configmap shop -o jsonpath={.data.turns}");

    beforeAll(async () => {
      await cluster.kubectl(`create namespace ${namespace}`);
      await until("its account is there", async () => (await k("get serviceaccounts -o name")) !== "", 10_000);
    }, 30_000);

    afterAll(async () => {
      await cluster.kubectl(`delete namespace ${namespace} --timeout=60s`);
    }, 90_000);

    test(
      "installs: one Job runs before anything is made, one when all of it is ready",
      { timeout: 120_000 },
      async () => {
        const said = await helm("install", "shop", join(directory, "shop"), "--wait", "--timeout=90s");
        expect(said).toMatch(/^STATUS: deployed$/m);
        const before = JSON.parse(await k("get job shop-before -o json")) as { status: { completionTime: string } };
        const deployment = JSON.parse(await k("get deployment shop -o json")) as {
          metadata: { creationTimestamp: string };
          status: { readyReplicas: number };
        };
        expect(before.status.completionTime <= deployment.metadata.creationTimestamp).toBe(true);
        expect(deployment.status.readyReplicas).toBe(2);
        // It asked the Service, once, when it was told to.
        expect(await k("logs job/shop-after")).toBe("v1\n");
        expect(await turns()).toBe("1");
      },
    );

    test("tests the release by its test hook, and shows what it said", { timeout: 60_000 }, async () => {
      const said = await helm("test", "shop", "--logs", "--timeout=50s");
      expect(said).toMatch(/^TEST SUITE: +shop-test$/m);
      expect(said).toMatch(/^Phase: +Succeeded$/m);
      expect(said).toMatch(/^POD LOGS: shop-test\nv1$/m);
    });

    test("upgrades, having looked at what there is", { timeout: 120_000 }, async () => {
      expect(await helm(...change("--wait", "--set=version=v2"))).toMatch(/^REVISION: 2$/m);
      expect([await served(), await turns()]).toEqual(["v2\n", "2"]);
    });

    test("changes nothing when the Job before it fails, and says why", { timeout: 120_000 }, async () => {
      const why = await refused(...change("--set=version=v1", "--set=before=exit 1"));
      expect(why).toContain("UPGRADE FAILED: pre-upgrade hooks failed: ");
      expect(why).toMatch(
        name === "helm 3" ? /BackoffLimitExceeded/ : /status: Failed, message: Job Failed\. failed: 1\/1/,
      );
      expect([await served(), await turns()]).toEqual(["v2\n", "2"]);
      expect(await helm("status", "shop")).toMatch(/^STATUS: failed$/m);
    });

    test("goes back by itself when what it made does not become ready", { timeout: 120_000 }, async () => {
      const back = name === "helm 3" ? "--atomic" : "--rollback-on-failure";
      const why = await refused(...change(back, "--timeout=15s", "--set=version=none"));
      expect(why).toMatch(/UPGRADE FAILED: release shop failed, and has been rolled back/);
      expect(await served()).toBe("v2\n");
    });

    test("rolls back to the first revision", { timeout: 120_000 }, async () => {
      expect(await helm("rollback", "shop", "1", "--wait", "--timeout=90s")).toContain("Rollback was a success");
      expect([await served(), await turns()]).toEqual(["v1\n", "1"]);
      const history = JSON.parse(await helm("history", "shop", "-o", "json")) as {
        description: string;
        status: string;
      }[];
      expect(history[0]).toMatchObject({ status: "superseded", description: "Install complete" });
      expect(history.at(-1)).toMatchObject({ status: "deployed", description: "Rollback to 1" });
    });

    test("shows what an upgrade would make without making it", { timeout: 60_000 }, async () => {
      const shown = await helm(...change("--dry-run=server", "--set=version=v2"));
      expect(shown).toContain("image: pilothouse.local/web:v2");
      expect(shown).toContain('turns: "2"');
      expect([await served(), await turns()]).toEqual(["v1\n", "1"]);
    });

    test("uninstalls, and waits until all of it is gone", { timeout: 120_000 }, async () => {
      expect(await helm("uninstall", "shop", "--wait", "--timeout=90s")).toContain('release "shop" uninstalled');
      expect(await k("get deployments,replicasets,services,configmaps -l app=shop -o name")).toBe("");
      expect(await helm("list", "-q")).toBe("");
      expect(await k("get secrets -l owner=helm -o name")).toBe("");
    });
  });
}

/** Two web servers behind a Service; how often it was installed or upgraded is counted by a look at what is there. */
function writeChart(chart: string): void {
  mkdirSync(join(chart, "templates/tests"), { recursive: true });
  for (const [path, text] of Object.entries(CHART)) writeFileSync(join(chart, path), text);
}

const CHART: Readonly<Record<string, string>> = {
  "Chart.yaml": 'apiVersion: v2\nname: shop\nversion: 0.1.0\nkubeVersion: ">=1.30.0"\n',
  "values.yaml": 'version: v1\nbefore: "true"\n',
  "templates/shop.yaml": `
{{- $before := lookup "v1" "ConfigMap" .Release.Namespace .Release.Name }}
apiVersion: v1
kind: ConfigMap
metadata: {name: {{ .Release.Name }}, labels: {app: shop}}
data:
  turns: {{ add1 (dig "data" "turns" "0" $before) | quote }}
---
apiVersion: v1
kind: Service
metadata: {name: {{ .Release.Name }}, labels: {app: shop}}
spec: {selector: {app: shop}, ports: [{port: 80}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: {{ .Release.Name }}, labels: {app: shop}}
spec:
  replicas: 2
  selector: {matchLabels: {app: shop}}
  template:
    metadata: {labels: {app: shop}}
    spec:
      containers:
        - name: web
          image: pilothouse.local/web:{{ .Values.version }}
          imagePullPolicy: IfNotPresent
          ports: [{containerPort: 80}]
          readinessProbe: {httpGet: {path: /healthz, port: 80}, periodSeconds: 1}
`,
  "templates/hooks.yaml": [
    job("before", "pre-install,pre-upgrade", "{{ .Values.before }}"),
    job("after", "post-install", "wget -qO- http://{{ .Release.Name }}/version"),
  ].join("---\n"),
  "templates/tests/web.yaml": `
apiVersion: v1
kind: Pod
metadata:
  name: {{ .Release.Name }}-test
  annotations: {helm.sh/hook: test, helm.sh/hook-delete-policy: before-hook-creation}
spec:
  restartPolicy: Never
  containers:
    - name: test
      image: ${TOOLBOX}
      imagePullPolicy: IfNotPresent
      command: [wget, -qO-, "http://{{ .Release.Name }}/version"]
`,
};

function job(name: string, hooks: string, script: string): string {
  return `apiVersion: batch/v1
kind: Job
metadata:
  name: {{ .Release.Name }}-${name}
  annotations: {helm.sh/hook: "${hooks}", helm.sh/hook-delete-policy: before-hook-creation}
spec:
  backoffLimit: 0
  template:
    spec:
      restartPolicy: Never
      containers:
        - name: job
          image: ${TOOLBOX}
          imagePullPolicy: IfNotPresent
          command: [sh, -c, "${script}"]
`;
}
