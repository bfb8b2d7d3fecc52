/** Quotas are kept to the last object, and count what is there and nothing else. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { apiserverStory, type Answer, type Story } from "../../story.fixture.ts";

let a: Story;
let b: Story;
let namespace: string;
let count = 0;
beforeAll(async () => {
  a = await apiserverStory("a");
  b = await apiserverStory("b", a);
});
afterAll(async () => {
  await b.close();
  await a.close();
});
beforeEach(async () => {
  namespace = `/api/v1/namespaces/n${++count}`;
  await a.ask("POST", "/api/v1/namespaces", { body: { metadata: { name: `n${count}` } } });
  await a.ask("POST", `${namespace}/serviceaccounts`, { body: { metadata: { name: "default" } } });
});

type Amounts = Readonly<Record<string, string>>;

/** As the controller leaves it: counted, nothing used. */
interface Made {
  readonly name?: string;
  readonly used?: Amounts;
  readonly spec?: object;
}

async function quota(hard: Amounts, { name = "q", used, spec = {} }: Made = {}) {
  const { json } = await a.ask("POST", `${namespace}/resourcequotas`, {
    body: { metadata: { name }, spec: { hard, ...spec } },
  });
  const counted = used ?? Object.fromEntries(Object.keys(hard).map((resource) => [resource, "0"]));
  const body = { ...json, status: { hard, used: counted } };
  expect((await a.ask("PUT", `${namespace}/resourcequotas/${name}/status`, { body })).status).toBe(200);
  // A write elsewhere shows that b has heard of it.
  await b.ask("GET", `${namespace}/resourcequotas`);
}

async function used(name = "q"): Promise<unknown> {
  return (await a.ask("GET", `${namespace}/resourcequotas/${name}`)).json["status"]?.["used"];
}

const pod = (name: string, resources: object = {}, spec: object = {}) => ({
  body: { metadata: { name }, spec: { containers: [{ name: "c", image: "web", resources }], ...spec } },
});
const createPod = (name: string, resources: object = {}, spec: object = {}, dry = "") =>
  a.ask("POST", `${namespace}/pods${dry}`, pod(name, resources, spec));
const messageOf = ({ status, json }: Answer) => [status, json["message"]];

describe("under a quota", () => {
  it("no apiserver writes one object too many, however many are asked for at once, and none is charged in vain", async () => {
    await quota({ pods: "7", "count/configmaps": "5" });
    const asked = Array.from({ length: 40 }, (_, index) => {
      const story = index % 2 === 0 ? a : b;
      const isPod = index % 4 < 2;
      return isPod
        ? story.ask("POST", `${namespace}/pods`, pod(`p${index}`))
        : story.ask("POST", `${namespace}/configmaps`, { body: { metadata: { name: `m${index}` } } });
    });
    const answers = await Promise.all(asked);
    const statuses = answers.map(({ status }) => status);
    expect(statuses.filter((status) => status === 201)).toHaveLength(12);
    expect(new Set(statuses)).toEqual(new Set([201, 403]));
    const items = async (resource: string) => (await a.ask("GET", `${namespace}/${resource}`)).json["items"];
    expect(await items("pods")).toHaveLength(7);
    expect(await items("configmaps")).toHaveLength(5);
    expect(await used()).toEqual({ pods: "7", "count/configmaps": "5" });
    expect(messageOf(await createPod("last"))).toEqual([
      403,
      'pods "last" is forbidden: exceeded quota: q, requested: pods=1, used: pods=7, limited: pods=7',
    ]);
  });

  it("what is refused for another reason, or only tried, costs nothing", async () => {
    await quota({ pods: "1" });
    expect((await createPod("dry", {}, {}, "?dryRun=All")).status).toBe(201);
    expect((await createPod("p")).status).toBe(201);
    expect((await createPod("p", {}, {}, "?dryRun=All")).status).toBe(403);
    expect(await used()).toEqual({ pods: "1" });
    await a.ask("POST", `${namespace}/configmaps`, { body: { metadata: { name: "m" } } });
    await quota({ configmaps: "9" }, { name: "maps" });
    expect((await a.ask("POST", `${namespace}/configmaps`, { body: { metadata: { name: "m" } } })).status).toBe(409);
    expect(await used("maps")).toEqual({ configmaps: "0" });
  });

  it("each container says what it asks for of what is limited", async () => {
    await quota({ "limits.cpu": "1", "requests.memory": "1Gi", "requests.example.com/gpu": "2" });
    expect(messageOf(await createPod("silent", { limits: { cpu: "1" } }))).toEqual([
      403,
      'pods "silent" is forbidden: failed quota: q: must specify requests.memory for: c',
    ]);
    const resources = { limits: { cpu: "600m", memory: "1Gi", "example.com/gpu": "2" }, requests: { memory: "512Mi" } };
    expect((await createPod("p", resources)).status).toBe(201);
    expect(await used()).toEqual({ "limits.cpu": "600m", "requests.memory": "512Mi", "requests.example.com/gpu": "2" });
    expect(messageOf(await createPod("more", resources))).toEqual([
      403,
      'pods "more" is forbidden: exceeded quota: q, requested: limits.cpu=600m,requests.example.com/gpu=2, ' +
        "used: limits.cpu=600m,requests.example.com/gpu=2, limited: limits.cpu=1,requests.example.com/gpu=2",
    ]);
  });

  it("one that nobody has counted refuses what it limits", async () => {
    await quota({ pods: "3" }, { used: {} });
    expect(messageOf(await createPod("p"))).toEqual([
      403,
      'pods "p" is forbidden: status unknown for quota: q, resources: pods',
    ]);
  });

  it("scopes say which pods count", async () => {
    await quota({ pods: "5" }, { name: "best", spec: { scopes: ["BestEffort"] } });
    await quota({ pods: "5" }, { name: "long", spec: { scopes: ["NotTerminating"] } });
    const high = {
      scopeSelector: { matchExpressions: [{ scopeName: "PriorityClass", operator: "In", values: ["high"] }] },
    };
    await quota({ pods: "5" }, { name: "high", spec: high });
    await a.ask("POST", "/apis/scheduling.k8s.io/v1/priorityclasses", {
      body: { metadata: { name: "high" }, value: 1 },
    });
    await createPod("plain");
    await createPod("short", { requests: { cpu: "1" } }, { activeDeadlineSeconds: 5 });
    await createPod("important", { requests: { cpu: "1" } }, { priorityClassName: "high" });
    expect([await used("best"), await used("long"), await used("high")]).toEqual([
      { pods: "1" },
      { pods: "2" },
      { pods: "1" },
    ]);
  });

  it("a Service and a claim cost what they become", async () => {
    await quota({ services: "2", "services.nodeports": "1", "requests.storage": "3Gi" });
    const service = { metadata: { name: "s" }, spec: { ports: [{ port: 80 }] } };
    await a.ask("POST", `${namespace}/services`, { body: service });
    const merge = (resource: string, body: object) =>
      a.ask("PATCH", `${namespace}/${resource}`, { body, contentType: "application/merge-patch+json" });
    expect((await merge("services/s", { spec: { type: "NodePort" } })).status).toBe(200);
    expect(await used()).toEqual({ services: "1", "services.nodeports": "1", "requests.storage": "0" });
    const ports = [
      { name: "a", port: 80 },
      { name: "b", port: 81 },
    ];
    const balanced = { metadata: { name: "t" }, spec: { type: "LoadBalancer", ports } };
    expect(messageOf(await a.ask("POST", `${namespace}/services`, { body: balanced }))).toEqual([
      403,
      'services "t" is forbidden: exceeded quota: q, requested: services.nodeports=2, used: services.nodeports=1, limited: services.nodeports=1',
    ]);
    const claim = { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "2Gi" } } };
    const createClaim = (name: string) =>
      a.ask("POST", `${namespace}/persistentvolumeclaims`, { body: { metadata: { name }, spec: claim } });
    expect((await createClaim("c")).status).toBe(201);
    expect(messageOf(await createClaim("d"))).toEqual([
      403,
      'persistentvolumeclaims "d" is forbidden: exceeded quota: q, requested: requests.storage=2Gi, used: requests.storage=2Gi, limited: requests.storage=3Gi',
    ]);
  });
});

it("a quota's own status is apart from what it asks for, and shown in a row", async () => {
  await quota({ "limits.cpu": "2", pods: "5" });
  const path = `${namespace}/resourcequotas/q`;
  const merge = { contentType: "application/merge-patch+json" };
  await a.ask("PATCH", `${path}/status`, {
    body: { spec: { hard: { pods: "9" } }, status: { hard: { pods: "6" } } },
    ...merge,
  });
  const { json } = await a.ask("GET", path);
  expect(json).toMatchObject({ spec: { hard: { pods: "5" } }, status: { hard: { pods: "6", "limits.cpu": "2" } } });
  const scopes = await a.ask("PATCH", path, { body: { spec: { scopes: ["BestEffort"] } }, ...merge });
  expect(scopes.json["message"]).toContain("field is immutable");
  const accept = "application/json;as=Table;v=v1;g=meta.k8s.io";
  const table = await a.ask("GET", path, { headers: { accept } });
  expect(table.json["rows"]?.[0]?.["cells"]).toEqual(["q", "pods: 0/6", "limits.cpu: 0/2", expect.any(String)]);
});
