/** The kubelet's server against real containers, as the API server speaks to it. */
import type { IncomingMessage, OutgoingHttpHeaders } from "node:http";
import { Readable } from "node:stream";
import { get } from "node:https";
import type { TransportRequest, TransportResponse } from "@pilothouse/client";
import { systemClock } from "@pilothouse/clock/system";
import { createAuthority, issueCertificate, type KeyPair } from "@pilothouse/pki";
import { afterAll, beforeAll, expect, test } from "vitest";
import { WebSocket } from "ws";
import { expectNoLeaks, until } from "../../../../test/harness/index.ts";
import { TestNode, TOOLBOX } from "../node.fixture.ts";
import { serveKubelet } from "./server.ts";

let node: TestNode;
let authority: KeyPair;
let apiserver: KeyPair;
let stranger: KeyPair;
let port: number;

beforeAll(async () => {
  node = await TestNode.start();
  const [validDays, nowMs] = [1, systemClock.now()];
  authority = await createAuthority({ commonName: "ca", validDays, nowMs });
  const issue = (commonName: string, usage: "client" | "server"): Promise<KeyPair> =>
    issueCertificate(authority, { commonName, usages: [usage], ipAddresses: ["127.0.0.1"], validDays, nowMs });
  const server = await issue("node-1", "server");
  apiserver = await issue("apiserver", "client");
  stranger = await issue("system:node:node-2", "client");
  const { telemetry, scope } = node;
  ({ port } = await serveKubelet(
    { clock: systemClock, requests: node.kubelet.requests, access: node.kubelet.access, log: telemetry.log, scope },
    {
      address: "127.0.0.1",
      port: 0,
      tls: { certificate: server.certificatePem, key: server.privateKeyPem, clientCa: authority.certificatePem },
    },
  ));
  await node.createPod("box", {
    containers: [
      {
        name: "c",
        image: TOOLBOX,
        command: ["sh", "-c", "for i in 1 2 3; do echo line $i; done; sleep 0.3; echo oops >&2; sleep 1000"],
      },
      { name: "crash", image: TOOLBOX, command: ["sh", "-c", "echo dying; exit 1"] },
      { name: "never", image: "pilothouse.local/nothing:v0", imagePullPolicy: "Never" },
    ],
  });
  await until("it crashed twice", () => node.container("box", "crash")?.state?.waiting?.reason === "CrashLoopBackOff");
});
afterAll(async () => {
  await node.stop();
  await expectNoLeaks();
});

test("logs: all, the last lines, with times, cut off", async () => {
  expect(await logs("box/c")).toEqual({ status: 200, text: "line 1\nline 2\nline 3\noops\n" });
  expect((await logs("box/c?tailLines=2")).text).toBe("line 3\noops\n");
  expect((await logs("box/c?tailLines=0")).text).toBe("");
  expect((await logs("box/c?limitBytes=10")).text).toBe("line 1\nlin");
  expect((await logs("box/c?tailLines=1&timestamps=true")).text).toMatch(
    /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z oops\n$/,
  );
});

test("logs of one stream; with the last lines alone that cannot be", async () => {
  expect((await logs("box/c?stream=Stderr")).text).toBe("oops\n");
  expect((await logs("box/c?stream=Stdout")).text).toBe("line 1\nline 2\nline 3\n");
  expect((await logs("box/c?stream=All&tailLines=1")).text).toBe("oops\n");
  expect(await logs("box/c?stream=Stdout&tailLines=1")).toEqual({
    status: 422,
    text: ": Forbidden: `tailLines` and specific `stream` are mutually exclusive for now",
  });
  expect((await logs("box/c?stream=Both")).status).toBe(422);
});

test("logs of what ended, of what waits, and of nothing", async () => {
  expect(await logs("box/crash?previous=true")).toEqual({ status: 200, text: "dying\n" });
  expect(await logs("box/c?previous=true")).toEqual({
    status: 400,
    text: 'previous terminated container "c" in pod "box" not found',
  });
  expect(await logs("box/never")).toEqual({
    status: 400,
    text: 'container "never" in pod "box" is waiting to start: ErrImageNeverPull',
  });
  expect((await logs("nothing/c")).status).toBe(404);
});

test("logs that are followed come as they are written, and end with the container", async () => {
  await node.createPod("talker", {
    restartPolicy: "Never",
    containers: [{ name: "c", image: TOOLBOX, command: ["sh", "-c", "echo one; sleep 1; echo two; sleep 0.5"] }],
  });
  await until("it talks", () => node.container("talker", "c")?.state?.running !== undefined);
  const response = await request("/containerLogs/default/talker/c?follow=true", apiserver);
  const arrivals: number[] = [];
  response.on("data", () => arrivals.push(systemClock.monotonicMs()));
  expect(await bodyOf(response)).toBe("one\ntwo\n");
  expect(arrivals.length).toBeGreaterThanOrEqual(2);
});

test("who is not known, or may not, is refused; a token that may read figures reads them and nothing else", async () => {
  node.api.intercept = reviews;
  expect((await request("/pods", stranger)).statusCode).toBe(403);
  expect((await request("/pods", undefined)).statusCode).toBe(401);
  const bearer = { authorization: "Bearer prometheus" };
  expect((await request("/metrics", undefined, bearer)).statusCode).toBe(200);
  expect((await request("/pods", undefined, bearer)).statusCode).toBe(403);
  const [text] = [await bodyOf(await request("/containerLogs/default/box/c", undefined, bearer))];
  expect(text).toBe("Forbidden (user=prometheus, verb=get, resource=nodes, subresource(s)=[proxy])\n");
  await expect(stream("exec/default/box/c?command=true", ["v5.channel.k8s.io"], stranger).open).rejects.toThrow("403");
  node.api.intercept = undefined;
  const pods = JSON.parse(await bodyOf(await request("/pods", apiserver))) as { items: unknown[] };
  expect(pods.items).toHaveLength(2);
});

test("figures: what a container uses of memory, network, volumes and logs is what the kernel says", async () => {
  await node.createPod("user", {
    volumes: [{ name: "data", emptyDir: {} }],
    containers: [
      {
        name: "c",
        image: TOOLBOX,
        command: [
          "sh",
          "-c",
          "echo logged; dd if=/dev/zero of=/data/file bs=1M count=3; ping -c 3 198.18.0.1; sleep 1000",
        ],
        volumeMounts: [{ name: "data", mountPath: "/data" }],
      },
    ],
  });
  await node.untilReady("user");
  interface Told {
    readonly podRef: { readonly name: string };
    readonly network?: { readonly rxBytes: number };
    readonly volume?: readonly { readonly name: string; readonly usedBytes: number }[];
    readonly containers: readonly { readonly logs: { readonly usedBytes: number }; readonly memory: object }[];
  }
  const told = async (): Promise<Told | undefined> => {
    const text = await bodyOf(await request("/stats/summary", apiserver));
    return (JSON.parse(text) as { pods: readonly Told[] }).pods.find(({ podRef }) => podRef.name === "user");
  };
  await until("the network is told of", async () => ((await told())?.network?.rxBytes ?? 0) > 100, 20_000);
  const found = await told();
  expect(found?.containers[0]?.memory).toMatchObject({ rssBytes: expect.any(Number), usageBytes: expect.any(Number) });
  expect(found?.containers[0]?.logs.usedBytes).toBeGreaterThan(10);
  expect(found?.volume?.map(({ name }) => name)).toContain("data");
  const figures = await bodyOf(await request("/metrics/cadvisor", apiserver));
  expect(figures).toMatch(/container_network_receive_bytes_total\{[^}]*pod="user"[^}]*interface="eth0"\} [1-9]/);
  expect(figures).toMatch(/container_memory_rss\{container="c"[^}]*pod="user"\} [1-9]/);
  expect(await bodyOf(await request("/metrics/probes", apiserver))).toContain("# TYPE prober_probe_total counter");
  await node.deletePod("user");
});

test("exec: output, errors and the exit code", async () => {
  const session = exec(["sh", "-c", "echo out; echo err >&2; exit 3"], {});
  expect(await session.ended).toMatchObject({ code: 1000, stdout: "out\n", stderr: "err\n" });
  expect((await session.ended).status).toMatchObject({
    status: "Failure",
    reason: "NonZeroExitCode",
    details: { causes: [{ reason: "ExitCode", message: "3" }] },
  });
});

test("exec: stdin is closed alone (v5), and what was sent before arrives", async () => {
  const session = exec(["sh", "-c", "wc -c"], { stdin: true });
  await session.open;
  for (let i = 0; i < 20; i++) session.send(0, Buffer.alloc(50_000, 65));
  session.send(255, Uint8Array.of(0));
  expect(await session.ended).toMatchObject({ code: 1000, stdout: "1000000\n", status: { status: "Success" } });
});

test("exec: a terminal, for a client that speaks v4 only", async () => {
  const session = exec(["sh", "-c", "read x; stty size; echo got $x"], {
    stdin: true,
    tty: true,
    protocols: ["v4.channel.k8s.io"],
  });
  await session.open;
  session.send(4, Buffer.from('{"Width":100,"Height":40}'));
  session.send(0, Buffer.from("hello\n"));
  const { stdout, status } = await session.ended;
  expect(stdout).toContain("40 100");
  expect(stdout).toContain("got hello");
  expect(status).toMatchObject({ status: "Success" });
});

test("exec: what cannot be run, or found, is said", async () => {
  const { status } = await exec(["/nothing"], {}).ended;
  expect(status).toMatchObject({ status: "Failure", reason: "InternalError" });
  await expect(exec(["true"], {}, "nothing").open).rejects.toThrow("500");
  await expect(exec(["true"], { protocols: ["v9.channel.k8s.io"] }).open).rejects.toThrow("403");
});

test("exec: a client that goes away takes its command with it", async () => {
  const session = exec(["sleep", "4243"], {});
  await session.open;
  const processes = (): Promise<string> => node.output("box", "c", "ps");
  await until("the command runs", async () => (await processes()).includes("sleep 4243"));
  session.abandon();
  await until("the command is gone", async () => !(await processes()).includes("sleep 4243"));
});

test("attach: a client that offers v5 alone is refused, and told what would do", async () => {
  const session = stream("attach/default/box/c?output=1", ["v5.channel.k8s.io"]);
  await expect(session.open).rejects.toThrow("403");
});

/** An API server that knows one token, and lets its bearer read metrics. */
function reviews({ path, body }: TransportRequest): TransportResponse | undefined {
  if (!path.includes("reviews")) return undefined;
  const { spec } = JSON.parse(new TextDecoder().decode(body)) as {
    spec: { token?: string; user?: string; resourceAttributes?: { subresource?: string } };
  };
  const status = path.includes("tokenreviews")
    ? { authenticated: spec.token === "prometheus", user: { username: spec.token } }
    : { allowed: spec.user === "prometheus" && spec.resourceAttributes?.subresource === "metrics" };
  const answer = new TextEncoder().encode(JSON.stringify({ metadata: {}, status }));
  return { status: 201, headers: {}, body: Readable.from([answer]) };
}

async function logs(path: string): Promise<{ status: number | undefined; text: string }> {
  const response = await request(`/containerLogs/default/${path}`, apiserver);
  return { status: response.statusCode, text: await bodyOf(response) };
}

function request(path: string, who: KeyPair | undefined, headers: OutgoingHttpHeaders = {}): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    get({ ...tlsOf(who), host: "127.0.0.1", port, path, headers, agent: false }, resolve).on("error", reject);
  });
}

async function bodyOf(response: IncomingMessage): Promise<string> {
  let text = "";
  for await (const chunk of response) text += String(chunk);
  return text;
}

function tlsOf(who: KeyPair | undefined): { ca: string; cert?: string; key?: string } {
  const ca = authority.certificatePem;
  return who ? { ca, cert: who.certificatePem, key: who.privateKeyPem } : { ca };
}

interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  readonly status: unknown;
}

interface TestSession {
  readonly open: Promise<void>;
  readonly ended: Promise<Ended>;
  send(channel: number, bytes: Uint8Array): void;
  abandon(): void;
}

function exec(
  command: readonly string[],
  how: { stdin?: boolean; tty?: boolean; protocols?: string[] },
  container = "c",
): TestSession {
  const query = new URLSearchParams([
    ...command.map((it): [string, string] => ["command", it]),
    ["output", "1"],
    ...(how.tty ? ([["tty", "1"]] as [string, string][]) : ([["error", "1"]] as [string, string][])),
    ...(how.stdin ? ([["input", "1"]] as [string, string][]) : []),
  ]);
  return stream(`exec/default/box/${container}?${query.toString()}`, how.protocols ?? ["v5.channel.k8s.io"]);
}

/** A WebSocket to the kubelet whose messages begin with their channel. */
function stream(path: string, protocols: string[], who = apiserver): TestSession {
  const socket = new WebSocket(`wss://127.0.0.1:${port}/${path}`, protocols, tlsOf(who));
  const out: Record<number, string> = {};
  const said = (channel: number): string => out[channel] ?? "";
  socket.on("message", (data: Buffer) => {
    out[data[0] as number] = `${said(data[0] as number)}${data.subarray(1).toString()}`;
  });
  const open = new Promise<void>((resolve, reject) => {
    socket.on("open", resolve);
    socket.on("error", reject);
  });
  open.catch(() => {});
  const ended = new Promise<Ended>((resolve) => {
    socket.on("close", (code) => {
      const status: unknown = said(3) === "" ? undefined : JSON.parse(said(3));
      resolve({ code, stdout: said(1), stderr: said(2), status });
    });
  });
  return {
    open,
    ended,
    send: (channel, bytes) => socket.send(Buffer.concat([Uint8Array.of(channel), bytes])),
    abandon: () => socket.terminate(),
  };
}
