/**
 * Secrets in a real etcd (C9): a canary that is put into Secrets in every way is searched for in all that could hold it, and
 * the key is rotated in a running apiserver by an edited file and SIGHUP.
 */
import { createHash } from "node:crypto";
import { readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { busSubjects } from "@pilothouse/bus";
import { natsBus } from "@pilothouse/bus-nats";
import type { Transport } from "@pilothouse/client";
import { allKeys } from "@pilothouse/store";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  startControlPlane,
  type ControlPlane,
  type ControlPlaneApiserver,
} from "../../../test/harness/control-plane.ts";
import { expectNoLeaks, makeTestDirectory, removeTestDirectory, until } from "../../../test/harness/index.ts";

const SECRETS = "/api/v1/namespaces/default/secrets";
const CONFIG_MAPS = "/api/v1/namespaces/default/configmaps";
const CANARY = "canary-b7f3a9d2c1e8";
/** In a ConfigMap: must be found wherever a Secret must not, else the search itself is blind. */
const CONTROL = "control-5e1c7d904ab2";

const opened: (() => Promise<unknown>)[] = [];
/** All that was heard on the bus: subjects, headers and payloads. */
const heard: Buffer[] = [];
let directory: string;
let plane: ControlPlane;
let apiserver: ControlPlaneApiserver;
let client: Transport;

beforeAll(async () => {
  directory = await makeTestDirectory();
  opened.push(() => removeTestDirectory(directory));
  await writeConfig("one");
  const apiserverFlags = [`--encryption-provider-config=${configFile()}`, "--log-level=debug"];
  plane = await startControlPlane({ masters: 1, apiserverFlags });
  opened.push(() => plane.stop());
  [apiserver] = plane.apiservers as [ControlPlaneApiserver];
  const bus = natsBus({ servers: [plane.nats[0]?.endpoint ?? ""], name: "eavesdropper", onError: () => undefined });
  opened.push(() => bus.close());
  bus.subscribe(">", ({ subject, headers, payload }) =>
    heard.push(Buffer.concat([Buffer.from(subject + JSON.stringify(headers)), payload])),
  );
  await until("the bus is connected", () => bus.connected());
  bus.publish(busSubjects.spanListeners, new Uint8Array());
  client = apiserver.connect();
  opened.push(() => client.close());
});

afterAll(async () => {
  for (const close of opened.toReversed()) await close();
  await expectNoLeaks();
});

test("a canary in Secrets is nowhere in etcd's files and keys, on the bus, in spans and in logs", async () => {
  const control = { metadata: { name: "control" }, data: { text: CONTROL } };
  expect((await ask("POST", CONFIG_MAPS, control)).status).toBe(201);
  const data = { password: Buffer.from(CANARY).toString("base64") };
  const applied = {
    apiVersion: "v1",
    kind: "Secret",
    metadata: { name: "by-client-side-apply", namespace: "default" },
    stringData: { password: CANARY },
  };
  const serverApplied = { ...applied, metadata: { name: "plain", namespace: "default" } };
  const annotations = { "kubectl.kubernetes.io/last-applied-configuration": JSON.stringify(applied) };
  const rounds: readonly (readonly [method: string, path: string, body: unknown, status: number, type?: string])[] = [
    ["POST", SECRETS, { metadata: { name: "plain" }, data }, 201],
    ["POST", SECRETS, { ...applied, metadata: { ...applied.metadata, annotations } }, 201],
    ["PATCH", `${SECRETS}/plain`, { stringData: { more: CANARY } }, 200, "application/merge-patch+json"],
    ["PATCH", `${SECRETS}/plain?fieldManager=me&force=true`, serverApplied, 200, "application/apply-patch+yaml"],
    ["PUT", `${SECRETS}/plain`, { metadata: { name: "plain" }, data: { ...data, third: data.password } }, 200],
    ["PUT", `${SECRETS}/plain`, { metadata: { name: "plain" }, data: { "not a key!": data.password } }, 422],
    ["POST", SECRETS, { metadata: { name: "odd" }, data: { password: `${CANARY}!` } }, 400],
    ["GET", SECRETS, undefined, 200],
    ["DELETE", `${SECRETS}/by-client-side-apply`, undefined, 200],
  ];
  for (const [method, path, body, status, type] of rounds)
    expect([method, path, (await ask(method, path, body, type)).status]).toEqual([method, path, status]);
  await until("the bus has told of the last delete", () => heard.some(includes("by-client-side-apply")));
  await until("the spans of it all were heard", () => heard.filter(includes("telemetry.spans.apiserver")).length > 0);

  const places: Readonly<Record<string, readonly Buffer[]>> = {
    "etcd's files": await filesBelow(join(plane.etcd[0]?.directory ?? "", "data")),
    "etcd's keys": await rawValues(),
    "the bus and the spans on it": heard,
    "the apiserver's log": [Buffer.from(await apiserver.output())],
  };
  const found = (text: string): readonly string[] =>
    Object.keys(places).filter((place) => places[place]?.some(includes(text)));
  expect(found(CONTROL)).toEqual(["etcd's files", "etcd's keys", "the bus and the spans on it"]);
  expect(found("by-client-side-apply")).toContain("the bus and the spans on it");
  expect([...found(CANARY), ...found(data.password)]).toEqual([]);
  expect((await ask("GET", `${SECRETS}/plain`)).text).toContain(data.password);
});

test("a key is rotated while the apiserver serves: read both, write the new one, rewrite, drop the old one", async () => {
  const secret = await ask("GET", `${SECRETS}/plain`);
  expect(await prefixes()).toEqual(["k8s:enc:aesgcm:v1:one:"]);
  await reload("one", "two");
  await reload("two", "one");
  expect((await ask("PUT", `${SECRETS}/plain`, JSON.parse(secret.text))).status).toBe(200);
  expect(await prefixes()).toEqual(["k8s:enc:aesgcm:v1:two:"]);
  await reload("two");
  await apiserver.stop();
  apiserver.start();
  await apiserver.untilReady();
  const after = await ask("GET", `${SECRETS}/plain`);
  expect((JSON.parse(after.text) as { data: unknown }).data).toEqual(
    (JSON.parse(secret.text) as { data: unknown }).data,
  );

  await writeFile(configFile(), "kind: Nonsense\n");
  process.kill(apiserver.pid(), "SIGHUP");
  await until("it says that the file is wrong", async () => (await apiserver.output()).includes("what held before"));
  expect((await ask("GET", `${SECRETS}/plain`)).status).toBe(200);
});

async function ask(
  method: string,
  path: string,
  body?: unknown,
  type = "application/json",
): Promise<{ readonly status: number; readonly text: string }> {
  const answer = await client.send({
    method,
    path,
    headers: { "content-type": type },
    ...(body === undefined ? {} : { body: Buffer.from(JSON.stringify(body)) }),
  });
  const chunks: Uint8Array[] = [];
  for await (const chunk of answer.body) chunks.push(chunk);
  return { status: answer.status, text: Buffer.concat(chunks).toString() };
}

function includes(text: string): (bytes: Buffer) => boolean {
  return (bytes) => bytes.includes(text);
}

/** How the values of all Secrets in etcd begin. */
async function prefixes(): Promise<string[]> {
  const values = await rawValues("/registry/core/secrets/");
  return [...new Set(values.map((value) => value.subarray(0, "k8s:enc:aesgcm:v1:one:".length).toString("latin1")))];
}

async function rawValues(prefix = ""): Promise<Buffer[]> {
  const store = plane.openStore();
  const { entries } = await store.range(allKeys);
  await store.close();
  return entries.filter(({ key }) => key.startsWith(prefix)).map(({ value }) => Buffer.from(value));
}

async function filesBelow(folder: string): Promise<Buffer[]> {
  const names = await readdir(folder, { recursive: true });
  const paths = names.map((name) => join(folder, name));
  const files = await Promise.all(
    paths.map(async (path) => ((await stat(path)).isFile() ? [await readFile(path)] : [])),
  );
  return files.flat();
}

function configFile(): string {
  return join(directory, "encryption.yaml");
}

/** The keys in the order in which they count; each has a secret of its own. */
async function writeConfig(...keys: readonly ("one" | "two")[]): Promise<void> {
  const secrets = { one: Buffer.alloc(32, 1), two: Buffer.alloc(32, 2) };
  const config = {
    apiVersion: "apiserver.config.k8s.io/v1",
    kind: "EncryptionConfiguration",
    resources: [
      {
        resources: ["secrets"],
        providers: [{ aesgcm: { keys: keys.map((name) => ({ name, secret: secrets[name].toString("base64") })) } }],
      },
    ],
  };
  await writeFile(configFile(), JSON.stringify(config), { mode: 0o600 });
}

/** Changes the file, and waits until the apiserver says by its metric that it has taken it. */
async function reload(...keys: readonly ("one" | "two")[]): Promise<void> {
  await writeConfig(...keys);
  process.kill(apiserver.pid(), "SIGHUP");
  const digest = createHash("sha256")
    .update(await readFile(configFile()))
    .digest("hex");
  const line = new RegExp(
    `^apiserver_encryption_config_controller_last_config_info{.*hash="sha256:${digest}".*} 1$`,
    "m",
  );
  await until("the file holds", async () => line.test((await ask("GET", "/metrics")).text));
}
