/** The key of Secrets is rotated under two running apiservers, as the playbook does it, while Secrets are written through both. */
import { createHash } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createApiClient, type ApiClient } from "@pilothouse/client";
import { resources } from "@pilothouse/client";
import { allKeys } from "@pilothouse/store";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startControlPlane, type ControlPlane } from "../../test/harness/control-plane.ts";
import { expectNoLeaks, makeTestDirectory, removeTestDirectory, until } from "../../test/harness/index.ts";
import { leadKeys, type KeyPhase } from "./encryption-key.ts";
import { rewriteSecrets } from "./rewrite-secrets.ts";

const SECRETS = 250;

const opened: (() => Promise<unknown>)[] = [];
let plane: ControlPlane;
let file: string;
/** One for each apiserver. */
let clients: readonly ApiClient[];
let madeKeys = 1;

beforeAll(async () => {
  const directory = await makeTestDirectory();
  opened.push(() => removeTestDirectory(directory));
  file = join(directory, "encryption.yaml");
  const keys = [{ name: "key1", secret: Buffer.alloc(32, 1).toString("base64") }];
  const providers = [{ aesgcm: { keys } }, { identity: {} }];
  const kind = { apiVersion: "apiserver.config.k8s.io/v1", kind: "EncryptionConfiguration" };
  await writeFile(file, JSON.stringify({ ...kind, resources: [{ resources: ["secrets"], providers }] }));
  plane = await startControlPlane({ masters: 2, apiserverFlags: [`--encryption-provider-config=${file}`] });
  opened.push(() => plane.stop());
  const transports = plane.apiservers.map((apiserver) => apiserver.connect());
  opened.push(() => Promise.all(transports.map((transport) => transport.close())));
  clients = transports.map((transport) => createApiClient({ transports: [transport], userAgent: "test" }));
});
afterAll(async () => {
  for (const close of opened.toReversed()) await close();
  await expectNoLeaks();
});

test("every Secret is read all the time, and in the end none needs the old key", { timeout: 300_000 }, async () => {
  const [one, other] = clients as [ApiClient, ApiClient];
  for (let n = 0; n < SECRETS; n++) await create(one, `before-${n}`);
  expect(await writtenBy()).toEqual(["k8s:enc:aesgcm:v1:key1:"]);
  const ended = new AbortController();
  const busy = Promise.all([writeAndRead(one, other, "a", ended.signal), writeAndRead(other, one, "b", ended.signal)]);
  await everywhere("add");
  expect(await writtenBy()).toEqual(["k8s:enc:aesgcm:v1:key1:"]);
  await everywhere("use");
  expect(await rewriteSecrets(one)).toBeGreaterThanOrEqual(SECRETS);
  expect(await writtenBy()).toEqual(["k8s:enc:aesgcm:v1:key2:"]);
  await everywhere("drop");
  ended.abort();
  expect(await busy).toEqual([expect.any(Number), expect.any(Number)]);
  for (const client of clients) {
    const { items } = await client.list(resources.secrets, "default", {});
    expect(items.filter(({ metadata }) => metadata.name?.startsWith("before-"))).toHaveLength(SECRETS);
    expect(new Set(items.map(({ data }) => data?.["password"]))).toEqual(new Set([PASSWORD]));
  }
});

const PASSWORD = Buffer.from("correct horse").toString("base64");

async function create(client: ApiClient, name: string): Promise<void> {
  await client.create(resources.secrets, { metadata: { name, namespace: "default" }, data: { password: PASSWORD } });
}

/** Writes through one apiserver and reads through the other until told to end; resolves to how often, and rejects if one fails. */
async function writeAndRead(writes: ApiClient, reads: ApiClient, prefix: string, ended: AbortSignal): Promise<number> {
  let times = 0;
  for (; !ended.aborted; times++) {
    await create(writes, `${prefix}-${times}`);
    await reads.get(resources.secrets, "default", `${prefix}-${times}`);
  }
  expect(times).toBeGreaterThan(10);
  return times;
}

/** Leads the file on, and one apiserver after the other to it. */
async function everywhere(phase: KeyPhase): Promise<void> {
  const { text } = leadKeys(await readFile(file, "utf8"), phase, () => Buffer.alloc(32, ++madeKeys).toString("base64"));
  await writeFile(file, text);
  const digest = createHash("sha256").update(text).digest("hex");
  for (const apiserver of plane.apiservers) {
    const transport = apiserver.connect();
    process.kill(apiserver.pid(), "SIGHUP");
    await until(`it has taken: ${phase}`, async () => {
      const { body } = await transport.send({ method: "GET", path: "/metrics", headers: {} });
      const chunks: Uint8Array[] = [];
      for await (const chunk of body) chunks.push(chunk);
      return new RegExp(`last_config_info{.*hash="sha256:${digest}".*} 1$`, "m").test(Buffer.concat(chunks).toString());
    });
    await transport.close();
  }
}

/** How the values of all Secrets in etcd begin. */
async function writtenBy(): Promise<readonly string[]> {
  const store = plane.openStore();
  const { entries } = await store.range(allKeys);
  await store.close();
  const values = entries
    .filter(({ key }) => key.startsWith("/registry/core/secrets/"))
    .map(({ value }) => Buffer.from(value));
  return [
    ...new Set(values.map((value) => value.subarray(0, "k8s:enc:aesgcm:v1:key1:".length).toString("latin1"))),
  ].sort();
}
