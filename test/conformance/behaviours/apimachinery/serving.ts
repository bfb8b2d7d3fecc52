/** How the API describes itself, and answers in the forms that are asked for. */
import assert from "node:assert/strict";
import type { Behaviours } from "../../behaviour.ts";
import { refusal, type Loose, type Trial } from "../../trial.ts";

async function read(t: Trial, path: string, accept = "application/json"): Promise<{ type: string; body: Loose }> {
  const { status, headers, text } = await t.client.send({ method: "GET", path, headers: { accept } });
  assert.equal(status, 200, `${path}: ${text}`);
  return { type: headers["content-type"] ?? "", body: JSON.parse(text) as Loose };
}

const AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

interface Group {
  readonly name: string;
  readonly preferredVersion: { readonly groupVersion: string; readonly version: string };
  readonly versions: readonly { readonly groupVersion: string; readonly version: string }[];
}

export const serving: Behaviours = {
  "[sig-api-machinery] server version should find the server version [Conformance]": async (t) => {
    const { body } = await read(t, "/version");
    assert.match(body["major"], /^\d+$/);
    assert.match(body["minor"], /^\d+$/);
  },

  "[sig-api-machinery] Servers with support for Table transformation should return a 406 for a backend which does not implement metadata [Conformance]":
    async (t) => {
      const { status } = await t.client.send({
        method: "POST",
        path: "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
        headers: { accept: "application/json;as=Table;v=v1;g=meta.k8s.io" },
        body: JSON.stringify({
          spec: { resourceAttributes: { namespace: t.namespace, resource: "pods", verb: "get" } },
        }),
      });
      assert.equal(status, 406);
    },

  "[sig-api-machinery] Discovery should validate PreferredVersion for each APIGroup [Conformance]": async (t) => {
    for (const { name, preferredVersion, versions } of (await read(t, "/apis")).body["groups"] as readonly Group[]) {
      assert.deepEqual(
        (await read(t, `/apis/${name}`)).body["preferredVersion"],
        preferredVersion,
        `${name} says it in two ways`,
      );
      assert.ok(
        versions.some(({ groupVersion }) => groupVersion === preferredVersion.groupVersion),
        name,
      );
    }
  },

  "[sig-api-machinery] Discovery should locate the groupVersion and a resource within each APIGroup [Conformance]":
    async (t) => {
      const expected: readonly (readonly [group: string, version: string, resource: string])[] = [
        ["apps", "v1", "deployments"],
        ["authentication.k8s.io", "v1", "tokenreviews"],
        ["authorization.k8s.io", "v1", "subjectaccessreviews"],
        ["autoscaling", "v2", "horizontalpodautoscalers"],
        ["batch", "v1", "jobs"],
        ["certificates.k8s.io", "v1", "certificatesigningrequests"],
        ["coordination.k8s.io", "v1", "leases"],
        ["discovery.k8s.io", "v1", "endpointslices"],
        ["networking.k8s.io", "v1", "ingresses"],
        ["node.k8s.io", "v1", "runtimeclasses"],
        ["policy", "v1", "poddisruptionbudgets"],
        ["rbac.authorization.k8s.io", "v1", "roles"],
        ["scheduling.k8s.io", "v1", "priorityclasses"],
        ["storage.k8s.io", "v1", "csinodes"],
      ];
      for (const [group, version, resource] of expected) {
        const { versions } = (await read(t, `/apis/${group}`)).body as unknown as Group;
        assert.ok(
          versions.some((each) => each.version === version),
          `${group}/${version}`,
        );
        const { resources } = (await read(t, `/apis/${group}/${version}`)).body as unknown as { resources: Loose[] };
        assert.ok(
          resources.some(({ name }) => (name as unknown) === resource),
          `${group}/${version} ${resource}`,
        );
      }
    },

  "[sig-api-machinery] AggregatedDiscovery should support raw aggregated discovery endpoint Accept headers [Conformance]":
    async (t) => {
      for (const path of ["/api", "/apis"]) {
        const { type, body } = await read(t, path, AGGREGATED);
        assert.match(type, /g=apidiscovery\.k8s\.io/);
        assert.equal(body.kind, "APIGroupDiscoveryList");
        assert.equal(body.apiVersion, "apidiscovery.k8s.io/v2");
      }
    },

  "[sig-api-machinery] AggregatedDiscovery should support aggregated discovery interface [Conformance]": async (t) => {
    const groups = (await read(t, "/apis", AGGREGATED)).body["items"] as Loose[];
    for (const wanted of ["apps", "batch", "networking.k8s.io", "rbac.authorization.k8s.io", "storage.k8s.io"]) {
      const group = groups.find(({ metadata }) => metadata.name === wanted);
      assert.ok(group, wanted);
      const [version] = group["versions"] as { version: string; resources: Loose[] }[];
      assert.equal(version?.version, "v1");
      assert.ok((version?.resources ?? []).length > 0, wanted);
    }
  },

  "[sig-api-machinery] Servers with support for API chunking should return chunks of results for list calls [Conformance]":
    async (t) => {
      const templates = t.api("v1", "podtemplates");
      const template = { metadata: { labels: { app: "x" } }, spec: { containers: [{ name: "c", image: "image" }] } };
      const names = Array.from({ length: 40 }, (_, index) => `template-${String(index).padStart(4, "0")}`);
      await Promise.all(names.map((name) => templates.create({ metadata: { name }, template })));
      const found: string[] = [];
      let next: string | undefined = "";
      let version: string | undefined;
      while (next !== undefined) {
        const page = await templates.list({ limit: 17, ...(next === "" ? {} : { continue: next }) });
        version ??= page.metadata.resourceVersion;
        assert.equal(page.metadata.resourceVersion, version, "pages are of one revision");
        found.push(...page.items.map(({ metadata }) => metadata.name ?? ""));
        next = page.metadata.continue || undefined;
        if (next !== undefined) assert.equal(page.metadata.remainingItemCount, names.length - found.length);
      }
      assert.deepEqual(found, names);
    },

  "[sig-api-machinery] FieldValidation should detect unknown and duplicate fields of a typed object [Conformance]":
    async (t) => {
      const body =
        '{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"x"},"spec":{"unknown1":1,"paused":true,"paused":true,' +
        '"selector":{"matchLabels":{"app":"x"}},"template":{"metadata":{"labels":{"app":"x"}},"spec":{"containers":[{"name":"c","image":"i","unknownNested":"n"}]}}}}';
      const path = `${t.api("apps/v1", "deployments").path}?fieldValidation=Strict`;
      const { status, text } = await t.client.send({ method: "POST", path, body });
      assert.equal(status, 400);
      const { message } = JSON.parse(text) as { message: string };
      for (const problem of [
        'duplicate field "spec.paused"',
        'unknown field "spec.template.spec.containers[0].unknownNested"',
        'unknown field "spec.unknown1"',
      ]) {
        assert.ok(message.includes(problem), `${problem} is not in: ${message}`);
      }
    },

  "[sig-api-machinery] FieldValidation should detect unknown metadata fields of a typed object [Conformance]": async (
    t,
  ) => {
    const object = {
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata: { name: "x", unknownMeta: "unknown" },
      spec: {
        selector: { matchLabels: { app: "x" } },
        template: { metadata: { labels: { app: "x" } }, spec: { containers: [{ name: "c", image: "i" }] } },
      },
    };
    const refused = await refusal(t.api("apps/v1", "deployments").create(object, { fieldValidation: "Strict" }));
    assert.equal(refused.code, 400);
    assert.match(refused.status.message ?? "", /unknown field "metadata.unknownMeta"/);
  },
};
