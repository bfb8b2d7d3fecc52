/**
 * Bare machines in, a highly available cluster out: made, looked at with kubectl, provisioned again without a change, and soaked.
 * `PILOTHOUSE_LAB` names another lab than this clone's; `PILOTHOUSE_SOAK_MINUTES` soaks for longer.
 */
import { beforeAll, describe, expect, test } from "vitest";
import { requireLab, thisLab } from "../../deploy/lab/lab.ts";
import { until } from "../harness/index.ts";
import { ensureProvisioned, expectNothingToChange, kubectl, playbook, run } from "./provisioned.ts";

const SOAK_MINUTES = process.env["PILOTHOUSE_SOAK_MINUTES"] ?? "10";
const NAMESPACE = "lab-test";

beforeAll(ensureProvisioned, 1_800_000);

describe("the cluster", () => {
  beforeAll(async () => {
    await kubectl(["delete", "namespace", NAMESPACE, "--ignore-not-found"]);
    await kubectl(["create", "namespace", NAMESPACE]);
    await kubectl(["apply", "-n", NAMESPACE, "-f", "-"], MANIFEST);
    return () => kubectl(["delete", "namespace", NAMESPACE]);
  }, 120_000);

  test("has a Ready node on each machine, masters tainted", async () => {
    const { machines } = requireLab(thisLab());
    await until("all nodes are Ready", async () => (await nodes()).every(({ ready }) => ready === "True"), 60_000);
    expect((await nodes()).map(({ name }) => name)).toEqual(machines.map(({ name }) => name).sort());
    const taints = await kubectl([
      "get",
      "nodes",
      "-l",
      "node-role.kubernetes.io/control-plane",
      "-o",
      "jsonpath={.items[*].spec.taints[*].effect}",
    ]);
    const masters = machines.filter(({ role }) => role === "master");
    expect(taints.split(" ")).toEqual(masters.map(() => "NoSchedule"));
  });

  test("runs a Deployment on every worker, which its Service answers for from a pod on each", async () => {
    const workers = requireLab(thisLab()).machines.filter(({ role }) => role === "worker");
    await kubectl(["rollout", "status", "-n", NAMESPACE, "deployment/web", "--timeout=90s"]);
    await kubectl(["wait", "-n", NAMESPACE, "--for=condition=Ready", "pod/caller-1", "pod/caller-2", "--timeout=60s"]);
    expect(await nodesOfPods("app=web")).toEqual(workers.map(({ name }) => name));
    expect(await nodesOfPods("app=caller")).toEqual(workers.map(({ name }) => name));
    const names = (await kubectl(["get", "pods", "-n", NAMESPACE, "-l", "app=web", "-o", "name"])).split("\n");
    for (const caller of ["caller-1", "caller-2"]) {
      const answers = new Set<string>();
      await until(
        `${caller} is answered by every pod`,
        async () => {
          answers.add(await inPod(caller, "wget -qO- -T 2 http://web/hostname"));
          return answers.size === names.length;
        },
        30_000,
      );
      expect([...answers].map((name) => `pod/${name}`).sort()).toEqual(names.sort());
    }
  }, 200_000);

  test("answers DNS on every node, for short and for long names", async () => {
    const address = await kubectl(["get", "service", "-n", NAMESPACE, "web", "-o", "jsonpath={.spec.clusterIP}"]);
    for (const caller of ["caller-1", "caller-2"]) {
      expect(await inPod(caller, "nslookup web")).toContain(address);
      expect(await inPod(caller, `nslookup web.${NAMESPACE}.svc.cluster.local`)).toContain(address);
    }
  });
});

test("a second run of the playbook changes nothing, and a third only looks", { timeout: 1_800_000 }, async () => {
  await expectNothingToChange();
  const looked = await playbook("site", "--check", "--diff");
  for (const [machine, recap] of Object.entries(looked))
    expect(recap, machine).toMatchObject({ changed: 0, unreachable: 0, failed: 0 });
});

test("every process says that it is well", { timeout: 600_000 }, async () => {
  for (const [machine, recap] of Object.entries(await playbook("health")))
    expect(recap, machine).toMatchObject({ changed: 0, unreachable: 0, failed: 0 });
});

test(
  `a soak of ${SOAK_MINUTES} minutes keeps every promise`,
  { timeout: (Number(SOAK_MINUTES) + 15) * 60_000 },
  async () => {
    expect(await run("npm", "run", "soak", "--", "--minutes", SOAK_MINUTES)).toContain("every promise was kept");
  },
);

async function nodes(): Promise<{ readonly name: string; readonly ready: string }[]> {
  const path = `{range .items[*]}{.metadata.name} {.status.conditions[?(@.type=="Ready")].status}{"\\n"}{end}`;
  const lines = (await kubectl(["get", "nodes", "-o", `jsonpath=${path}`])).split("\n");
  return lines.map((line) => {
    const [name = "", ready = ""] = line.split(" ");
    return { name, ready };
  });
}

async function nodesOfPods(selector: string): Promise<string[]> {
  const names = await kubectl([
    "get",
    "pods",
    "-n",
    NAMESPACE,
    "-l",
    selector,
    "-o",
    "jsonpath={.items[*].spec.nodeName}",
  ]);
  return [...new Set(names.split(" "))].sort();
}

function inPod(name: string, command: string): Promise<string> {
  return kubectl(["exec", "-n", NAMESPACE, name, "--", "sh", "-c", command]);
}

/** A caller is bound to its worker by name; the web servers are spread by the scheduler. */
const caller = (number: number): string => `
apiVersion: v1
kind: Pod
metadata: { name: caller-${number}, labels: { app: caller } }
spec:
  nodeName: worker-${number}
  terminationGracePeriodSeconds: 1
  containers:
    - name: toolbox
      image: pilothouse.local/toolbox:latest
      imagePullPolicy: IfNotPresent
      command: [sh, -c, "trap 'exit 0' TERM; while :; do sleep 3600 & wait; done"]
---`;
const MANIFEST = `${caller(1)}${caller(2)}
apiVersion: apps/v1
kind: Deployment
metadata: { name: web }
spec:
  replicas: 4
  selector: { matchLabels: { app: web } }
  template:
    metadata: { labels: { app: web } }
    spec:
      containers:
        - name: web
          image: pilothouse.local/web:latest
          imagePullPolicy: IfNotPresent
          readinessProbe: { httpGet: { path: /healthz, port: 80 }, periodSeconds: 1 }
---
apiVersion: v1
kind: Service
metadata: { name: web }
spec: { selector: { app: web }, ports: [{ port: 80 }] }
`;
