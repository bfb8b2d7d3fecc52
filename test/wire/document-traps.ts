/** Wire traps of the documents by which clients find their way: OpenAPI, discovery, version. */
import { connect as tlsConnect } from "node:tls";
import { expect, test } from "vitest";
import type { WireRig } from "./rig.ts";

interface OpenApiOperation {
  readonly parameters?: readonly { readonly name: string; readonly in: string }[];
  readonly requestBody?: { readonly content: Readonly<Record<string, unknown>> };
  readonly "x-kubernetes-group-version-kind"?: { readonly kind: string };
}

interface OpenApiDocument {
  readonly paths: Readonly<Record<string, Readonly<Record<string, OpenApiOperation | unknown[]>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, Readonly<Record<string, unknown>>>> };
}

interface DiscoveredResource {
  readonly resource: string;
  readonly responseKind: { readonly group: string; readonly version: string; readonly kind: string };
  readonly verbs: readonly string[];
  readonly categories?: readonly string[];
  readonly subresources?: readonly (Omit<DiscoveredResource, "resource"> & { readonly subresource: string })[];
}

interface Discovery {
  readonly kind: string;
  readonly apiVersion: string;
  readonly items: readonly {
    readonly metadata: { readonly name?: string };
    readonly versions: readonly {
      readonly version: string;
      readonly freshness: string;
      readonly resources: readonly DiscoveredResource[];
    }[];
  }[];
}

interface LegacyResource {
  readonly name: string;
  readonly kind: string;
  readonly group?: string;
  readonly version?: string;
  readonly categories?: readonly string[];
}

const V2_PROTOBUF = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
const V2_PROTOBUF_OLD = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
const AGGREGATED =
  "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";

export function documentTraps(rig: () => WireRig): void {
  const ask = (path: string, headers: Readonly<Record<string, string>> = {}) => rig().api.ask({ path, headers });

  test("wire trap 1: every PATCH operation names fieldValidation in its own parameters", async () => {
    const patches = await patchOperations(rig());
    expect(patches.length).toBeGreaterThan(50);
    const without = patches.filter(
      ({ operation }) => !operation.parameters?.some((one) => one.name === "fieldValidation" && one.in === "query"),
    );
    expect(without.map(({ path }) => path)).toEqual([]);
  });

  test("wire trap 1: every kubectl applies, and applies again without a change", { timeout: 90_000 }, async () => {
    for (const client of rig().kubectls()) {
      const name = `applied-${client.name.replace("kubectl 1.", "")}`;
      const manifest = `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ${name}}\ndata: {a: b}\n`;
      const said = [];
      for (let turn = 0; turn < 2; turn++) said.push(await rig().run(client, "apply -f -", manifest));
      expect([client.name, ...said]).toEqual([
        client.name,
        { code: 0, out: `configmap/${name} created\n`, err: "" },
        { code: 0, out: `configmap/${name} unchanged\n`, err: "" },
      ]);
      const refused = await rig().run(client, "apply -f -", manifest.replace("\ndata:", "\ndada:"));
      expect([client.name, refused.code, refused.err]).toEqual([
        client.name,
        1,
        expect.stringMatching(/unknown field "dada"/),
      ]);
    }
  });

  test("wire trap 2: PATCH takes strategic merges and has its kind as one object; schemas have theirs as a list", async () => {
    for (const { path, operation } of await patchOperations(rig())) {
      expect([path, Array.isArray(operation["x-kubernetes-group-version-kind"])]).toEqual([path, false]);
      expect(Object.keys(operation.requestBody?.content ?? {})).toContain("application/strategic-merge-patch+json");
    }
    const { components } = (await ask("/openapi/v3/apis/apps/v1")).json() as OpenApiDocument;
    expect(components.schemas["io.k8s.api.apps.v1.Deployment"]?.["x-kubernetes-group-version-kind"]).toEqual([
      { group: "apps", kind: "Deployment", version: "v1" },
    ]);
  });

  test("wire trap 3: OpenAPI v2 as protobuf, by both names and at both places", async () => {
    const plain = await ask("/openapi/v2?timeout=32s", { accept: V2_PROTOBUF_OLD });
    expect([plain.status, plain.headers["content-type"]]).toEqual([200, V2_PROTOBUF]);
    expect((await ask("/openapi/v2", { accept: V2_PROTOBUF })).bytes.equals(plain.bytes)).toBe(true);
    expect((await ask("/swagger-2.0.0.pb-v1")).bytes.equals(plain.bytes)).toBe(true);
    // Field 8 (`paths`) is there and names path parameters.
    expect(plain.bytes.includes("/api/v1/namespaces/{namespace}/pods/{name}")).toBe(true);
    expect(((await ask("/openapi/v2", { accept: "application/json" })).json() as { swagger: string }).swagger).toBe(
      "2.0",
    );
    expect((await ask("/openapi/v2", { accept: "image/png" })).status).toBe(406);
  });

  test("wire trap 4: the index of OpenAPI v3 names documents by a hash that is kept for a year", async () => {
    const index = (await ask("/openapi/v3?timeout=32s", { accept: "application/json, */*" })).json() as {
      paths: Record<string, { serverRelativeURL: string }>;
    };
    const url = index.paths["api/v1"]?.serverRelativeURL ?? "";
    expect(url).toMatch(/^\/openapi\/v3\/api\/v1\?hash=[0-9A-F]+$/);
    const right = await ask(`${url}&timeout=32s`);
    expect([right.status, right.headers["cache-control"]]).toEqual([200, "public, immutable, max-age=31536000"]);
    const stale = await ask("/openapi/v3/api/v1?hash=00");
    expect([stale.status, stale.headers.location]).toEqual([301, url]);
  });

  test("wire trap 5: discovery and OpenAPI may be kept and asked again; nothing else may", async () => {
    for (const path of ["/api", "/apis", "/api/v1", "/apis/apps/v1", "/openapi/v2", "/openapi/v3"]) {
      const first = await ask(path);
      expect([path, first.headers.vary, first.headers.etag]).toEqual([
        path,
        "Accept",
        expect.stringMatching(/^"\w+"$/),
      ]);
      const again = await ask(path, { "if-none-match": first.headers.etag ?? "" });
      expect([path, again.status, again.bytes.length]).toEqual([path, 304, 0]);
    }
    for (const path of ["/version", "/api/v1/namespaces", "/api/v1/namespaces/default", "/nothing"]) {
      const { headers } = await ask(path);
      expect([path, headers["cache-control"], headers.etag]).toEqual([path, "no-cache, private", undefined]);
    }
  });

  test(
    "wire trap 6: kinds are found by path templates, and explained by every kubectl",
    { timeout: 60_000 },
    async () => {
      const { paths } = (await ask("/openapi/v3/apis/apps/v1")).json() as OpenApiDocument;
      const kind = { group: "apps", kind: "Deployment", version: "v1" };
      for (const tail of ["", "/{name}"]) {
        const item = paths[`/apis/apps/v1/namespaces/{namespace}/deployments${tail}`];
        expect((item?.["get"] as OpenApiOperation | undefined)?.["x-kubernetes-group-version-kind"]).toEqual(kind);
      }
      for (const client of rig().kubectls()) {
        const { code, out } = await rig().run(client, "explain deployment.spec.strategy");
        expect([client.name, code, out]).toEqual([
          client.name,
          0,
          expect.stringMatching(/(FIELD|RESOURCE): +strategy <(DeploymentStrategy|Object)>/),
        ]);
      }
    },
  );

  test("wire trap 7: discovery answers the first clause it serves, whatever else a clause says", async () => {
    for (const path of ["/api", "/apis"]) {
      const aggregated = await ask(path, { accept: AGGREGATED });
      expect(aggregated.headers["content-type"]).toBe(
        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
      );
      const newer = AGGREGATED.replaceAll("as=APIGroupDiscoveryList", "as=APIGroupDiscoveryList;profile=nopeer");
      expect(((await ask(path, { accept: `${newer},${AGGREGATED}` })).json() as Discovery).kind).toBe(
        "APIGroupDiscoveryList",
      );
      const beta = await ask(path, { accept: AGGREGATED.slice(AGGREGATED.indexOf(",") + 1) });
      expect((beta.json() as Discovery).apiVersion).toBe("apidiscovery.k8s.io/v2beta1");
      const unknown = "application/json;g=apidiscovery.k8s.io;v=v9;as=APIGroupDiscoveryList,application/json";
      expect(((await ask(path, { accept: unknown })).json() as Discovery).kind).toMatch(/^API(Versions|GroupList)$/);
    }
  });

  test("wire trap 8: every resource and subresource has a kind, every version is fresh, the preferred one first", async () => {
    const groups = await discovered(rig());
    const nameless: string[] = [];
    for (const { metadata, versions } of groups) {
      for (const { resources, version, freshness } of versions) {
        expect([metadata.name, version, freshness]).toEqual([metadata.name, version, "Current"]);
        for (const { resource, responseKind, subresources = [] } of resources) {
          if (!responseKind.kind) nameless.push(resource);
          nameless.push(
            ...subresources.filter((sub) => !sub.responseKind.kind).map((sub) => `${resource}/${sub.subresource}`),
          );
        }
      }
    }
    expect(nameless).toEqual([]);
  });

  test("wire trap 9: the older documents stay, and tell the same", async () => {
    expect((await ask("/api")).json()).toMatchObject({ kind: "APIVersions", versions: ["v1"] });
    const groups = (
      (await ask("/apis")).json() as {
        groups: { name: string; preferredVersion: { groupVersion: string } }[];
      }
    ).groups;
    expect(groups.map(({ name }) => name)).toEqual(
      (await discovered(rig())).map(({ metadata }) => metadata.name).filter((name) => name !== undefined),
    );
    for (const { name, preferredVersion } of groups) {
      expect((await ask(`/apis/${name}`)).json()).toMatchObject({ kind: "APIGroup", name });
      expect((await ask(`/apis/${preferredVersion.groupVersion}`)).json()).toMatchObject({ kind: "APIResourceList" });
    }
    expect((await ask("/apis/nothing.example.com/v1")).status).toBe(404);
    expect((await ask("/apis/apps/v9")).status).toBe(404);
  });

  test("wire trap 10: drain finds evictions in /api/v1", async () => {
    const expected = { group: "policy", version: "v1", kind: "Eviction" };
    expect(await legacyResource(rig(), "/api/v1", "pods/eviction")).toMatchObject(expected);
  });

  test("wire trap 11: scale is autoscaling/v1 Scale wherever it is", async () => {
    const groups = await discovered(rig());
    const resources = groups.flatMap(({ versions }) => versions.flatMap((version) => version.resources));
    const scalable = resources.filter(({ subresources }) => subresources?.some((sub) => sub.subresource === "scale"));
    expect(scalable.map(({ resource }) => resource)).toEqual(expect.arrayContaining(["deployments", "replicasets"]));
    for (const { subresources = [] } of scalable) {
      expect(subresources.find((sub) => sub.subresource === "scale")?.responseKind).toEqual({
        group: "autoscaling",
        version: "v1",
        kind: "Scale",
      });
    }
    expect(await legacyResource(rig(), "/apis/apps/v1", "deployments/scale")).toMatchObject({
      group: "autoscaling",
      version: "v1",
      kind: "Scale",
    });
  });

  test("wire trap 33: a client that offers h2 is answered in http/1.1", async () => {
    const { credentials, port } = rig();
    const socket = tlsConnect({ ...credentials.target(port), ALPNProtocols: ["h2", "http/1.1"] });
    await new Promise((resolve, reject) => socket.once("secureConnect", resolve).once("error", reject));
    expect(socket.alpnProtocol).toBe("http/1.1");
    socket.destroy();
  });

  test("wire trap 53: charts' semverCompare takes the version", async () => {
    expect(((await ask("/version?timeout=32s")).json() as { gitVersion: string }).gitVersion).toMatch(
      /^v1\.36\.\d+(\+[\w.]+)?$/,
    );
  });

  test("wire trap 57: metrics.k8s.io is not advertised, and top says so", async () => {
    expect((await discovered(rig())).map(({ metadata }) => metadata.name)).not.toContain("metrics.k8s.io");
    const newest = rig().kubectls().at(-1);
    if (newest) expect((await rig().run(newest, "top pods")).err).toBe("error: Metrics API not available\n");
  });

  test("wire trap 59: an unknown kind is said to be unknown, and get all finds its categories", async () => {
    const newest = rig().kubectls().at(-1);
    if (!newest) return;
    const { code, err } = await rig().run(newest, "apply -f -", '{"apiVersion":"none.example.com/v1","kind":"X"}');
    expect([code, err]).toEqual([
      1,
      expect.stringContaining('no matches for kind "X" in version "none.example.com/v1"'),
    ]);
    expect((await ask("/apis/apiextensions.k8s.io/v1/customresourcedefinitions")).status).toBe(404);
    expect(await legacyResource(rig(), "/apis/apps/v1", "deployments")).toMatchObject({ categories: ["all"] });
    expect((await rig().run(newest, "get all -o name")).code).toBe(0);
  });

  test("wire trap 60: a timeout in any of Go's units, and unknown parameters, change nothing", async () => {
    for (const path of ["/version", "/api", "/apis", "/openapi/v2", "/openapi/v3", "/api/v1/namespaces", "/readyz"]) {
      for (const query of ["timeout=32s", "timeout=1m30.5s", "nonsense=1&pretty=true"]) {
        expect([path, query, (await ask(`${path}?${query}`)).status]).toEqual([path, query, 200]);
      }
    }
  });
}

/** Of objects. Those of proxies are of kinds that no manifest names, so no client takes them for an object's. */
async function patchOperations({ api }: WireRig): Promise<{ path: string; operation: OpenApiOperation }[]> {
  const index = (await api.ask("/openapi/v3")).json() as { paths: Record<string, { serverRelativeURL: string }> };
  const found = [];
  for (const { serverRelativeURL } of Object.values(index.paths)) {
    const { paths } = (await api.ask(serverRelativeURL)).json() as OpenApiDocument;
    for (const [path, item] of Object.entries(paths)) {
      const operation = item["patch"] as OpenApiOperation | undefined;
      if (operation && !operation["x-kubernetes-group-version-kind"]?.kind.endsWith("ProxyOptions")) {
        found.push({ path, operation });
      }
    }
  }
  return found;
}

/** Core and all others, joined as clients join them. */
async function discovered({ api }: WireRig): Promise<Discovery["items"]> {
  const answers = await Promise.all(
    ["/api", "/apis"].map((path) => api.ask({ path, headers: { accept: AGGREGATED } })),
  );
  return answers.flatMap((answer) => (answer.json() as Discovery).items);
}

async function legacyResource({ api }: WireRig, path: string, name: string): Promise<LegacyResource | undefined> {
  const { resources } = (await api.ask(path)).json() as { resources: LegacyResource[] };
  return resources.find((resource) => resource.name === name);
}
