/** Exec, attach, port-forward and run as every client speaks them: the wire traps that need a real container. */
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { CommandFailed, startOnNode, type TestCluster } from "../harness/cluster.ts";
import { until } from "../harness/index.ts";
import { realClients, type Client } from "../wire/clients.ts";

const NAMESPACE = "streams";
const TOOLBOX = "pilothouse.local/toolbox:latest";

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

export function streams(cluster: TestCluster): void {
  let kubectls: readonly Client[] = [];
  const run = async ({ path }: Client, args: readonly string[], input?: string): Promise<Ran> => {
    try {
      return { code: 0, out: await cluster.onNode(path, ["-n", NAMESPACE, ...args], input), err: "" };
    } catch (error) {
      if (!(error instanceof CommandFailed)) throw error;
      return { code: error.code ?? -1, out: error.stdout, err: error.stderr };
    }
  };
  /** What client-node and a bare WebSocket have seen. */
  let seen: Readonly<Record<string, unknown>> = {};

  beforeAll(async () => {
    kubectls = (await realClients()).found.filter(({ name }) => name.startsWith("kubectl"));
    await cluster.kubectl(`create namespace ${NAMESPACE}`);
    const account = `get serviceaccounts -n ${NAMESPACE} -o name`;
    await until("its account is there", async () => (await cluster.kubectl(account)) !== "", 10_000);
    await cluster.kubectl(["apply", "-n", NAMESPACE, "-f", "-"], JSON.stringify(box));
    await cluster.kubectl(`wait -n ${NAMESPACE} --for=condition=Ready pod/box --timeout=60s`);
    const program = [join(import.meta.dirname, "stream-client.ts"), NAMESPACE, "box"];
    seen = JSON.parse(await cluster.onNode(process.execPath, program)) as typeof seen;
  }, 240_000);

  afterAll(async () => {
    await cluster.kubectl(`delete namespace ${NAMESPACE} --timeout=60s`);
  }, 90_000);

  test("wire trap 25: every kubectl runs commands, over WebSocket or SPDY", { timeout: 90_000 }, async () => {
    for (const client of kubectls) {
      const script = "wc -c; echo err >&2; exit 3";
      const ran = await run(client, ["exec", "-i", "box", "-c", "box", "--", "sh", "-c", script], "x".repeat(200_000));
      expect([client.name, ran.code, ran.out, ran.err]).toEqual([
        client.name,
        3,
        "200000\n",
        expect.stringMatching(/^err\ncommand terminated with exit code 3\n$/),
      ]);
    }
  });

  test("wire trap 25: who may create an exec may run it, by whatever comes through; who may only get it may not", async () => {
    const newest = kubectls.at(-1);
    if (!newest) return;
    for (const verb of ["create", "get"]) {
      await cluster.kubectl(`-n ${NAMESPACE} create role ${verb}s --verb=${verb} --resource=pods/exec`);
      await cluster.kubectl(`-n ${NAMESPACE} create rolebinding ${verb}s --role=${verb}s --user=${verb}-user`);
    }
    await cluster.kubectl(`-n ${NAMESPACE} create role pods --verb=get --resource=pods`);
    await cluster.kubectl(`-n ${NAMESPACE} create rolebinding pods --role=pods --user=create-user --user=get-user`);
    const exec = ["exec", "box", "-c", "box", "--", "echo", "done"];
    expect(await run(newest, ["--as=create-user", ...exec])).toEqual({ code: 0, out: "done\n", err: "" });
    expect(await run(newest, ["--as=get-user", ...exec])).toMatchObject({
      code: 1,
      err: expect.stringContaining('User "get-user" cannot create resource "pods/exec" in API group ""'),
    });
  });

  test("wire trap 26: v5 to the letter: binary frames, input closed alone, a Status, code 1000", () => {
    expect(seen["frames"]).toEqual({
      protocol: "v5.channel.k8s.io",
      stdout: "through",
      code: 1000,
      allBinary: true,
      status: {
        metadata: {},
        status: "Failure",
        message: "command terminated with non-zero exit code: exit code 3",
        reason: "NonZeroExitCode",
        details: { causes: [{ reason: "ExitCode", message: "3" }] },
      },
    });
  });

  test("wire trap 28: client-node runs, attaches and forwards by channels", () => {
    expect(seen["exec"]).toEqual({
      protocol: "v5.channel.k8s.io",
      stdout: "12\n",
      stderr: "err\n",
      status: "Failure",
      reason: "NonZeroExitCode",
      details: { causes: [{ reason: "ExitCode", message: "3" }] },
    });
    expect(seen["attach"]).toEqual({ protocol: "v4.channel.k8s.io", stdout: "got hello\n" });
    expect(seen["forward"]).toEqual({
      protocol: "v4.channel.k8s.io",
      stdout: expect.stringMatching(/^HTTP\/1\.[01] 200 OK\r\n[^]*\r\nv1\n$/),
    });
  });

  test("wire trap 29: every kubectl forwards a port, connection after connection", { timeout: 120_000 }, async () => {
    for (const [i, { name, path }] of kubectls.entries()) {
      const port = 18_080 + i;
      const forward = startOnNode(cluster, path, ["-n", NAMESPACE, "-v=4", "port-forward", "pod/box", `${port}:80`]);
      try {
        await until(
          `${name} forwards`,
          () => forward.said().includes(`Forwarding from 127.0.0.1:${port} -> 80`),
          20_000,
        );
        const program = `for (const path of ["version", "hostname"]) process.stdout.write(await (await fetch("http://127.0.0.1:${port}/" + path, { signal: AbortSignal.timeout(5000), headers: { connection: "close" } })).text())`;
        const answered = await cluster.onNode(process.execPath, ["--input-type=module", "--eval", program]);
        expect([name, answered]).toEqual([name, "v1\nbox\n"]);
        // Who speaks WebSocket first is not driven back to SPDY.
        expect([name, forward.said()]).toEqual([name, expect.not.stringContaining("fallback to secondary dialer")]);
      } finally {
        await forward.stop();
      }
    }
  });

  test("wire trap 34: a command's words keep their order and repeats", async () => {
    const words = ["-l", "-a", "b", "-a", "command", "a b", "&=?"];
    expect(await cluster.kubectl(["-n", NAMESPACE, "exec", "box", "-c", "box", "--", "echo", ...words])).toBe(
      `${words.join(" ")}\n`,
    );
  });

  test("wire trap 51: every kubectl runs a pod, feeds it, hears it and removes it", { timeout: 180_000 }, async () => {
    for (const client of kubectls) {
      const name = client.name.replace(/[ .]/g, "-");
      const args = ["run", "-i", "--rm", "--quiet", name, `--image=${TOOLBOX}`, "--image-pull-policy=IfNotPresent"];
      const ran = await run(client, [...args, "--restart=Never", "--", "sh", "-c", "cat; exit 4"], "fed\n");
      expect([client.name, ran.code, ran.out.replace(/pod .* deleted.*\n/, "")]).toEqual([client.name, 4, "fed\n"]);
    }
    expect(await cluster.kubectl(`-n ${NAMESPACE} get pods -o name`)).toBe("pod/box\n");
  });

  test("wire trap 51: attaching to what has ended fails at once", async () => {
    const newest = kubectls.at(-1);
    if (!newest) return;
    const ran = await run(newest, ["attach", "box", "-c", "ended"]);
    expect([ran.code, ran.err]).toEqual([
      1,
      expect.stringMatching(/container not found|cannot attach|is in CONTAINER_EXITED/),
    ]);
  });

  test("wire trap 55: what a client in a pod needs: names on the certificate, a Service, files and variables", async () => {
    expect(seen["names"]).toEqual(
      expect.arrayContaining([
        "DNS:kubernetes",
        "DNS:kubernetes.default",
        "DNS:kubernetes.default.svc",
        "DNS:kubernetes.default.svc.cluster.local",
        "IP Address:198.19.0.1",
      ]),
    );
    const script = `cd /var/run/secrets/kubernetes.io/serviceaccount && echo $KUBERNETES_SERVICE_HOST:$KUBERNETES_SERVICE_PORT $(cat namespace) $(ls | tr '\\n' ' ')`;
    expect(await cluster.kubectl(["-n", NAMESPACE, "exec", "box", "-c", "box", "--", "sh", "-c", script])).toBe(
      `198.19.0.1:443 ${NAMESPACE} ca.crt namespace token\n`,
    );
    for (const resource of ["service", "endpoints", "endpointslice"]) {
      expect(await cluster.kubectl(`get ${resource} kubernetes -o name`)).toMatch(/\/kubernetes\n$/);
    }
  });
}

const box = {
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name: "box" },
  spec: {
    enableServiceLinks: false,
    terminationGracePeriodSeconds: 1,
    containers: [
      { name: "box", image: TOOLBOX, imagePullPolicy: "IfNotPresent", command: ["sleep", "3600"] },
      { name: "web", image: "pilothouse.local/web:v1", imagePullPolicy: "IfNotPresent" },
      {
        name: "echo",
        image: TOOLBOX,
        imagePullPolicy: "IfNotPresent",
        stdin: true,
        command: ["sh", "-c", "while read line; do echo got $line; done; exec sleep 3600"],
      },
    ],
    initContainers: [{ name: "ended", image: TOOLBOX, imagePullPolicy: "IfNotPresent", command: ["true"] }],
  },
};
