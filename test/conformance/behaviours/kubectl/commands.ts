/** The real kubectl, as its users type it. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { request } from "node:http";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { TOOLBOX_IMAGE, WEB_IMAGE, WEB_V2_IMAGE } from "../../../../deploy/images.ts";
import type { Behaviours } from "../../behaviour.ts";
import { scriptPod, waitingPod, type Trial } from "../../trial.ts";
import { webPod } from "../network/services.ts";

const named = (rest: string): string => `[sig-cli] ${rest} [Conformance]`;

function controller(name: string, replicas: number): object {
  const labels = { app: name };
  return {
    apiVersion: "v1",
    kind: "ReplicationController",
    metadata: { name, labels },
    spec: { replicas, selector: labels, template: { metadata: { labels }, spec: webPod(name)["spec"] as object } },
  };
}

async function running(t: Trial, name: string, replicas: number): Promise<void> {
  await t.until(`${name} has ${replicas} running pods`, async () => {
    const { items } = await t.api("v1", "pods").list({ labelSelector: `app=${name}` });
    const alive = items.filter(({ metadata }) => metadata.deletionTimestamp === undefined);
    return alive.length === replicas && alive.every(({ status }) => status.phase === "Running");
  });
}

async function create(t: Trial, object: object): Promise<void> {
  await t.kubectlWith(JSON.stringify(object), "create", "-f", "-");
}

/** `kubectl proxy` with these arguments, asked for /api/ by `ask` once it says where it serves. */
async function proxied(t: Trial, args: readonly string[], ask: (said: string) => Promise<string>): Promise<void> {
  const { program, kubeconfig } = t.commands;
  const child = spawn(program, ["--kubeconfig", kubeconfig, "proxy", ...args], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  t.afterwards(async () => child.kill());
  const said = await new Promise<string>((resolve, reject) => {
    child.stdout.once("data", (chunk: Buffer) => resolve(chunk.toString()));
    child.once("exit", (code) => reject(new Error(`kubectl proxy ended with ${code}`)));
  });
  assert.deepEqual((JSON.parse(await ask(said)) as { versions: string[] }).versions, ["v1"]);
}

function bodyOf(options: object): Promise<string> {
  return new Promise((resolve, reject) => {
    const sent = request({ ...options, path: "/api/" }, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (part: string) => (text += part));
      response.once("end", () => resolve(text));
    });
    sent.once("error", reject).end();
  });
}

export const commands: Behaviours = {
  [named("Kubectl client Kubectl api-versions should check if v1 is in available api versions")]: async (t) => {
    assert.ok((await t.kubectl("api-versions")).split("\n").includes("v1"));
  },
  [named(
    "Kubectl client Kubectl cluster-info should check if Kubernetes control plane services is included in cluster-info",
  )]: async (t) => assert.match(await t.kubectl("cluster-info"), /Kubernetes control plane.* is running at/),
  [named("Kubectl client Kubectl version should check is all data is printed")]: async (t) => {
    const said = await t.kubectl("version", "-o", "json");
    for (const field of ["clientVersion", "serverVersion", "major", "minor", "gitVersion", "gitCommit"]) {
      assert.match(said, new RegExp(`"${field}"`));
    }
  },
  [named("Kubectl client Proxy server should support proxy with --port 0")]: (t) =>
    proxied(t, ["-p", "0", "--disable-filter"], (said) =>
      bodyOf({ host: "127.0.0.1", port: Number(/:(\d+)/.exec(said)?.[1]) }),
    ),
  [named("Kubectl client Proxy server should support --unix-socket=/path")]: async (t) => {
    const directory = mkdtempSync(join(tmpdir(), "ph-proxy-"));
    t.afterwards(async () => rmSync(directory, { recursive: true }));
    const socketPath = join(directory, "socket");
    await proxied(t, [`--unix-socket=${socketPath}`], () => bodyOf({ socketPath }));
  },

  [named("Kubectl client Kubectl run pod should create a pod from an image when restart is Never")]: async (t) => {
    await t.kubectl("run", "once", "--restart=Never", `--image=${WEB_IMAGE}`);
    const { spec } = await t.api("v1", "pods").get("once");
    assert.equal(spec.containers[0].image, WEB_IMAGE);
    assert.equal(spec.restartPolicy, "Never");
  },
  [named("Kubectl client Kubectl replace should update a single-container pod's image")]: async (t) => {
    await t.kubectl("run", "replaced", `--image=${WEB_IMAGE}`, "--labels=run=replaced");
    await t.ready("replaced");
    const pod = await t.kubectl("get", "pod", "replaced", "-o", "json");
    await t.kubectlWith(pod.replaceAll(`"image": "${WEB_IMAGE}"`, `"image": "${WEB_V2_IMAGE}"`), "replace", "-f", "-");
    assert.equal((await t.api("v1", "pods").get("replaced"))["spec"].containers[0].image, WEB_V2_IMAGE);
  },
  [named("Kubectl client Kubectl server-side dry-run should check if kubectl can dry-run update Pods")]: async (t) => {
    await t.kubectl("run", "kept", `--image=${WEB_IMAGE}`, "--labels=run=kept");
    await t.ready("kept");
    const patch = { spec: { containers: [{ name: "kept", image: TOOLBOX_IMAGE }] } };
    await t.kubectl("patch", "pod", "kept", "-p", JSON.stringify(patch), "--dry-run=server");
    assert.equal((await t.api("v1", "pods").get("kept"))["spec"].containers[0].image, WEB_IMAGE);
  },
  [named("Kubectl client Kubectl label should update the label on a resource")]: async (t) => {
    await t.api("v1", "pods").create(waitingPod("labelled"));
    await t.kubectl("label", "pods", "labelled", "testing-label=testing-label-value");
    assert.match(await t.kubectl("get", "pod", "labelled", "-L", "testing-label"), /testing-label-value/);
    await t.kubectl("label", "pods", "labelled", "testing-label-");
    assert.doesNotMatch(await t.kubectl("get", "pod", "labelled", "-L", "testing-label"), /testing-label-value/);
  },
  [named("Kubectl client Kubectl diff should check if kubectl diff finds a difference for Deployments")]: async (t) => {
    const labels = { app: "differs" };
    const deployment = (image: string): string =>
      JSON.stringify({
        apiVersion: "apps/v1",
        kind: "Deployment",
        metadata: { name: "differs", labels },
        spec: {
          selector: { matchLabels: labels },
          template: { metadata: { labels }, spec: { containers: [{ name: "web", image }] } },
        },
      });
    await t.kubectlWith(deployment(WEB_IMAGE), "create", "-f", "-");
    const failed = await t.kubectlWith(deployment(WEB_V2_IMAGE), "diff", "-f", "-").catch((error: unknown) => error);
    const said = (failed as Error).message;
    assert.match(said, new RegExp(`-.*image: ${WEB_IMAGE}`));
    assert.match(said, new RegExp(`\\+.*image: ${WEB_V2_IMAGE}`));
  },

  [named("Kubectl client Update Demo should create and stop a replication controller")]: async (t) => {
    await create(t, controller("demo", 2));
    await running(t, "demo", 2);
    await t.kubectl("delete", "rc", "demo", "--grace-period=0", "--force");
    await t.until("its pods are gone", async () => (await t.kubectl("get", "pods", "-o", "name")) === "");
  },
  [named("Kubectl client Update Demo should scale a replication controller")]: async (t) => {
    await create(t, controller("demo", 2));
    await running(t, "demo", 2);
    await t.kubectl("scale", "rc", "demo", "--replicas=1", "--timeout=5m");
    await running(t, "demo", 1);
    await t.kubectl("scale", "rc", "demo", "--replicas=2", "--timeout=5m");
    await running(t, "demo", 2);
  },
  [named("Kubectl client Kubectl patch should add annotations for pods in rc")]: async (t) => {
    await create(t, controller("patched", 1));
    await running(t, "patched", 1);
    const patch = JSON.stringify({ metadata: { annotations: { x: "y" } } });
    for (const pod of (await t.kubectl("get", "pods", "-o", "name")).trim().split("\n")) {
      await t.kubectl("patch", pod, "-p", patch);
      assert.equal(await t.kubectl("get", pod, "-o", "jsonpath={.metadata.annotations.x}"), "y");
    }
  },
  [named("Kubectl client Kubectl expose should create services for rc")]: async (t) => {
    await create(t, controller("exposed", 1));
    await running(t, "exposed", 1);
    const check = async (name: string, port: number): Promise<void> => {
      const { spec } = await t.api("v1", "services").get(name);
      assert.deepEqual([spec.ports[0].port, spec.ports[0].targetPort], [port, 80]);
      await t.until(`${name} has an endpoint`, async () => {
        const subsets = (await t.api("v1", "endpoints").get(name))["subsets"] as { addresses?: object[] }[] | undefined;
        return subsets?.[0]?.addresses?.length === 1;
      });
    };
    await t.kubectl("expose", "rc", "exposed", "--name=first", "--port=1234", "--target-port=80");
    await check("first", 1234);
    await t.kubectl("expose", "service", "first", "--name=second", "--port=2345", "--target-port=80");
    await check("second", 2345);
  },
  [named(
    "Kubectl client Kubectl describe should check if kubectl describe prints relevant information for rc and pods",
  )]: async (t) => {
    await create(t, controller("described", 1));
    await running(t, "described", 1);
    const says = async (args: readonly string[], ...wanted: readonly RegExp[]): Promise<void> => {
      const said = await t.kubectl("describe", ...args);
      for (const each of wanted) assert.match(said, each);
    };
    const [pod = ""] = (await t.kubectl("get", "pods", "-o", "name")).trim().split("\n");
    await says(
      [pod],
      /Controlled By:\s+ReplicationController\/described/,
      /Status:\s+Running/,
      /Node:/,
      /Labels:\s+app=described/,
    );
    await says(
      ["rc", "described"],
      /Replicas:\s+1 current \/ 1 desired/,
      /Pods Status:\s+1 Running/,
      /SuccessfulCreate/,
    );
    await t.kubectl("expose", "rc", "described", "--port=80");
    await says(["service", "described"], /Type:\s+ClusterIP/, /Endpoints:/, /Session Affinity:\s+None/);
    const { items } = await t.clusterApi("v1", "nodes").list();
    await says(
      ["node", items[0]?.metadata.name ?? ""],
      /Conditions:/,
      /Capacity:/,
      /Kubelet Version:/,
      /Non-terminated Pods:/,
    );
    await says(["namespace", t.namespace], /Status:\s+Active/);
  },
  [named("Kubectl client Guestbook application should create and stop a working application")]: async (t) => {
    for (const [tier, replicas] of [
      ["frontend", 3],
      ["primary", 1],
      ["replica", 2],
    ] as const) {
      const labels = { app: "guestbook", tier };
      const spec = {
        replicas,
        selector: { matchLabels: labels },
        template: { metadata: { labels }, spec: webPod(tier)["spec"] as object },
      };
      await create(t, { apiVersion: "apps/v1", kind: "Deployment", metadata: { name: tier }, spec });
      await create(t, {
        apiVersion: "v1",
        kind: "Service",
        metadata: { name: tier },
        spec: { selector: labels, ports: [{ port: 80 }] },
      });
    }
    for (const tier of ["frontend", "primary", "replica"]) {
      await t.kubectl("rollout", "status", `deployment/${tier}`, "--timeout=120s");
    }
    await t.api("v1", "pods").create(waitingPod("visitor"));
    await t.ready("visitor");
    for (const tier of ["frontend", "primary", "replica"]) {
      await t.until(`${tier} answers`, async () => {
        const asked = t.exec("visitor", "sh", "-c", `timeout 3 wget -q -O - http://${tier}/hostname`);
        return (await asked.catch(() => "")).startsWith(tier);
      });
    }
    await t.kubectl("delete", "deployment,service", "--all", "--timeout=60s");
  },

  [named("Kubectl logs logs should be able to retrieve and filter logs")]: async (t) => {
    const script = "for i in $(seq 20); do echo line $i; done; sleep 5; echo later; sleep 1000";
    await t.api("v1", "pods").create(scriptPod(script, { name: "writer" }));
    await t.until("it has written", async () =>
      (await t.kubectl("logs", "writer").catch(() => "")).includes("line 20"),
    );
    assert.equal(await t.kubectl("logs", "writer", "--limit-bytes=1"), "l");
    assert.match(await t.kubectl("logs", "writer", "--tail=1", "--timestamps"), /^\d{4}-\d\d-\d\dT[\d:.]+Z \S+.*\n$/);
    await t.until("it has written later", async () => (await t.kubectl("logs", "writer", "--tail=1")) === "later\n");
    await new Promise((resolve) => setTimeout(resolve, 3_000));
    assert.equal(await t.kubectl("logs", "writer", "--since=1s"), "");
    assert.equal((await t.kubectl("logs", "writer", "--since=24h")).split("\n").length, 22);
  },
};
