/** Wire traps of creates, updates, patches and deletes, and of what is told about them. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { connect as tlsConnect } from "node:tls";
import { encodeProtobuf, readEnvelope, schemaOf } from "@pilothouse/api";
import { beforeAll, expect, test } from "vitest";
import { makeTestDirectory, removeTestDirectory } from "../harness/index.ts";
import type { Answer } from "./exchange.ts";
import type { WireRig } from "./rig.ts";

const NAMESPACE = "writes";
const IN = `/api/v1/namespaces/${NAMESPACE}`;
const MAPS = `${IN}/configmaps`;
const DEPLOYMENTS = `/apis/apps/v1/namespaces/${NAMESPACE}/deployments`;
const LEASES = `/apis/coordination.k8s.io/v1/namespaces/${NAMESPACE}/leases`;
const PROTOBUF = "application/vnd.kubernetes.protobuf";

interface Metadata {
  readonly name: string;
  readonly uid: string;
  readonly resourceVersion: string;
  readonly generation?: number;
  readonly managedFields?: readonly { readonly manager: string; readonly operation: string }[];
}

interface Object {
  readonly kind: string;
  readonly metadata: Metadata;
  readonly [field: string]: unknown;
}

function deployment(name: string): object {
  return {
    metadata: { name },
    spec: {
      selector: { matchLabels: { app: name } },
      template: {
        metadata: { labels: { app: name } },
        spec: {
          containers: [
            { name: "one", image: "pilothouse.local/one" },
            { name: "two", image: "pilothouse.local/two" },
          ],
        },
      },
    },
  };
}

function pod(name: string): object {
  return { metadata: { name }, spec: { containers: [{ name: "c", image: "pilothouse.local/c" }] } };
}

export function writeTraps(rig: () => WireRig): void {
  const ask = (path: string) => rig().api.ask({ path });
  const create = (path: string, body: object, headers: Readonly<Record<string, string>> = {}) =>
    rig().api.ask({ method: "POST", path, body, headers });
  const remove = (path: string, body?: object | Uint8Array, headers: Readonly<Record<string, string>> = {}) =>
    rig().api.ask({ method: "DELETE", path, headers, ...(body ? { body } : {}) });
  const patch = (path: string, type: string, body: object | string): Promise<Answer> =>
    rig().api.ask({
      method: "PATCH",
      path,
      headers: { "content-type": `application/${type}` },
      body: typeof body === "string" ? body : JSON.stringify(body),
    });

  beforeAll(async () => {
    await create("/api/v1/namespaces", { metadata: { name: NAMESPACE } });
    await create(`${IN}/serviceaccounts`, { metadata: { name: "default" } });
  });

  test("wire trap 22: times of leases have six digits, all others none", async () => {
    const spec = {
      holderIdentity: "me",
      leaseDurationSeconds: 15,
      acquireTime: "2026-01-02T03:04:05.678Z",
      renewTime: "2026-01-02T03:04:05.000001Z",
    };
    const lease = (await create(LEASES, { metadata: { name: "times" }, spec })).json() as Object;
    expect(lease["spec"]).toMatchObject({
      acquireTime: "2026-01-02T03:04:05.678000Z",
      renewTime: "2026-01-02T03:04:05.000001Z",
    });
    expect(lease.metadata).toMatchObject({ creationTimestamp: expect.stringMatching(/^[\d-]+T[\d:]{8}Z$/) });
  });

  test("wire trap 23: delete options come without a kind, in any group, as protobuf, or in the query", async () => {
    const schema = schemaOf("v1", "DeleteOptions");
    if (!schema) throw new Error("no structure for DeleteOptions");
    const named = { kind: "DeleteOptions", propagationPolicy: "Background" };
    const bodies: readonly (readonly [object | Uint8Array, string])[] = [
      [{ propagationPolicy: "Background" }, "application/json"],
      [{ ...named, apiVersion: "v1" }, "application/json"],
      [{ ...named, apiVersion: "meta.k8s.io/v1" }, "application/json"],
      [{ ...named, apiVersion: "apps/v1" }, "application/json"],
      [encodeProtobuf({ ...named, apiVersion: "v1" }, schema), PROTOBUF],
    ];
    for (const [body, contentType] of bodies) {
      await create(DEPLOYMENTS, deployment("going"));
      const answer = await remove(`${DEPLOYMENTS}/going`, body, { "content-type": contentType });
      expect([answer.status, answer.text]).toEqual([200, expect.stringContaining('"status":"Success"')]);
    }
    await create(DEPLOYMENTS, deployment("going"));
    const kept = await remove(`${DEPLOYMENTS}/going?propagationPolicy=Foreground&gracePeriodSeconds=0`);
    expect(kept.json()).toMatchObject({ kind: "Deployment", metadata: { finalizers: ["foregroundDeletion"] } });
  });

  test("wire trap 24: a delete's answer tells what went by its uid, or shows what is still going", async () => {
    const { metadata } = (await create(MAPS, { metadata: { name: "gone" } })).json() as Object;
    expect((await remove(`${MAPS}/gone`)).json()).toMatchObject({
      kind: "Status",
      apiVersion: "v1",
      status: "Success",
      details: { name: "gone", kind: "configmaps", uid: metadata.uid },
    });
    await create(MAPS, { metadata: { name: "held", finalizers: ["example.com/hold"] } });
    const pending = await remove(`${MAPS}/held`);
    expect([pending.status, (pending.json() as Object).kind]).toEqual([200, "ConfigMap"]);
    expect((pending.json() as Object).metadata).toHaveProperty("deletionTimestamp");
    const orphaned = await remove(`${MAPS}/held`, { orphanDependents: false });
    expect(orphaned.status).toBe(202);
    await patch(`${MAPS}/held`, "merge-patch+json", { metadata: { finalizers: null } });
    expect((await ask(`${MAPS}/held`)).status).toBe(404);
  });

  test("wire trap 30: a pod always has a security context", async () => {
    const made = (await create(`${IN}/pods`, pod("plain"))).json() as { spec: Record<string, unknown> };
    expect(made.spec["securityContext"]).toEqual({});
    await remove(`${IN}/pods/plain`);
  });

  test("wire trap 32: connections are kept for longer than Go keeps them, and headers may be long", async () => {
    const { headers } = await ask("/version");
    expect(Number(/timeout=(\d+)/.exec(String(headers["keep-alive"]))?.[1])).toBeGreaterThan(90);
    const long = await rig().api.ask({ path: "/version", headers: { "x-long": "x".repeat(500_000) } });
    expect(long.status).toBe(200);
  });

  test("wire trap 35: warnings, one header each, escaped; or 400 when strict", async () => {
    const body = { metadata: { name: "warned" }, data: {}, spec: { zz: 1 }, 'a"b\\c': 2 };
    const warned = await create(`${MAPS}?dryRun=All&fieldValidation=Warn`, body);
    expect([warned.status, [...warned.warnings].sort()]).toEqual([
      201,
      ['299 - "unknown field \\"a\\\\\\"b\\\\\\\\c\\""', '299 - "unknown field \\"spec\\""'],
    ]);
    const strict = await create(`${MAPS}?fieldValidation=Strict`, { metadata: { name: "warned" }, spec: { zz: 1 } });
    expect([strict.status, (strict.json() as { message: string }).message]).toEqual([
      400,
      'ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: unknown field "spec"',
    ]);
  });

  test("wire trap 35: a strict patch is refused with 422, about the patch", async () => {
    await create(DEPLOYMENTS, deployment("strict"));
    const path = `${DEPLOYMENTS}/strict?fieldValidation=Strict`;
    const strategic = await patch(path, "strategic-merge-patch+json", { spec: { replicaz: 1 } });
    expect([strategic.status, (strategic.json() as { message: string }).message]).toEqual([
      422,
      ' "" is invalid: patch: Invalid value: "map[spec:map[replicaz:1]]": strict decoding error: unknown field "spec.replicaz"',
    ]);
    const merged = await patch(path, "merge-patch+json", { spec: { replicaz: 1 } });
    expect([merged.status, (merged.json() as { message: string }).message]).toEqual([
      422,
      expect.stringMatching(
        /^ "" is invalid: patch: Invalid value: "\{\\"kind\\":\\"Deployment.*: strict decoding error: unknown field/,
      ),
    ]);
  });

  test("wire trap 35: warnings end where a client's header limit would", async () => {
    const many = Object.fromEntries(Array.from({ length: 500 }, (_, i) => [`unknown-field-number-${i}`, 1]));
    const { status, warnings } = await create(`${MAPS}?dryRun=All`, { metadata: { name: "warned" }, ...many });
    expect(status).toBe(201);
    expect(warnings.length).toBeGreaterThan(10);
    expect(warnings.join("").length).toBeLessThan(8 * 1024);
  });

  test("wire trap 36: an error says what clients print", async () => {
    const base = { kind: "Status", apiVersion: "v1", status: "Failure" };
    expect((await ask(`${MAPS}/none`)).json()).toMatchObject({
      ...base,
      message: 'configmaps "none" not found',
      reason: "NotFound",
      details: { name: "none", kind: "configmaps" },
      code: 404,
    });
    await create(MAPS, { metadata: { name: "there" } });
    expect((await create(MAPS, { metadata: { name: "there" } })).json()).toMatchObject({
      ...base,
      reason: "AlreadyExists",
      details: { name: "there", kind: "configmaps" },
    });
    const invalid = await create(MAPS, { metadata: { name: "Not_A_Name" } });
    expect(invalid.json()).toMatchObject({
      ...base,
      reason: "Invalid",
      details: {
        name: "Not_A_Name",
        kind: "ConfigMap",
        causes: [{ reason: "FieldValueInvalid", field: "metadata.name" }],
      },
    });
    const stale = { metadata: { name: "there", resourceVersion: "1" } };
    expect((await rig().api.ask({ method: "PUT", path: `${MAPS}/there`, body: stale })).json()).toMatchObject({
      ...base,
      reason: "Conflict",
      details: { name: "there", kind: "configmaps" },
    });
  });

  test("wire trap 37: media types that are not served are refused with those that are", async () => {
    const accept = await rig().api.ask({ path: `${MAPS}/there`, headers: { accept: "image/png" } });
    expect([accept.status, (accept.json() as { message: string }).message]).toEqual([
      406,
      "only the following media types are accepted: application/json, application/yaml, application/vnd.kubernetes.protobuf",
    ]);
    const body = await create(MAPS, {}, { "content-type": "image/png" });
    expect([body.status, (body.json() as { message: string }).message]).toEqual([
      415,
      "the body of the request was in an unknown format - accepted media types include: application/json, application/yaml, application/vnd.kubernetes.protobuf",
    ]);
  });

  test("wire trap 40: server-side apply creates with 201, from JSON, and tells whose fields are in conflict", async () => {
    const apply = (manager: string, value: string, force = false): Promise<Answer> =>
      patch(`${MAPS}/applied?fieldManager=${manager}&force=${force}&fieldValidation=Strict`, "apply-patch+yaml", {
        apiVersion: "v1",
        kind: "ConfigMap",
        metadata: { name: "applied" },
        data: { k: value },
      });
    expect((await apply("kubectl", "one")).status).toBe(201);
    expect((await apply("kubectl", "two")).status).toBe(200);
    const refused = await apply("other", "three");
    expect([refused.status, refused.json()]).toEqual([
      409,
      expect.objectContaining({
        reason: "Conflict",
        details: expect.objectContaining({
          causes: [{ reason: "FieldManagerConflict", message: 'conflict with "kubectl"', field: ".data.k" }],
        }),
      }),
    ]);
    expect((await apply("other", "three", true)).status).toBe(200);
  });

  test("wire trap 40: a configuration of a megabyte is applied", async () => {
    const large = {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name: "large" },
      data: { k: "x".repeat(1_000_000) },
    };
    const applied = await patch(`${MAPS}/large?fieldManager=kubectl&force=false`, "apply-patch+yaml", large);
    expect([applied.status, applied.text.length > 1_000_000]).toEqual([201, true]);
    await remove(`${MAPS}/large`);
  });

  test("wire trap 41: kubectl moves from client-side to server-side apply by patching managedFields", async () => {
    const manifest = (value: string): string =>
      `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"moved","namespace":"${NAMESPACE}"},"data":{"k":"${value}"}}`;
    await rig().kubectl("apply -f -", manifest("one"));
    expect(await rig().kubectl("apply --server-side -f -", manifest("two"))).toBe(
      "configmap/moved serverside-applied\n",
    );
    const { metadata } = (await ask(`${MAPS}/moved`)).json() as Object;
    expect(metadata.managedFields?.map(({ manager, operation }) => `${manager} ${operation}`)).toEqual([
      "kubectl-last-applied Apply",
      "kubectl Apply",
    ]);
    const stale = [
      { op: "replace", path: "/metadata/managedFields", value: [] },
      { op: "replace", path: "/metadata/resourceVersion", value: "1" },
    ];
    expect((await patch(`${MAPS}/moved`, "json-patch+json", stale)).status).toBe(409);
  });

  test("wire trap 42: a dry run shows what would be, and writes nothing", async () => {
    const before = (await create(DEPLOYMENTS, deployment("dry"))).json() as Object;
    const change = { spec: { replicas: 7 } };
    const path = `${DEPLOYMENTS}/dry?dryRun=All&fieldManager=kubectl-diff`;
    const shown = (await patch(path, "merge-patch+json", change)).json() as Object;
    expect(shown).toMatchObject({
      spec: { replicas: 7, progressDeadlineSeconds: 600 },
      metadata: { resourceVersion: before.metadata.resourceVersion, generation: 2 },
    });
    expect(shown.metadata.managedFields?.map(({ manager }) => manager)).toContain("kubectl-diff");
    expect((await ask(`${DEPLOYMENTS}/dry`)).json()).toEqual(before);
    const newest = rig().kubectls().at(-1);
    if (!newest) return;
    const manifest = JSON.stringify({ apiVersion: "apps/v1", kind: "Deployment", ...deployment("dry") });
    const diff = await rig().run(newest, ["diff", "-n", NAMESPACE, "-f", "-"], manifest.replace("/one", "/three"));
    expect([diff.code, diff.out]).toEqual([1, expect.stringMatching(/\n-.*local\/one\n\+.*local\/three\n/)]);
  });

  test("wire trap 43: set image merges strategically, keeps the order, and is written down as its own manager", async () => {
    await rig().kubectl(`set image deployment/dry -n ${NAMESPACE} two=pilothouse.local/new`);
    const { spec, metadata } = (await ask(`${DEPLOYMENTS}/dry`)).json() as Object & {
      spec: { template: { spec: { containers: { name: string; image: string }[] } } };
    };
    expect(spec.template.spec.containers.map(({ name, image }) => `${name} ${image}`)).toEqual([
      "one pilothouse.local/one",
      "two pilothouse.local/new",
    ]);
    expect(metadata.managedFields?.map(({ manager }) => manager)).toContain("kubectl-set");
    const directives = {
      spec: {
        strategy: { $retainKeys: ["type"], type: "Recreate" },
        template: {
          spec: {
            $setElementOrder: undefined,
            "$setElementOrder/containers": [{ name: "two" }, { name: "one" }],
            containers: [{ name: "one", image: "pilothouse.local/newer" }],
          },
        },
      },
    };
    const patched = (await patch(`${DEPLOYMENTS}/dry`, "strategic-merge-patch+json", directives)).json() as {
      spec: { strategy: object; template: { spec: { containers: { name: string; image: string }[] } } };
    };
    expect(patched.spec.strategy).toEqual({ type: "Recreate" });
    expect(patched.spec.template.spec.containers.map(({ image }) => image)).toEqual([
      "pilothouse.local/new",
      "pilothouse.local/newer",
    ]);
  });

  test("wire trap 44: tokens, evictions and bindings come in a group of their own, and are answered in it", async () => {
    const token = await create(`${IN}/serviceaccounts/default/token`, {
      kind: "TokenRequest",
      apiVersion: "authentication.k8s.io/v1",
      metadata: {},
      spec: { audiences: null, expirationSeconds: 3600, boundObjectRef: null },
    });
    expect([token.status, token.json()]).toEqual([
      201,
      expect.objectContaining({ kind: "TokenRequest", apiVersion: "authentication.k8s.io/v1" }),
    ]);
    await create(`${IN}/pods`, pod("bound"));
    const binding = await create(`${IN}/pods/bound/binding`, {
      kind: "Binding",
      apiVersion: "v1",
      metadata: { name: "bound", namespace: NAMESPACE },
      target: { kind: "Node", name: "nowhere" },
    });
    expect([binding.status, binding.json()]).toEqual([
      201,
      expect.objectContaining({ kind: "Status", status: "Success", code: 201 }),
    ]);
    await create(`${IN}/pods`, pod("bound-too"));
    const older = await create(`${IN}/bindings`, { metadata: { name: "bound-too" }, target: { name: "nowhere" } });
    expect([older.status, older.json()]).toEqual([201, expect.objectContaining({ kind: "Status", status: "Success" })]);
    expect((await ask(`${IN}/pods/bound-too`)).json()).toMatchObject({ spec: { nodeName: "nowhere" } });
    const eviction = { kind: "Eviction", apiVersion: "policy/v1", metadata: { name: "bound", namespace: NAMESPACE } };
    const evicted = await create(`${IN}/pods/bound/eviction`, {
      ...eviction,
      deleteOptions: { gracePeriodSeconds: 0 },
    });
    expect([evicted.status, evicted.json()]).toEqual([
      201,
      expect.objectContaining({ kind: "Status", status: "Success", code: 201 }),
    ]);
    for (const client of rig().kubectls(27)) {
      const { code, out } = await rig().run(client, `create token default -n ${NAMESPACE}`);
      expect([client.name, code, out.split(".").length]).toEqual([client.name, 0, 3]);
    }
  });

  test("wire trap 45: what old clients always send is nothing at all", async () => {
    const old = {
      kind: "Deployment",
      apiVersion: "apps/v1",
      metadata: { name: "old", creationTimestamp: null },
      spec: {
        strategy: {},
        selector: { matchLabels: { app: "old" } },
        template: {
          metadata: { creationTimestamp: null, labels: { app: "old" } },
          spec: { containers: [{ name: "c", image: "i", resources: {} }] },
        },
      },
      status: {},
    };
    const made = await create(`${DEPLOYMENTS}?fieldValidation=Strict`, old);
    expect([made.status, made.warnings]).toEqual([201, []]);
  });

  test("wire trap 48: an event that is gone is said to be, so that its recorder writes it anew", async () => {
    const series = { series: { count: 2, lastObservedTime: "2026-01-01T00:00:00.000000Z" } };
    const gone = await patch(`${IN}/events/gone`, "strategic-merge-patch+json", series);
    expect([gone.status, (gone.json() as { reason: string }).reason]).toEqual([404, "NotFound"]);
    const event = {
      metadata: { name: "told" },
      involvedObject: { kind: "ConfigMap", namespace: NAMESPACE, name: "there" },
      eventTime: "2026-01-01T00:00:00.000000Z",
      reportingComponent: "example.com/test",
      reportingInstance: "test-1",
      action: "Tell",
      reason: "Told",
      type: "Normal",
    };
    expect((await create(`${IN}/events`, event)).status).toBe(201);
    const told = (await patch(`${IN}/events/told`, "strategic-merge-patch+json", series)).json();
    expect(told).toMatchObject(series);
    await create("/api/v1/namespaces", { metadata: { name: "dying" } });
    await remove("/api/v1/namespaces/dying");
    const late = await create("/api/v1/namespaces/dying/configmaps", { metadata: { name: "late" } });
    expect([late.status, late.json()]).toEqual([
      403,
      expect.objectContaining({
        details: expect.objectContaining({ causes: [expect.objectContaining({ reason: "NamespaceTerminating" })] }),
      }),
    ]);
  });

  test("wire trap 49: an election in protobuf: made, taken, and refused to whoever comes late", async () => {
    const schema = schemaOf("coordination.k8s.io/v1", "Lease");
    if (!schema) throw new Error("no structure for a Lease");
    const send = (method: string, path: string, resourceVersion: string, holder: string): Promise<Answer> => {
      const lease = {
        apiVersion: "coordination.k8s.io/v1",
        kind: "Lease",
        metadata: { name: "leader", namespace: NAMESPACE, ...(resourceVersion ? { resourceVersion } : {}) },
        spec: { holderIdentity: holder, leaseDurationSeconds: 15, renewTime: "2026-01-01T00:00:00.000000Z" },
      };
      const headers = { "content-type": PROTOBUF, accept: `${PROTOBUF},application/json` };
      return rig().api.ask({ method, path, headers, body: encodeProtobuf(lease, schema) });
    };
    const made = await send("POST", LEASES, "", "one");
    expect([made.status, readEnvelope(made.bytes).kind]).toEqual([201, "Lease"]);
    const { metadata } = (await ask(`${LEASES}/leader`)).json() as Object;
    expect((await send("PUT", `${LEASES}/leader`, metadata.resourceVersion, "two")).status).toBe(200);
    expect((await send("PUT", `${LEASES}/leader`, metadata.resourceVersion, "three")).status).toBe(409);
    expect((await send("PUT", `${LEASES}/leader`, "", "four")).status).toBe(200);
  });

  test(
    "wire trap 54: helm installs, upgrades and removes a chart with a release of half a megabyte",
    { timeout: 60_000 },
    async () => {
      const directory = await makeTestDirectory();
      try {
        const chart = join(directory, "chart");
        mkdirSync(join(chart, "templates"), { recursive: true });
        writeFileSync(
          join(chart, "Chart.yaml"),
          'apiVersion: v2\nname: small\nversion: 0.1.0\nkubeVersion: ">=1.30.0"\n',
        );
        writeFileSync(join(chart, "values.yaml"), "colour: blue\n");
        const noise = Array.from({ length: 20_000 }, (_, i) => ((i * 2_654_435_761) >>> 0).toString(36)).join("\n# ");
        writeFileSync(
          join(chart, "templates/map.yaml"),
          `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: {{ .Release.Name }}}\ndata: {colour: {{ .Values.colour }}}\n{{/* ${noise} */}}\n`,
        );
        for (const helm of rig().clients.found.filter(({ name }) => name.startsWith("helm"))) {
          const ran = [];
          for (const args of [
            ["install", "demo", chart, "--wait", "--timeout", "20s"],
            ["upgrade", "demo", chart, "--set", "colour=red", "--wait", "--timeout", "20s"],
            ["list", "-q"],
            ["uninstall", "demo"],
          ]) {
            ran.push(await rig().run(helm, [...args, "-n", NAMESPACE]));
          }
          expect(ran.map(({ code, err }) => [helm.name, code, err])).toEqual(ran.map(() => [helm.name, 0, ""]));
          expect(ran[2]?.out).toBe("demo\n");
          expect((await ask(`${MAPS}/demo`)).status).toBe(404);
        }
      } finally {
        await removeTestDirectory(directory);
      }
    },
  );

  test("wire trap 12: what may have landed is never answered with Retry-After", async () => {
    for (const answer of [
      await create(MAPS, { metadata: { name: "there" } }),
      await create(MAPS, { metadata: { name: "Not_A_Name" } }),
      await remove(`${MAPS}/none`),
    ]) {
      expect(answer.headers["retry-after"]).toBeUndefined();
    }
  });

  test("wire trap 27: an upgrade on its own connection is authenticated and authorised like any other request", async () => {
    const path = `${IN}/pods/none/exec?command=true`;
    expect(await upgradeStatus(rig(), path, true)).toMatch(/^HTTP\/1\.1 404 /);
    expect(await upgradeStatus(rig(), path, false)).toMatch(/^HTTP\/1\.1 40[13] /);
  });
}

/** The first line of the answer to a WebSocket handshake, as a client with or without a certificate. */
function upgradeStatus({ credentials, port }: WireRig, path: string, isKnown: boolean): Promise<string> {
  const { cert, key, ...rest } = credentials.target(port);
  return new Promise((resolve, reject) => {
    const socket = tlsConnect({ ...rest, ...(isKnown ? { cert, key } : {}), ALPNProtocols: ["http/1.1"] });
    socket.once("error", reject);
    socket.once("data", (bytes: Buffer) => {
      resolve(bytes.toString().split("\r\n")[0] ?? "");
      socket.destroy();
    });
    const lines = [
      `GET ${path} HTTP/1.1`,
      "Host: 127.0.0.1",
      "Connection: Upgrade",
      "Upgrade: websocket",
      "Sec-WebSocket-Version: 13",
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
      "Sec-WebSocket-Protocol: v5.channel.k8s.io",
    ];
    socket.once("secureConnect", () => socket.write(`${lines.join("\r\n")}\r\n\r\n`));
  });
}
