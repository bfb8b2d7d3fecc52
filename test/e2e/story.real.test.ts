/**
 * The story of a user's own introduction to Kubernetes, on a real cluster made by `up`, with the real kubectl. The chapters
 * stand on each other; docs/first-steps.md tells the same story to a newcomer.
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { cniResultsOf } from "../../deploy/cluster/cni-results.ts";
import { ensureNetns } from "../../deploy/cluster/host.ts";
import { markedProcesses } from "../../deploy/cluster/marked-processes.ts";
import { CommandFailed, startOnNode, testCluster } from "../harness/cluster.ts";
import { until } from "../harness/index.ts";
import { helmReleases } from "./helm.ts";
import { kubectlTranscripts } from "./kubectl-transcripts.ts";
import { kubectlVerbs } from "./kubectl-verbs.ts";
import { registry } from "./registry.ts";
import { streams } from "./streams.ts";
import { volumes } from "./volumes.ts";

const cluster = testCluster();
const { kubectl, onNode, pilot } = cluster;
const manifest = join(import.meta.dirname, "../../docs/hello.yaml");
const SERVICES = ["apiserver", "scheduler", "controller-manager", "kubelet", "proxy", "dns"] as const;

interface PodLine {
  readonly name: string;
  readonly uid: string;
  readonly containerId: string;
  readonly restarts: number;
  readonly startedAt: string;
}

/** The running pods of an app, by name. */
async function pods(app: string): Promise<readonly PodLine[]> {
  const list = JSON.parse(await kubectl(["get", "pods", "-l", `app=${app}`, "-o", "json"])) as {
    items: {
      metadata: { name: string; uid: string; deletionTimestamp?: string };
      status: {
        containerStatuses?: {
          containerID?: string;
          restartCount: number;
          state: { running?: { startedAt: string } };
        }[];
      };
    }[];
  };
  return list.items
    .filter(({ metadata }) => metadata.deletionTimestamp === undefined)
    .map(({ metadata, status }) => ({
      name: metadata.name,
      uid: metadata.uid,
      containerId: status.containerStatuses?.[0]?.containerID ?? "",
      restarts: status.containerStatuses?.[0]?.restartCount ?? 0,
      startedAt: status.containerStatuses?.[0]?.state.running?.startedAt ?? "",
    }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** What a command says when it fails. */
async function refusal(work: Promise<string>): Promise<string> {
  try {
    return `did not fail: ${await work}`;
  } catch (error) {
    if (error instanceof CommandFailed) return error.stderr.trim();
    throw error;
  }
}

function serviceIp(name: string): Promise<string> {
  return kubectl(["get", "service", name, "-o", "jsonpath={.spec.clusterIP}"]);
}

/** Runs `work` while clients call the web Service; tells how many calls there were and which failed. */
async function underLoad(work: () => Promise<void>): Promise<{ answered: number; failed: number; failures: string[] }> {
  const load = startOnNode(cluster, process.execPath, [
    join(import.meta.dirname, "load.ts"),
    `http://${await serviceIp("web")}/hostname`,
    "4",
  ]);
  try {
    await until("the load has begun", () => load.said() !== "", 20_000);
    await work();
  } finally {
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
  return JSON.parse(await load.stop()) as { answered: number; failed: number; failures: string[] };
}

beforeAll(async () => {
  process.stdout.write(await cluster.up());
}, 180_000);

afterAll(async () => {
  await cluster.down();
}, 120_000);

describe("a manifest becomes running containers", () => {
  test("two Deployments and two Services are applied and become ready", { timeout: 90_000 }, async () => {
    const applied = await kubectl(["apply", "-f", manifest]);
    expect(applied.trim().split("\n")).toEqual([
      "deployment.apps/web created",
      "service/web created",
      "deployment.apps/toolbox created",
      "service/toolbox created",
    ]);
    expect(await kubectl("rollout status deployment/web --timeout=60s")).toContain(
      'deployment "web" successfully rolled out',
    );
    expect(await kubectl("rollout status deployment/toolbox --timeout=60s")).toContain("successfully rolled out");
    expect(await pods("web")).toHaveLength(3);
  });

  test("what is stored in etcd can be read", async () => {
    const { layout } = cluster;
    const tls = [
      `--cacert=${layout.pki}/backbone-ca.crt`,
      `--cert=${layout.pki}/backbone-client.crt`,
      `--key=${layout.pki}/backbone-client.key`,
    ];
    const key = "/registry/apps/deployments/default/web";
    const found = await onNode("etcdctl", [
      "--endpoints=https://127.0.0.1:2379",
      ...tls,
      "get",
      key,
      "--print-value-only",
    ]);
    expect(JSON.parse(found.split("\n")[0] as string)).toMatchObject({ kind: "Deployment", metadata: { name: "web" } });
  });

  test("the proxy balances, DNS finds, and the node's port answers", { timeout: 30_000 }, async () => {
    const names = new Set<string>();
    for (let call = 0; call < 30; call++) {
      names.add((await kubectl(["exec", "deploy/toolbox", "--", "wget", "-qO-", "http://web/hostname"])).trim());
      if (names.size === 3) break;
    }
    expect([...names].sort()).toEqual((await pods("web")).map(({ name }) => name));
    expect(await kubectl("exec deploy/toolbox -- nslookup web.default.svc.cluster.local")).toContain(
      await serviceIp("web"),
    );
    expect(await callFromNode("http://198.51.100.1:30080/version")).toBe("v1\n");
  });

  test("kubectl shows what a user expects", async () => {
    expect(await kubectl("get deployments")).toMatch(/^NAME\s+READY\s+UP-TO-DATE\s+AVAILABLE\s+AGE\n/);
    expect(await kubectl("get pods -o wide")).toMatch(
      /^NAME\s+READY\s+STATUS\s+RESTARTS\s+AGE\s+IP\s+NODE\s+NOMINATED NODE\s+READINESS GATES\n/,
    );
    expect(await kubectl("describe deployment web")).toContain("ScalingReplicaSet");
    expect(await kubectl("explain deployment.spec.replicas")).toContain("FIELD: replicas <integer>");
    expect(await kubectl("logs deploy/web --tail=1")).toBeDefined();
    expect(await kubectl(["exec", "-i", "deploy/toolbox", "--", "cat"], "through the pipe")).toBe("through the pipe");
    expect(await refusal(kubectl(["exec", "deploy/toolbox", "--", "sh", "-c", "exit 3"]))).toContain("exit code 3");
  });

  test("one trace leads from kubectl to the container", async () => {
    const trace = await pilot("trace", "show", "deployment/web");
    process.stdout.write(`\n${trace}\n`);
    for (const service of ["apiserver", "controller-manager", "scheduler", "kubelet"]) expect(trace).toContain(service);
    expect(trace).toContain("cri.StartContainer");
  });
});

describe("pilot", () => {
  test("says what runs and who leads, and that all is well", async () => {
    const status = await pilot("status");
    for (const service of SERVICES) expect(status).toMatch(new RegExp(`✔ ${service} +running as \\d+`));
    for (const elected of ["scheduler", "controller-manager"])
      expect(status).toMatch(new RegExp(`✔ ${elected} .*leads since 2`));
    expect(status).not.toContain("✘");
  });

  test("brings an archive to the node", async () => {
    expect(await pilot("image", "load", join(cluster.layout.root, "images", "pilothouse.local-web-v2.tar"))).toContain(
      "loaded pilothouse.local/web:v2",
    );
    expect(await refusal(pilot("image", "load", "/no/such.tar"))).toContain("There is no archive /no/such.tar.");
  });
});

describe("every verb of kubectl", () => kubectlVerbs(cluster));
describe("kubectls of all ages", () => kubectlTranscripts(cluster));
describe("every client's streams", () => streams(cluster));
describe("a chart through its whole life", () => helmReleases(cluster));
describe("images from a registry", () => registry(cluster));
describe("volumes of claims", () => volumes(cluster));

describe("what breaks is mended", () => {
  test("a container that dies comes back", { timeout: 60_000 }, async () => {
    const [victim] = await pods("web");
    const { name = "" } = victim ?? {};
    process.kill(await hostPidOf(name), "SIGKILL");
    await until(
      "the container to restart",
      async () => (await pods("web")).find((pod) => pod.name === name)?.restarts === 1,
      40_000,
    );
    await kubectl(["wait", "--for=condition=Ready", `pod/${name}`, "--timeout=30s"]);
  });

  test("a pod that is deleted is replaced", { timeout: 60_000 }, async () => {
    const before = await pods("web");
    await kubectl(["delete", "pod", before[0]?.name ?? ""]);
    await kubectl("rollout status deployment/web --timeout=30s");
    const after = await pods("web");
    expect(after).toHaveLength(3);
    expect(after.map(({ uid }) => uid)).not.toContain(before[0]?.uid);
  });
});

describe("under load, not one request fails", () => {
  test("while the Deployment is scaled 3 → 10 → 2", { timeout: 180_000 }, async () => {
    const load = await underLoad(async () => {
      await kubectl("scale deployment/web --replicas=10");
      await kubectl("rollout status deployment/web --timeout=60s");
      expect(await pods("web")).toHaveLength(10);
      await kubectl("scale deployment/web --replicas=2");
      await until("two pods", async () => (await pods("web")).length === 2, 30_000);
      await kubectl("rollout status deployment/web --timeout=60s");
    });
    expect(load.failures).toEqual([]);
    expect(load.answered).toBeGreaterThan(50);
  });

  test("while a new image is rolled out and back", { timeout: 180_000 }, async () => {
    const load = await underLoad(async () => {
      await kubectl("set image deployment/web web=pilothouse.local/web:v2");
      await kubectl("rollout status deployment/web --timeout=90s");
      expect(await callFromNode(`http://${await serviceIp("web")}/version`)).toBe("v2\n");
      await kubectl("rollout undo deployment/web");
      await kubectl("rollout status deployment/web --timeout=90s");
    });
    expect(load.failures).toEqual([]);
    expect(await callFromNode(`http://${await serviceIp("web")}/version`)).toBe("v1\n");
  });
});

describe("processes die and come back, containers stay", () => {
  test.each(SERVICES)("%s is killed", { timeout: 60_000 }, async (service) => {
    const before = await pods("web");
    const pid = cluster.pidOf(service);
    const load = await underLoad(async () => {
      process.kill(pid, "SIGKILL");
      await until(`${service} to come back`, () => isUp(service, pid), 20_000);
      await until("the API to be ready", apiIsReady, 20_000);
    });
    expect(load.failures).toEqual([]);
    expect(await pods("web")).toEqual(before);
  });

  test.each(["etcd", "nats"] as const)("%s is killed, and work goes on", { timeout: 90_000 }, async (backbone) => {
    const before = await pods("web");
    const pid = cluster.pidOf(backbone);
    process.kill(pid, "SIGKILL");
    await until(`${backbone} to come back`, () => isUp(backbone, pid), 20_000);
    await until("the API to be ready", apiIsReady, 30_000);
    expect(await pods("web")).toEqual(before);
    await kubectl("scale deployment/web --replicas=3");
    await kubectl("rollout status deployment/web --timeout=60s");
    await kubectl("scale deployment/web --replicas=2");
    await until("two pods", async () => (await pods("web")).length === 2, 30_000);
  });
});

describe("bad input is answered as Kubernetes answers", () => {
  test("malformed YAML", async () => {
    expect(await refusal(kubectl(["apply", "-f", "-"], "kind: [unclosed"))).toContain("error converting YAML to JSON");
  });

  test("an unknown field", async () => {
    const pod = {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "x" },
      spec: { containers: [{ name: "c", image: "i", colour: "red" }] },
    };
    expect(await refusal(kubectl(["create", "-f", "-"], JSON.stringify(pod)))).toContain(
      'unknown field "spec.containers[0].colour"',
    );
  });

  test("a selector that does not match its template", async () => {
    const bad = readFileSync(manifest, "utf8")
      .split("---")[0]
      ?.replace("matchLabels: { app: web }", "matchLabels: { app: other }")
      .replace("name: web\n", "name: bad\n");
    const said = await refusal(kubectl(["create", "-f", "-"], bad));
    expect(said).toContain(
      'The Deployment "bad" is invalid: spec.template.metadata.labels: Invalid value: {"app":"web"}: `selector` does not match template `labels`',
    );
  });

  test("a body of 5 MB", async () => {
    const big = {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name: "big" },
      data: { blob: "x".repeat(5 * 2 ** 20) },
    };
    expect(await refusal(kubectl(["create", "-f", "-"], JSON.stringify(big)))).toContain(
      "Request entity too large: limit is 3145728",
    );
  });

  test("one bad document among good ones", async () => {
    const good = (name: string): object => ({ apiVersion: "v1", kind: "ConfigMap", metadata: { name } });
    const documents = [
      good("first"),
      { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "Not_A_Name" } },
      good("last"),
    ];
    const said = await refusal(
      kubectl(["create", "-f", "-"], documents.map((one) => JSON.stringify(one)).join("\n---\n")),
    );
    expect(said).toContain('The ConfigMap "Not_A_Name" is invalid: metadata.name: Invalid value: "Not_A_Name"');
    expect(await kubectl("get configmap first last -o name")).toBe("configmap/first\nconfigmap/last\n");
  });

  test("containerd is down: the node says so, and recovers", { timeout: 90_000 }, async () => {
    const pid = cluster.pidOf("containerd");
    const before = await pods("web");
    process.kill(pid, "SIGKILL");
    await until("containerd to come back", () => isUp("containerd", pid), 20_000);
    await kubectl("wait --for=condition=Ready node --all --timeout=60s");
    await kubectl("scale deployment/web --replicas=3");
    await kubectl("rollout status deployment/web --timeout=60s");
    expect((await pods("web")).filter(({ uid }) => before.some((one) => one.uid === uid))).toEqual(before);
  });

  test("the API's port is taken by somebody else", async () => {
    const other = testCluster();
    await ensureNetns(other.layout.netns);
    const squatter = startOnNode(other, process.execPath, [
      "--eval",
      "require('node:net').createServer().listen(6443)",
    ]);
    try {
      const said = await refusal(other.up());
      expect(said).toContain("Port 6443, which the apiserver needs, is taken by node");
      expect(said).toContain("more: docs/errors.md#ph-110");
    } finally {
      await squatter.stop();
      await other.down();
    }
  });

  test("up is harmless on a cluster that is up", { timeout: 60_000 }, async () => {
    const before = await pods("web");
    const pids = SERVICES.map((name) => cluster.pidOf(name));
    expect(await cluster.up()).toContain("Pilothouse is up");
    expect(SERVICES.map((name) => cluster.pidOf(name))).toEqual(pids);
    expect(await pods("web")).toEqual(before);
  });
});

describe("down", () => {
  test("leaves nothing on the machine", { timeout: 60_000 }, async () => {
    const { layout } = cluster;
    await cluster.down();
    const traces = [
      layout.root,
      layout.runtime,
      `/run/netns/${layout.netns}`,
      `/sys/fs/cgroup/memory${layout.cgroup}`,
      `/sys/fs/cgroup${layout.cgroup}`,
    ];
    expect(traces.filter((path) => existsSync(path))).toEqual([]);
    expect(markedProcesses(layout.id, { descendants: true })).toEqual([]);
    expect(readFileSync("/proc/self/mounts", "utf8")).not.toContain(layout.id);
    expect(cniResultsOf(layout.bridge)).toEqual([]);
  });
});

async function apiIsReady(): Promise<boolean> {
  return (await kubectl("get --raw /readyz").catch(() => "")) === "ok";
}

/** What a GET from the node itself answers. */
function callFromNode(url: string): Promise<string> {
  const program =
    "process.stdout.write(await (await fetch(process.argv[1], { signal: AbortSignal.timeout(3000) })).text())";
  return onNode(process.execPath, ["--input-type=module", "--eval", program, url]);
}

/** A process runs again under another pid. */
async function isUp(name: string, previousPid: number): Promise<boolean> {
  try {
    return cluster.pidOf(name) !== previousPid;
  } catch {
    return false; // Between two lives there is no pid file.
  }
}

/** The pid, as the machine sees it, of the first process of a pod's only container. */
async function hostPidOf(name: string): Promise<number> {
  const id = (await kubectl(["get", "pod", name, "-o", "jsonpath={.status.containerStatuses[0].containerID}"])).replace(
    "containerd://",
    "",
  );
  const tasks = await onNode("ctr", [
    "--address",
    cluster.layout.containerdSocket,
    "--namespace",
    "k8s.io",
    "tasks",
    "list",
  ]);
  const line = tasks.split("\n").find((one) => one.startsWith(id));
  return Number(line?.split(/\s+/)[1]);
}
