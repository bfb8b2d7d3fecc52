import { execFileSync } from "node:child_process";
import { readFileSync, utimesSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { systemClock } from "@pilothouse/clock/system";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { makeTestDirectory, removeTestDirectory } from "../../../test/harness/index.ts";
import { httpsTransport } from "./https.ts";
import { readAll } from "./json-lines.ts";
import { parseKubeconfig } from "./kubeconfig.ts";
import { Unreachable } from "./transport.ts";

let directory: string;
let server: Server;
let url: string;
let ca: string;

beforeAll(async () => {
  directory = await makeTestDirectory();
  const [key, cert] = [`${directory}/key.pem`, `${directory}/cert.pem`];
  const subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"];
  const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];
  execFileSync("openssl", ["req", "-x509", ...curve, "-keyout", key, "-out", cert, ...subject], { stdio: "ignore" });
  ca = readFileSync(cert, "utf8");
  server = createServer({ key: readFileSync(key), cert: ca }, (request, response) => {
    if (request.url === "/silent") return;
    response.setHeader("echo-authorization", request.headers.authorization ?? "");
    if (request.url === "/endless") response.write("first\n");
    else if (request.url === "/cut") request.socket.destroy();
    else request.pipe(response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  await removeTestDirectory(directory);
});

function transport(options: { server?: string; tokenFile?: string } = {}) {
  return httpsTransport({ server: url, ca, clock: systemClock, ...options });
}

const get = { method: "GET", headers: {} } as const;

describe("the HTTPS transport", () => {
  it("sends a body and reads the answer", async () => {
    const body = new TextEncoder().encode("hello");
    const answer = await transport().send({ method: "POST", path: "/", headers: {}, body });
    expect(answer.status).toBe(200);
    expect(new TextDecoder().decode(await readAll(answer.body))).toBe("hello");
  });

  it("tells unreachable from unanswered", async () => {
    const nobody = transport({ server: "https://127.0.0.1:1" });
    await expect(nobody.send({ ...get, path: "/" })).rejects.toBeInstanceOf(Unreachable);
    const cut = transport().send({ ...get, path: "/cut" });
    await expect(cut).rejects.not.toBeInstanceOf(Unreachable);
    await expect(transport().send({ ...get, path: "/silent", deadlineMs: 100 })).rejects.toThrow(
      "no answer within 100 ms",
    );
  });

  it("refuses a server of another authority", async () => {
    const stranger = httpsTransport({ server: url, ca: "", clock: systemClock });
    await expect(stranger.send({ ...get, path: "/" })).rejects.toBeInstanceOf(Unreachable);
  });

  it("streams, and ends with the signal", async () => {
    const abort = new AbortController();
    const answer = await transport().send({ ...get, path: "/endless", signal: abort.signal });
    const reader = answer.body[Symbol.asyncIterator]();
    expect(new TextDecoder().decode((await reader.next()).value)).toBe("first\n");
    abort.abort();
    await expect(reader.next()).rejects.toThrow();
  });

  it("reads a token again when its file has changed", async () => {
    const tokenFile = `${directory}/token`;
    writeFileSync(tokenFile, "one\n");
    const https = transport({ tokenFile });
    const authorization = async (): Promise<string | undefined> => {
      const answer = await https.send({ ...get, path: "/" });
      await readAll(answer.body);
      return answer.headers["echo-authorization"];
    };
    expect(await authorization()).toBe("Bearer one");
    writeFileSync(tokenFile, "two\n");
    utimesSync(tokenFile, 1, 1);
    await new Promise((resolve) => setTimeout(resolve, 1_050));
    expect(await authorization()).toBe("Bearer two");
  });
});

describe("a kubeconfig", () => {
  const text = (server: string): string => `
current-context: main
clusters: [{name: pilot, cluster: {server: "${server}", certificate-authority-data: ${Buffer.from("CA").toString("base64")}}}]
contexts: [{name: main, context: {cluster: pilot, user: admin}}]
users: [{name: admin, user: {client-certificate: cert.pem, client-key: key.pem}}]`;

  it("gives server, authority and the client's certificate, from files beside it or inline", () => {
    const config = parseKubeconfig(text("https://x:6443"), `${directory}/admin.conf`);
    expect(config).toMatchObject({ server: "https://x:6443", ca: "CA", clientCertificate: ca });
  });

  it("says what is missing", () => {
    const broken = text("https://x").replace("user: admin", "user: nobody");
    expect(() => parseKubeconfig(broken, "admin.conf")).toThrow('admin.conf: users has no entry named "nobody"');
  });
});
