/** The kubelet's server when its certificate and its authorities are renewed; no container needed. */
import { Agent, get } from "node:https";
import type { TLSSocket } from "node:tls";
import { manualClock, type ManualClock } from "@pilothouse/clock/manual";
import { seededRandom } from "@pilothouse/clock/seeded";
import { systemClock } from "@pilothouse/clock/system";
import { Scope } from "@pilothouse/lifecycle";
import { createAuthority, issueCertificate, type KeyPair } from "@pilothouse/pki";
import { memoryTelemetry } from "@pilothouse/telemetry/memory";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { Access, Credentials } from "../flows/access.ts";
import { serveKubelet, type KubeletServer, type ServerTls } from "./server.ts";

const nowMs = systemClock.now();
const agents: Agent[] = [];
let clock: ManualClock;
let scope: Scope;
let server: KubeletServer;
let old: KeyPair;
let next: KeyPair;

beforeEach(async () => {
  // What the server judges expiry by; handshakes are judged by the machine's own time.
  clock = manualClock(nowMs);
  scope = new Scope("test", () => undefined);
  [old, next] = await Promise.all(["old", "next"].map(authority) as [Promise<KeyPair>, Promise<KeyPair>]);
  const requests = {
    answer: () => Promise.resolve({ status: 200, contentType: "text/plain", body: "ok" }),
    stream: () => Promise.reject(new Error("no streams here")),
  };
  const { log } = memoryTelemetry({ clock, random: seededRandom("kubelet") });
  server = await serveKubelet(
    { clock, requests, access: { judge }, log, scope },
    { address: "127.0.0.1", port: 0, tls: tls(await issue("node", old), old) },
  );
});

afterEach(async () => {
  for (const agent of agents.splice(0)) agent.destroy();
  await scope.close();
});

test("a new certificate is shown to new connections, and open ones go on", async () => {
  const kept = connection(await issue("apiserver", old));
  const before = await kept();
  server.renew(tls(await issue("node", old), old));
  const after = await connection(await issue("apiserver", old))();
  expect([before.status, after.status]).toEqual([200, 200]);
  expect(after.serial).not.toBe(before.serial);
  expect(await kept()).toEqual(before);
});

test("of two authorities both are taken; of one that was dropped nobody is, on open connections neither", async () => {
  const [ofOld, ofNext] = [await issue("apiserver", old), await issue("apiserver", next)];
  const node = await issue("node", next);
  const kept = connection(ofOld);
  await kept();
  expect((await connection(ofNext)()).status).toBe(401);
  server.renew(tls(node, old, next));
  expect([(await kept()).status, (await connection(ofOld)()).status, (await connection(ofNext)()).status]).toEqual([
    200, 200, 200,
  ]);
  server.renew(tls(node, next));
  expect([(await kept()).status, (await connection(ofNext)()).status]).toEqual([401, 200]);
  expect((await connection(ofOld)()).status).toBe(401);
});

test("a client certificate that has ended since the handshake is nobody's", async () => {
  const kept = connection(await issue("apiserver", old));
  expect((await kept()).status).toBe(200);
  await clock.advance(86_400_000 - 2_000);
  expect((await kept()).status).toBe(200);
  await clock.advance(2_000);
  expect((await kept()).status).toBe(401);
});

/** Whoever has a certificate that is good is the API server. */
function judge({ certificate }: Credentials): Promise<Access> {
  const isGood = certificate?.commonName === "apiserver";
  return Promise.resolve(isGood ? { is: "granted" } : { is: "refused", status: 401, body: "Unauthorized" });
}

function authority(commonName: string): Promise<KeyPair> {
  return createAuthority({ commonName, validDays: 2, nowMs });
}

function issue(commonName: string, issuer: KeyPair): Promise<KeyPair> {
  const names = { commonName, ipAddresses: ["127.0.0.1"] };
  return issueCertificate(issuer, { ...names, usages: ["client", "server"], validDays: 1, nowMs });
}

function tls({ certificatePem, privateKeyPem }: KeyPair, ...authorities: readonly KeyPair[]): ServerTls {
  return { certificate: certificatePem, key: privateKeyPem, clientCa: authorities.map(pemOf).join("") };
}

function pemOf({ certificatePem }: KeyPair): string {
  return certificatePem;
}

/** Asks over one connection of its own, again and again. */
function connection(client: KeyPair): () => Promise<{ status: number | undefined; serial: string | undefined }> {
  const identity = { cert: client.certificatePem, key: client.privateKeyPem, ca: [old, next].map(pemOf) };
  const agent = new Agent({ keepAlive: true, maxSockets: 1, ...identity });
  agents.push(agent);
  return () =>
    new Promise((resolve, reject) => {
      const request = get({ host: "127.0.0.1", port: server.port, path: "/healthz", agent }, (response) => {
        const serial = (response.socket as TLSSocket).getPeerCertificate().serialNumber;
        response.resume();
        response.once("end", () => resolve({ status: response.statusCode, serial }));
      });
      request.once("error", reject);
    });
}
