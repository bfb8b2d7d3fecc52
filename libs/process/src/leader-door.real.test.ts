/** Two candidates with real certificates: who is told that the other one lives, and who is told nothing. */
import { copyFile, mkdir, readFile } from "node:fs/promises";
import { createServer, get as plainGet } from "node:http";
import { get, type RequestOptions } from "node:https";
import { join } from "node:path";
import { systemTimeAndChance } from "@pilothouse/clock/system";
import { Scope } from "@pilothouse/lifecycle";
import { memoryTelemetry } from "@pilothouse/telemetry/memory";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  expectNoLeaks,
  freePorts,
  makeCertificates,
  makeTestDirectory,
  removeTestDirectory,
  until,
  type TestCertificates,
} from "../../../test/harness/index.ts";
import type { ProcessPorts } from "./index.ts";
import { openLeaderDoor, type LeaderDoor } from "./leader-door.ts";
import { probeLeader as plainProbe } from "./probe-leader.ts";

const scope = new Scope("test", () => undefined);
let directory: string;
/** Of one authority, which both candidates have, and of another. */
let ours: TestCertificates;
let theirs: TestCertificates;
let leader: LeaderDoor;
let standby: LeaderDoor;
let stranger: LeaderDoor;

beforeAll(async () => {
  directory = await makeTestDirectory();
  scope.defer(() => removeTestDirectory(directory));
  ours = await certificatesIn("ours");
  theirs = await certificatesIn("theirs");
  leader = await open("leader_1", ours);
  standby = await open("standby_1", ours);
  stranger = await open("stranger_1", theirs);
});
afterAll(async () => {
  await scope.close();
  await expectNoLeaks();
});

async function certificatesIn(name: string): Promise<TestCertificates> {
  const folder = join(directory, name);
  await mkdir(folder);
  return makeCertificates(folder);
}

async function open(identity: string, { caFile, certFile, keyFile }: TestCertificates): Promise<LeaderDoor> {
  const [port = 0] = await freePorts(1);
  const { clock, random } = systemTimeAndChance;
  const telemetry = memoryTelemetry({ clock, random });
  const ports = {
    ...systemTimeAndChance,
    scope,
    telemetry,
    identity,
    healthAddress: undefined,
  } as unknown as ProcessPorts;
  const values = {
    "leader-address": "127.0.0.1",
    "health-port": port,
    "etcd-servers": [],
    "etcd-ca-file": caFile,
    "etcd-cert-file": certFile,
    "etcd-key-file": keyFile,
  };
  return openLeaderDoor(values, ports);
}

/** The status, or the error's code. */
function ask(door: LeaderDoor, path: string, tls: RequestOptions | undefined): Promise<number | string> {
  const url = new URL(path, door.healthAddress);
  return new Promise((resolve) => {
    const request = tls
      ? get(url, { ...tls, agent: false }, (answer) => resolve(answer.resume().statusCode ?? 0))
      : plainGet({ host: url.hostname, port: url.port, path, agent: false }, (answer) =>
          resolve(answer.resume().statusCode ?? 0),
        );
    request.on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
  });
}

test("a candidate hears of the very incarnation that it asks for, and of no other", async () => {
  const healthAddress = leader.healthAddress;
  expect(healthAddress).toMatch(/^https:\/\/127\.0\.0\.1:\d+$/);
  expect(await standby.probeLeader({ identity: "leader_1", healthAddress })).toBe(true);
  expect(await standby.probeLeader({ identity: "leader_0", healthAddress })).toBe(false);
  expect(await standby.probeLeader({ identity: "leader_1", healthAddress: undefined })).toBe(false);
});

test("whoever has no certificate of the same authority is told nothing, and believes nothing", async () => {
  const ca = await readFile(ours.caFile);
  expect(await ask(leader, "/identity", { ca })).toMatch(/^(ERR_SSL|ECONNRESET|EPROTO)/);
  expect(await ask(leader, "/identity", undefined)).toMatch(/^(ECONNRESET|HPE_|socket)/);
  const { healthAddress } = leader;
  expect(await stranger.probeLeader({ identity: "leader_1", healthAddress })).toBe(false);
  expect(await standby.probeLeader({ identity: "stranger_1", healthAddress: stranger.healthAddress })).toBe(false);
});

test("a leader without TLS is asked at its health port, in plain HTTP", async () => {
  const [port = 0] = await freePorts(1);
  const server = createServer(({ url }, response) => response.end(url === "/identity" ? "plain_1" : ""));
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  const healthAddress = `127.0.0.1:${port}`;
  for (const probeLeader of [plainProbe, standby.probeLeader]) {
    expect(await probeLeader({ identity: "plain_1", healthAddress })).toBe(true);
    expect(await probeLeader({ identity: "plain_0", healthAddress })).toBe(false);
  }
  expect(await plainProbe({ identity: "leader_1", healthAddress: leader.healthAddress })).toBe(false);
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  expect(await plainProbe({ identity: "plain_1", healthAddress })).toBe(false);
});

test("it answers who it is, and neither metrics nor health", async () => {
  const [ca, cert, key] = await Promise.all([ours.caFile, ours.certFile, ours.keyFile].map((path) => readFile(path)));
  const tls = { ca, cert, key } as RequestOptions;
  expect(await Promise.all(["/identity", "/metrics", "/healthz"].map((path) => ask(leader, path, tls)))).toEqual([
    200, 404, 404,
  ]);
});

test("certificates of another authority that come in the place of the old are used at once, on both sides", async () => {
  for (const name of ["caFile", "certFile", "keyFile"] as const) await copyFile(theirs[name], ours[name]);
  const { healthAddress } = leader;
  await until("both have the new", () => stranger.probeLeader({ identity: "leader_1", healthAddress }));
  const about = { identity: "stranger_1", healthAddress: stranger.healthAddress };
  await until("the standby as well", () => standby.probeLeader(about));
});
