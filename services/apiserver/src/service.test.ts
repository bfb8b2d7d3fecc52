import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { apiserverStory, protobuf, type Story } from "./story.fixture.ts";

const PODS = "/api/v1/namespaces/default/pods";
const MAPS = "/api/v1/namespaces/default/configmaps";
const pod = (name: string) => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name },
  spec: { containers: [{ name: "c", image: "pilothouse.local/web" }] },
});

let story: Story;
beforeAll(async () => {
  story = await apiserverStory();
  await story.ask("POST", "/api/v1/namespaces/default/serviceaccounts", { body: { metadata: { name: "default" } } });
});
afterAll(() => story.close());

describe("a new cluster", () => {
  it("has its namespaces, roles and the kubernetes Service", async () => {
    const { json } = await story.ask("GET", "/api/v1/namespaces");
    expect((json["items"] as unknown as { metadata: { name: string } }[]).map(({ metadata }) => metadata.name)).toEqual(
      ["default", "kube-node-lease", "kube-public", "kube-system"],
    );
    const service = await story.ask("GET", "/api/v1/namespaces/default/services/kubernetes");
    expect(service.json).toMatchObject({ spec: { clusterIP: "198.19.0.1", clusterIPs: ["198.19.0.1"] } });
    const range = await story.ask("GET", "/apis/networking.k8s.io/v1/servicecidrs/kubernetes");
    expect(range.json).toMatchObject({
      spec: { cidrs: ["198.19.0.0/16"] },
      status: { conditions: [{ type: "Ready", status: "True" }] },
    });
    expect((await story.ask("GET", "/readyz?verbose")).text).toContain("readyz check passed");
    expect((await story.ask("GET", "/version")).json).toMatchObject({ gitVersion: "v1.36.0+pilothouse" });
  });
});

describe("streams", () => {
  const upgrade = async (verb: string): Promise<unknown> => {
    const RBAC = "/apis/rbac.authorization.k8s.io/v1/namespaces/default";
    const rules = [{ apiGroups: [""], resources: ["pods/exec"], verbs: [verb] }];
    await story.ask("POST", `${RBAC}/roles`, { body: { metadata: { name: verb }, rules } });
    const subjects = [{ kind: "User", name: verb }];
    const roleRef = { apiGroup: "rbac.authorization.k8s.io", kind: "Role", name: verb };
    await story.ask("POST", `${RBAC}/rolebindings`, { body: { metadata: { name: verb }, subjects, roleRef } });
    const judged = await story.service.upgrade({
      method: "GET",
      path: `${PODS}/none/exec`,
      query: new URLSearchParams("command=true"),
      headers: {},
      body: new Uint8Array(),
      peer: { address: "198.51.100.1", certificate: { commonName: verb, organizations: [] } },
      signal: new AbortController().signal,
    });
    return "refusal" in judged ? judged.refusal.status : judged;
  };

  it("begin with a GET for who may get and create; for who may do one alone they do not", async () => {
    expect([await upgrade("get"), await upgrade("create"), await upgrade("*")]).toEqual([403, 403, 404]);
  });
});

describe("writing", () => {
  it("creates a pod from JSON, YAML and protobuf alike", async () => {
    const fromJson = await story.ask("POST", PODS, { body: pod("j") });
    expect(fromJson).toMatchObject({
      status: 201,
      json: {
        metadata: { name: "j", namespace: "default", managedFields: [{ manager: "story", operation: "Update" }] },
        spec: { serviceAccountName: "default", restartPolicy: "Always" },
        status: { phase: "Pending" },
      },
    });
    const yaml = "metadata: {name: yam}\nspec:\n  containers: [{name: c, image: pilothouse.local/web}]\n";
    expect((await story.ask("POST", PODS, { raw: yaml, contentType: "application/yaml" })).status).toBe(201);
    const bytes = protobuf("v1", "Pod", pod("p"));
    const wire = await story.ask("POST", PODS, { raw: bytes, contentType: "application/vnd.kubernetes.protobuf" });
    expect(wire.status).toBe(201);
    const { json } = await story.ask("GET", PODS);
    expect(json["items"]).toHaveLength(3);
  });

  it("refuses a second one of the same name, and one in a namespace that is not there", async () => {
    const again = await story.ask("POST", PODS, { body: pod("j") });
    expect(again).toMatchObject({ status: 409, json: { reason: "AlreadyExists", message: 'pods "j" already exists' } });
    const nowhere = await story.ask("POST", "/api/v1/namespaces/nowhere/pods", { body: pod("x") });
    expect(nowhere).toMatchObject({ status: 404, json: { message: 'namespaces "nowhere" not found' } });
  });

  it("judges bodies in upstream's words", async () => {
    const wrongKind = await story.ask("POST", PODS, { body: { apiVersion: "v1", kind: "Service", metadata: {} } });
    expect(wrongKind.json["message"]).toBe(
      'Service in version "v1" cannot be handled as a Pod: converting (v1.Service) to (core.Pod): unknown conversion',
    );
    const strict = await story.ask("POST", `${MAPS}?fieldValidation=Strict`, {
      body: { metadata: { name: "m" }, zz: 1 },
    });
    expect(strict).toMatchObject({ status: 400 });
    expect(strict.text).toContain('strict decoding error: unknown field \\"zz\\"');
    const warned = await story.ask("POST", `${MAPS}?dryRun=All`, { body: { metadata: { name: "m" }, zz: 1 } });
    expect(warned.status).toBe(201);
    expect(warned.headers["warning"]).toEqual(['299 - "unknown field \\"zz\\""']);
    const invalid = await story.ask("POST", MAPS, { body: { metadata: { name: "No" } } });
    expect(invalid).toMatchObject({ status: 422, json: { reason: "Invalid", details: { kind: "ConfigMap" } } });
    const media = await story.ask("POST", MAPS, { raw: "x", contentType: "text/html" });
    expect(media.status).toBe(415);
  });

  it("warns whoever writes or reads what is deprecated", async () => {
    const ENDPOINTS = "/api/v1/namespaces/default/endpoints";
    const said = ['299 - "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"'];
    const made = await story.ask("POST", ENDPOINTS, { body: { metadata: { name: "old" } } });
    const read = await story.ask("GET", `${ENDPOINTS}/old`);
    const listed = await story.ask("GET", ENDPOINTS);
    expect([made, read, listed].map(({ headers }) => headers["warning"])).toEqual([said, said, said]);
    expect((await story.ask("GET", MAPS)).headers["warning"]).toBeUndefined();
    await story.ask("DELETE", `${ENDPOINTS}/old`);
  });

  it("tells the first thousand faults of an object, and no more than their texts may take", async () => {
    const causesOf = async (metadata: object): Promise<number> => {
      const { status, json, text } = await story.ask("POST", MAPS, {
        body: { metadata: { name: "wrong", ...metadata } },
      });
      expect(status).toBe(422);
      expect(text.length).toBeLessThan(3_000_000);
      return (json["details"] as unknown as { causes: unknown[] }).causes.length;
    };
    expect(await causesOf({ ownerReferences: Array.from({ length: 300_000 }, () => ({})) })).toBe(1_000);
    const owner = { apiVersion: "v1", kind: "Pod", name: "a", uid: "b", controller: true };
    const swollen = await causesOf({ ownerReferences: Array.from({ length: 10_000 }, () => owner) });
    expect(swollen).toBe(1);
  });

  it("generates names", async () => {
    const { json } = await story.ask("POST", MAPS, { body: { metadata: { generateName: "web-" } } });
    expect((json["metadata"] as unknown as { name: string }).name).toMatch(/^web-[a-z0-9]{5}$/);
  });

  it("leaves nothing behind on a dry run", async () => {
    const { status } = await story.ask("POST", `${MAPS}?dryRun=All`, { body: { metadata: { name: "dry" } } });
    expect(status).toBe(201);
    expect(await story.ask("GET", `${MAPS}/dry`)).toMatchObject({
      status: 404,
      json: { message: 'configmaps "dry" not found', details: { name: "dry", kind: "configmaps" } },
    });
  });
});

describe("changing", () => {
  it("patches in every dialect, knows a no-op, and refuses a stale version", async () => {
    const made = await story.ask("POST", MAPS, { body: { metadata: { name: "c" }, data: { a: "1" } } });
    const version = (made.json["metadata"] as unknown as { resourceVersion: string }).resourceVersion;
    const merged = await story.ask("PATCH", `${MAPS}/c`, {
      body: { data: { b: "2" } },
      contentType: "application/merge-patch+json",
    });
    expect(merged.json["data"]).toEqual({ a: "1", b: "2" });
    const same = await story.ask("PATCH", `${MAPS}/c`, {
      body: { data: { b: "2" } },
      contentType: "application/strategic-merge-patch+json",
    });
    expect(same.json["metadata"]).toEqual(merged.json["metadata"]);
    const byPath = await story.ask("PATCH", `${MAPS}/c`, {
      body: [{ op: "remove", path: "/data/a" }],
      contentType: "application/json-patch+json",
    });
    expect(byPath.json["data"]).toEqual({ b: "2" });
    const stale = await story.ask("PUT", `${MAPS}/c`, { body: { metadata: { name: "c", resourceVersion: version } } });
    expect(stale).toMatchObject({
      status: 409,
      json: {
        reason: "Conflict",
        message:
          'Operation cannot be fulfilled on configmaps "c": the object has been modified; please apply your changes to the latest version and try again',
      },
    });
    expect((await story.ask("PUT", `${MAPS}/c`, { body: { metadata: { name: "c" }, data: {} } })).status).toBe(200);
  });

  it("applies on the server: creates, then finds the conflict", async () => {
    const apply = (manager: string, value: string, force = false) =>
      story.ask("PATCH", `${MAPS}/ssa?fieldManager=${manager}&force=${force}`, {
        body: { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "ssa" }, data: { k: value } },
        contentType: "application/apply-patch+yaml",
      });
    expect((await apply("one", "1")).status).toBe(201);
    expect(await apply("two", "2")).toMatchObject({ status: 409, json: { reason: "Conflict" } });
    expect(await apply("two", "2", true)).toMatchObject({ status: 200, json: { data: { k: "2" } } });
  });

  it("renames nothing: a PUT, a patch or an applied configuration that names another object is a bad request", async () => {
    await story.ask("POST", MAPS, { body: { metadata: { name: "kept" }, data: { v: "1" } } });
    const configuration = { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "other" }, data: { v: "2" } };
    const told = (name: string) => ({
      status: "Failure",
      reason: "BadRequest",
      code: 400,
      message: `the name of the object (other) does not match the name on the URL (${name})`,
    });
    for (const contentType of ["application/merge-patch+json", "application/strategic-merge-patch+json"]) {
      const body = { metadata: { name: "other" } };
      expect((await story.ask("PATCH", `${MAPS}/kept`, { body, contentType })).json).toMatchObject(told("kept"));
    }
    const operations = [{ op: "replace", path: "/metadata/name", value: "other" }];
    const contentType = "application/json-patch+json";
    const byOperations = await story.ask("PATCH", `${MAPS}/kept`, { body: operations, contentType });
    expect(byOperations.json).toMatchObject(told("kept"));
    expect((await story.ask("PUT", `${MAPS}/kept`, { body: configuration })).json).toMatchObject(told("kept"));
    // Of what is there, and of what would be created.
    for (const name of ["kept", "new"]) {
      const applied = await story.ask("PATCH", `${MAPS}/${name}?fieldManager=a&force=true`, {
        body: configuration,
        contentType: "application/apply-patch+yaml",
      });
      expect(applied.json).toMatchObject(told(name));
    }
    expect((await story.ask("GET", `${MAPS}/kept`)).json).toMatchObject({ data: { v: "1" } });
    for (const name of ["other", "new"]) expect((await story.ask("GET", `${MAPS}/${name}`)).status).toBe(404);
  });

  it("binds a pod once", async () => {
    await story.ask("POST", PODS, { body: pod("b") });
    const binding = (node: string) => ({ body: { metadata: { name: "b" }, target: { kind: "Node", name: node } } });
    expect((await story.ask("POST", `${PODS}/b/binding`, binding("n1"))).status).toBe(201);
    expect((await story.ask("GET", `${PODS}/b`)).json).toMatchObject({
      spec: { nodeName: "n1" },
      status: { conditions: [{ type: "PodScheduled", status: "True" }] },
    });
    expect(await story.ask("POST", `${PODS}/b/binding`, binding("n2"))).toMatchObject({
      status: 409,
      json: { message: 'Operation cannot be fulfilled on pods/binding "b": pod b is already assigned to node "n1"' },
    });
  });

  it("adds ephemeral containers and resizes through their subresources alone", async () => {
    await story.ask("POST", PODS, { body: pod("debugged") });
    const contentType = "application/strategic-merge-patch+json";
    const body = { spec: { ephemeralContainers: [{ name: "debug", image: "toolbox:1", targetContainerName: "c" }] } };
    const refused = await story.ask("PATCH", `${PODS}/debugged`, { body, contentType });
    expect(refused).toMatchObject({ status: 422, json: { reason: "Invalid" } });
    const added = await story.ask("PATCH", `${PODS}/debugged/ephemeralcontainers`, { body, contentType });
    expect(added).toMatchObject({
      status: 200,
      json: { metadata: { generation: 2 }, spec: { ephemeralContainers: [{ name: "debug" }] } },
    });
    const resources = { requests: { cpu: "100m" } };
    await story.ask("POST", PODS, {
      body: { ...pod("sized"), spec: { containers: [{ name: "c", image: "i", resources }] } },
    });
    const resize = (cpu: string) => ({
      body: { spec: { containers: [{ name: "c", resources: { requests: { cpu } } }] } },
      contentType,
    });
    expect((await story.ask("PATCH", `${PODS}/sized`, resize("200m"))).status).toBe(422);
    expect((await story.ask("PATCH", `${PODS}/sized/resize`, resize("200m"))).status).toBe(200);
    const got = await story.ask("GET", `${PODS}/sized/resize`);
    expect(got.json).toMatchObject({
      kind: "Pod",
      spec: { containers: [{ resources: { requests: { cpu: "200m" } } }] },
    });
    expect(got.json).toEqual((await story.ask("GET", `${PODS}/sized`)).json);
    const put = await story.ask("PUT", `${PODS}/sized/resize`, { body: got.json });
    expect(put.json).toEqual(got.json);
  });

  it("scales", async () => {
    const labels = { app: "w" };
    const replicaSet = {
      metadata: { name: "w" },
      spec: { replicas: 1, selector: { matchLabels: labels }, template: { metadata: { labels }, spec: pod("x").spec } },
    };
    const path = "/apis/apps/v1/namespaces/default/replicasets";
    expect((await story.ask("POST", path, { body: replicaSet })).status).toBe(201);
    const scaled = await story.ask("PATCH", `${path}/w/scale`, {
      body: { spec: { replicas: 4 } },
      contentType: "application/merge-patch+json",
    });
    expect(scaled.json).toMatchObject({ kind: "Scale", spec: { replicas: 4 }, status: { selector: "app=w" } });
    expect((await story.ask("GET", `${path}/w`)).json).toMatchObject({
      spec: { replicas: 4 },
      metadata: { generation: 2 },
    });
  });
});

describe("deleting", () => {
  it("answers with the uid when gone, with the object while finalizers hold it, and lets go with the last one", async () => {
    const gone = await story.ask("POST", MAPS, { body: { metadata: { name: "d" } } });
    expect((await story.ask("DELETE", `${MAPS}/d`)).json).toMatchObject({
      kind: "Status",
      status: "Success",
      details: { name: "d", kind: "configmaps", uid: (gone.json["metadata"] as unknown as { uid: string }).uid },
    });
    await story.ask("POST", MAPS, { body: { metadata: { name: "f", finalizers: ["x.io/f"] } } });
    const held = await story.ask("DELETE", `${MAPS}/f`, { body: { propagationPolicy: "Background" } });
    expect(held.json).toMatchObject({ kind: "ConfigMap", metadata: { deletionGracePeriodSeconds: 0 } });
    const freed = await story.ask("PATCH", `${MAPS}/f`, {
      body: { metadata: { finalizers: null } },
      contentType: "application/merge-patch+json",
    });
    expect(freed.status).toBe(200);
    expect((await story.ask("GET", `${MAPS}/f`)).status).toBe(404);
  });

  it("gives a scheduled pod its grace and takes an unscheduled one at once", async () => {
    expect((await story.ask("DELETE", `${PODS}/b`)).json).toMatchObject({
      kind: "Pod",
      metadata: { deletionGracePeriodSeconds: 30 },
    });
    expect((await story.ask("DELETE", `${PODS}/b?gracePeriodSeconds=0`)).json).toMatchObject({ kind: "Status" });
    expect((await story.ask("DELETE", `${PODS}/yam`)).json).toMatchObject({ kind: "Status" });
  });

  it("deletes collections by selector", async () => {
    for (const name of ["s1", "s2"])
      await story.ask("POST", MAPS, { body: { metadata: { name, labels: { s: "x" } } } });
    const { json } = await story.ask("DELETE", `${MAPS}?labelSelector=s%3Dx`);
    expect(json["items"]).toHaveLength(2);
    expect((await story.ask("GET", `${MAPS}?labelSelector=s%3Dx`)).json["items"]).toHaveLength(0);
  });

  it("lets nothing new into a dying namespace", async () => {
    await story.ask("POST", "/api/v1/namespaces", { body: { metadata: { name: "dying" } } });
    const { json } = await story.ask("DELETE", "/api/v1/namespaces/dying");
    expect(json).toMatchObject({ status: { phase: "Terminating" } });
    expect(
      await story.ask("POST", "/api/v1/namespaces/dying/configmaps", { body: { metadata: { name: "m" } } }),
    ).toMatchObject({
      status: 403,
      json: { details: { causes: [{ reason: "NamespaceTerminating" }] } },
    });
    const finalized = { metadata: { name: "dying" }, spec: { finalizers: [] } };
    expect((await story.ask("PUT", "/api/v1/namespaces/dying/finalize", { body: finalized })).status).toBe(200);
    expect((await story.ask("GET", "/api/v1/namespaces/dying")).status).toBe(404);
    expect((await story.ask("DELETE", "/api/v1/namespaces/default")).status).toBe(403);
  });
});

describe("reading", () => {
  it("lists every kind, with and without a field selector, plainly and as a table", async () => {
    const { kinds } = await import("@pilothouse/kinds");
    for (const { group, version, resource } of kinds) {
      const path = group === "" ? `/api/${version}/${resource}` : `/apis/${group}/${version}/${resource}`;
      for (const query of ["", "?fieldSelector=metadata.name%3Dx"]) {
        expect((await story.ask("GET", `${path}${query}`)).status, path).toBe(200);
      }
      const headers = { accept: "application/json;as=Table;v=v1;g=meta.k8s.io" };
      expect((await story.ask("GET", path, { headers })).json, path).toMatchObject({ kind: "Table" });
    }
  });

  it("selects by the names that fields had for clients of old", async () => {
    const { json } = await story.ask("GET", "/api/v1/namespaces?fieldSelector=name%3Dkube-public");
    expect(json).toMatchObject({ items: [{ metadata: { name: "kube-public" } }] });
    const pods = await story.ask("GET", "/api/v1/pods?fieldSelector=spec.host%3Dnowhere");
    expect(pods).toMatchObject({ status: 200, json: { items: [] } });
  });
});

describe("events", () => {
  it("without times have no age, and not a strange one", async () => {
    const event = { metadata: { name: "e" }, involvedObject: { kind: "Pod", name: "p", namespace: "default" } };
    const path = "/api/v1/namespaces/default/events";
    expect((await story.ask("POST", path, { body: event })).status).toBe(201);
    const headers = { accept: "application/json;as=Table;v=v1;g=meta.k8s.io" };
    const { json } = await story.ask("GET", `${path}?fieldSelector=involvedObject.name%3Dp`, { headers });
    expect(json).toMatchObject({ rows: [{ cells: expect.arrayContaining(["<unknown>", "pod/p"]) as unknown }] });
  });
});

describe("who may", () => {
  const dev = { name: "dev", groups: [] };

  it("says no in upstream's words", async () => {
    expect(await story.ask("GET", PODS, { as: dev })).toMatchObject({
      status: 403,
      json: {
        reason: "Forbidden",
        message: 'pods is forbidden: User "dev" cannot list resource "pods" in API group "" in the namespace "default"',
      },
    });
    expect((await story.ask("GET", "/api/v1/nodes", { as: "anonymous" })).json["message"]).toBe(
      'nodes is forbidden: User "system:anonymous" cannot list resource "nodes" in API group "" at the cluster scope',
    );
    expect((await story.ask("GET", "/metrics", { as: dev })).json["message"]).toBe(
      'forbidden: User "dev" cannot get path "/metrics"',
    );
    expect((await story.ask("GET", PODS, { as: "anonymous", headers: { authorization: "Bearer x" } })).status).toBe(
      401,
    );
  });

  it("follows bindings, and lets nobody grant more than they have", async () => {
    const bindings = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings";
    const roleRef = (name: string) => ({ apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name });
    const subjects = [{ kind: "User", name: "dev", apiGroup: "rbac.authorization.k8s.io" }];
    const made = await story.ask("POST", bindings, {
      body: { metadata: { name: "dev" }, roleRef: roleRef("admin"), subjects },
    });
    expect(made.status).toBe(201);
    expect((await story.ask("GET", PODS, { as: dev })).status).toBe(200);
    expect((await story.ask("GET", "/api/v1/namespaces/kube-system/secrets", { as: dev })).status).toBe(403);
    const more = { metadata: { name: "more" }, roleRef: roleRef("cluster-admin"), subjects };
    const escalated = await story.ask("POST", bindings, { body: more, as: dev });
    expect(escalated.status).toBe(403);
    expect(escalated.text).toContain("is attempting to grant RBAC permissions not currently held");
    const review = { spec: { resourceAttributes: { verb: "list", resource: "pods", namespace: "default" } } };
    const asked = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    expect((await story.ask("POST", asked, { body: review, as: dev })).json).toMatchObject({
      status: { allowed: true },
    });
  });

  it("knows a ServiceAccount by its token, until the account is gone", async () => {
    const accounts = "/api/v1/namespaces/default/serviceaccounts";
    await story.ask("POST", accounts, { body: { metadata: { name: "robot" } } });
    const { json } = await story.ask("POST", `${accounts}/robot/token`, { body: { spec: { audiences: [] } } });
    const token = (json["status"] as unknown as { token: string }).token;
    const asRobot = { as: "anonymous" as const, headers: { authorization: `Bearer ${token}` } };
    const who = await story.ask("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", { body: {}, ...asRobot });
    expect(who.json).toMatchObject({ status: { userInfo: { username: "system:serviceaccount:default:robot" } } });
    await story.ask("DELETE", `${accounts}/robot`);
    expect((await story.ask("GET", "/version", asRobot)).status).toBe(401);
  });

  it("knows a token until it expires, and not a second longer", async () => {
    await story.ask("POST", "/api/v1/namespaces/default/serviceaccounts", { body: { metadata: { name: "brief" } } });
    const review = { spec: { expirationSeconds: 600 } };
    const path = "/api/v1/namespaces/default/serviceaccounts/brief/token";
    const { json } = await story.ask("POST", path, { body: review });
    const { token } = json["status"] as unknown as { token: string };
    const asBrief = () =>
      story.ask("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", {
        body: {},
        as: "anonymous",
        headers: { authorization: `Bearer ${token}` },
      });
    const known = await asBrief();
    expect(known.json).toMatchObject({
      status: { userInfo: { username: "system:serviceaccount:default:brief" } },
    });
    await story.clock.advance(599_000);
    expect((await asBrief()).status).toBe(201);
    await story.clock.advance(1_000);
    expect((await asBrief()).json).toEqual({
      kind: "Status",
      apiVersion: "v1",
      metadata: {},
      status: "Failure",
      message: "Unauthorized",
      reason: "Unauthorized",
      code: 401,
    });
  });

  it("lets a leader write only under its leadership", async () => {
    const scheduler = { name: "system:kube-scheduler", groups: [] };
    const body = { target: { name: "n1" } };
    expect((await story.ask("POST", `${PODS}/j/binding`, { body, as: scheduler })).status).toBe(403);
    const headers = { "pilothouse-fence": "kube-scheduler/1" };
    expect((await story.ask("POST", `${PODS}/j/binding`, { body, as: scheduler, headers })).json["reason"]).toBe(
      "LeadershipLost",
    );
  });

  it("lets a kubelet touch its own", async () => {
    const kubelet = { name: "system:node:n1", groups: ["system:nodes"] };
    expect((await story.ask("POST", "/api/v1/nodes", { body: { metadata: { name: "n1" } }, as: kubelet })).status).toBe(
      201,
    );
    expect((await story.ask("POST", "/api/v1/nodes", { body: { metadata: { name: "n2" } }, as: kubelet })).status).toBe(
      403,
    );
    expect((await story.ask("GET", "/api/v1/namespaces/default/secrets/any", { as: kubelet })).status).toBe(403);
  });

  it("tells a kubelet of a pod that is gone that it is gone, and of another node's that it is not its own", async () => {
    const kubelet = { name: "system:node:n1", groups: ["system:nodes"] };
    await story.ask("POST", PODS, { body: { ...pod("theirs"), spec: { ...pod("theirs").spec, nodeName: "n2" } } });
    for (const [name, status] of [
      ["gone", 404],
      ["theirs", 403],
    ] as const) {
      const contentType = "application/strategic-merge-patch+json";
      const patch = { body: { status: { phase: "Running" } }, contentType, as: kubelet };
      expect((await story.ask("PATCH", `${PODS}/${name}/status`, patch)).status).toBe(status);
      expect((await story.ask("DELETE", `${PODS}/${name}`, { as: kubelet })).status).toBe(status);
      const eviction = { body: { metadata: { name } }, as: kubelet };
      expect((await story.ask("POST", `${PODS}/${name}/eviction`, eviction)).status).toBe(status);
    }
    const { json } = await story.ask("GET", `${PODS}/theirs`);
    expect(json).toMatchObject({ metadata: { name: "theirs" }, status: { phase: "Pending" } });
  });
});

describe("Services", () => {
  const SERVICES = "/api/v1/namespaces/default/services";

  it("get an address and a node port of their own, and give them back", async () => {
    const body = { metadata: { name: "s" }, spec: { type: "NodePort", ports: [{ port: 80 }] } };
    const { json } = await story.ask("POST", SERVICES, { body });
    const spec = json["spec"] as unknown as { clusterIP: string; ports: { nodePort: number }[] };
    expect(spec.clusterIP).toMatch(/^198\.19\./);
    const nodePort = spec.ports[0]?.nodePort;
    const twin = { metadata: { name: "t" }, spec: { type: "NodePort", ports: [{ port: 80, nodePort }] } };
    expect(await story.ask("POST", SERVICES, { body: twin })).toMatchObject({
      status: 422,
      json: { details: { causes: [{ field: "spec.ports[0].nodePort" }] } },
    });
    await story.ask("DELETE", `${SERVICES}/s`);
    expect((await story.ask("POST", SERVICES, { body: twin })).status).toBe(201);
    const outside = { metadata: { name: "o" }, spec: { clusterIP: "10.0.0.1", ports: [{ port: 80 }] } };
    expect((await story.ask("POST", SERVICES, { body: outside })).status).toBe(422);
  });

  it("keep what they have when an update leaves it out, and give a node port back when they need none", async () => {
    const body = { metadata: { name: "keep" }, spec: { type: "NodePort", ports: [{ port: 80 }] } };
    const made = (await story.ask("POST", SERVICES, { body })).json;
    const spec = made["spec"] as unknown as { clusterIP: string; ports: { nodePort: number }[] };
    const replaced = await story.ask("PUT", `${SERVICES}/keep`, { body });
    expect(replaced).toMatchObject({ status: 200, json: { spec: { clusterIP: spec.clusterIP, ports: spec.ports } } });
    const key = `/pilothouse/allocations/port/${spec.ports[0]?.nodePort}`;
    expect((await story.store.get(key)).entry).toBeDefined();
    const plain = { ...body, spec: { type: "ClusterIP", ports: [{ port: 80 }] } };
    const without = await story.ask("PUT", `${SERVICES}/keep`, { body: plain });
    expect(without).toMatchObject({ status: 200, json: { spec: { clusterIP: spec.clusterIP } } });
    expect(without.text).not.toContain("nodePort");
    expect((await story.store.get(key)).entry).toBeUndefined();
    const named = { ...body, spec: { type: "ExternalName", externalName: "example.org" } };
    const external = await story.ask("PUT", `${SERVICES}/keep`, { body: named });
    expect(external.status, external.text).toBe(200);
    expect((await story.store.get(`/pilothouse/allocations/address/${spec.clusterIP}`)).entry).toBeUndefined();
  });

  it("never share an address between two apiservers", async () => {
    const other = await apiserverStory("b", story);
    const both = [story, other].flatMap((server, side) =>
      Array.from({ length: 20 }, (_, i) =>
        server.ask("POST", SERVICES, {
          body: { metadata: { name: `r${side}-${i}` }, spec: { ports: [{ port: 80 }] } },
        }),
      ),
    );
    const answers = await Promise.all(both);
    const addresses = answers.map(({ json }) => (json["spec"] as unknown as { clusterIP: string }).clusterIP);
    expect(new Set(addresses).size).toBe(40);
    await other.close();
  });
});

describe("what is written down", () => {
  it("holds no contents: not in logs, not in spans", async () => {
    const canary = "canary-5f1d";
    const secrets = "/api/v1/namespaces/default/secrets";
    const body = {
      metadata: { name: "s", annotations: { "kubectl.kubernetes.io/last-applied-configuration": canary } },
      stringData: { password: canary },
    };
    expect((await story.ask("POST", secrets, { body })).status).toBe(201);
    expect(
      (
        await story.ask("PATCH", `${secrets}/s`, {
          raw: `{"data":{"x":"${canary}`,
          contentType: "application/merge-patch+json",
        })
      ).status,
    ).toBe(400);
    expect(JSON.stringify(story.telemetry.logs)).not.toContain(canary);
    expect(JSON.stringify(story.telemetry.spans)).not.toContain(canary);
    expect(story.telemetry.logs.at(-1)).toMatchObject({ message: "request", fields: { user: "admin", code: 400 } });
  });
});
