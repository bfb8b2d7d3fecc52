/** LimitRanges, PriorityClasses and RuntimeClasses as a user meets them. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { apiserverStory, type Asked, type Story } from "../../story.fixture.ts";

const CLASSES = "/apis/scheduling.k8s.io/v1/priorityclasses";
const RUNTIMES = "/apis/node.k8s.io/v1/runtimeclasses";

let story: Story;
let namespace: string;
let count = 0;
beforeAll(async () => {
  story = await apiserverStory();
});
afterAll(() => story.close());
beforeEach(async () => {
  namespace = `/api/v1/namespaces/n${++count}`;
  await story.ask("POST", "/api/v1/namespaces", { body: { metadata: { name: `n${count}` } } });
  await story.ask("POST", `${namespace}/serviceaccounts`, { body: { metadata: { name: "default" } } });
});

const pod = (name: string, resources: object, more: object = {}): Asked => ({
  body: { metadata: { name }, spec: { containers: [{ name: "c", image: "web", resources }], ...more } },
});
const ranges = (...limits: object[]): Asked => ({ body: { metadata: { name: "range" }, spec: { limits } } });
const createPod = (name: string, resources: object, more: object = {}) =>
  story.ask("POST", `${namespace}/pods`, pod(name, resources, more));
const messageOf = async (answer: Promise<{ status: number; json: { [field: string]: unknown } }>) => {
  const { status, json } = await answer;
  return [status, json["message"]];
};

describe("a LimitRange", () => {
  const container = {
    type: "Container",
    min: { cpu: "50m", memory: "100Mi" },
    max: { cpu: "500m", memory: "500Mi" },
    default: { cpu: "300m", memory: "300Mi" },
    defaultRequest: { cpu: "100m", memory: "200Mi" },
  };

  it("fills in what a container does not say, and says so", async () => {
    await story.ask("POST", `${namespace}/limitranges`, ranges(container));
    const { json } = await createPod("partial", { requests: { cpu: "200m" }, limits: { memory: "400Mi" } });
    expect(json).toMatchObject({
      metadata: {
        annotations: {
          "kubernetes.io/limit-ranger": "LimitRanger plugin set: cpu limit for container c",
        },
      },
      spec: {
        containers: [
          { resources: { requests: { cpu: "200m", memory: "400Mi" }, limits: { cpu: "300m", memory: "400Mi" } } },
        ],
      },
    });
    const { json: silent } = await createPod("silent", {});
    expect(silent).toMatchObject({
      metadata: {
        annotations: {
          "kubernetes.io/limit-ranger":
            "LimitRanger plugin set: cpu, memory request for container c; cpu, memory limit for container c",
        },
      },
      spec: { containers: [{ resources: { requests: { cpu: "100m", memory: "200Mi" } } }] },
    });
  });

  it("refuses what is below, above, or of too wide a ratio", async () => {
    await story.ask("POST", `${namespace}/limitranges`, ranges({ ...container, maxLimitRequestRatio: { cpu: "2" } }));
    const small = createPod("small", { requests: { cpu: "10m" }, limits: { cpu: "20m" } });
    expect(await messageOf(small)).toEqual([
      403,
      'pods "small" is forbidden: minimum cpu usage per Container is 50m, but request is 10m',
    ]);
    const large = createPod("large", { requests: { cpu: "600m" }, limits: { cpu: "600m", memory: "1Gi" } });
    expect(await messageOf(large)).toEqual([
      403,
      'pods "large" is forbidden: [maximum cpu usage per Container is 500m, but limit is 600m, ' +
        "maximum memory usage per Container is 500Mi, but limit is 1Gi]",
    ]);
    const wide = createPod("wide", { requests: { cpu: "100m" }, limits: { cpu: "250m" } });
    expect(await messageOf(wide)).toEqual([
      403,
      'pods "wide" is forbidden: cpu max limit to request ratio per Container is 2, but provided ratio is 2.500000',
    ]);
  });

  it("judges a pod as a whole, with init containers at their peak", async () => {
    await story.ask("POST", `${namespace}/limitranges`, ranges({ type: "Pod", max: { cpu: "1" } }));
    const init = { name: "i", image: "web", resources: { limits: { cpu: "2" } } };
    expect(await messageOf(createPod("peak", { limits: { cpu: "1" } }, { initContainers: [init] }))).toEqual([
      403,
      'pods "peak" is forbidden: maximum cpu usage per Pod is 1, but limit is 2',
    ]);
    expect(await messageOf(createPod("silent", {}))).toEqual([
      403,
      'pods "silent" is forbidden: maximum cpu usage per Pod is 1.  No limit is specified',
    ]);
    expect((await createPod("fits", { limits: { cpu: "1" } })).status).toBe(201);
  });

  it("bounds the storage of claims", async () => {
    const bounds = { type: "PersistentVolumeClaim", min: { storage: "1Gi" }, max: { storage: "2Gi" } };
    await story.ask("POST", `${namespace}/limitranges`, ranges(bounds));
    const claim = (storage: string) =>
      story.ask("POST", `${namespace}/persistentvolumeclaims`, {
        body: {
          metadata: { name: "c" },
          spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage } } },
        },
      });
    expect(await messageOf(claim("3Gi"))).toEqual([
      403,
      'persistentvolumeclaims "c" is forbidden: maximum storage usage per PersistentVolumeClaim is 2Gi, but request is 3Gi',
    ]);
    expect((await claim("2Gi")).status).toBe(201);
  });

  it("leaves running pods alone when it becomes narrower", async () => {
    await createPod("free", {});
    await story.ask("POST", `${namespace}/limitranges`, ranges(container));
    const patch = { body: { metadata: { labels: { a: "b" } } }, contentType: "application/merge-patch+json" };
    const { status, json } = await story.ask("PATCH", `${namespace}/pods/free`, patch);
    expect([status, json["spec"]?.["containers"]?.[0]?.["resources"]]).toEqual([200, {}]);
  });
});

describe("a PriorityClass", () => {
  const make = (name: string, more: object) => story.ask("POST", CLASSES, { body: { metadata: { name }, ...more } });

  it("is there for the system from the start, and stays", async () => {
    const { json } = await story.ask("GET", `${CLASSES}/system-node-critical`);
    expect(json).toMatchObject({ value: 2_000_001_000, preemptionPolicy: "PreemptLowerPriority" });
    expect(await messageOf(story.ask("DELETE", `${CLASSES}/system-node-critical`))).toEqual([
      403,
      'priorityclasses.scheduling.k8s.io "system-node-critical" is forbidden: this is a system priority class and cannot be deleted',
    ]);
  });

  it("is the default alone, and gives its number and policy to pods that name none", async () => {
    await make("gentle", { value: 7, globalDefault: true, preemptionPolicy: "Never" });
    expect(await messageOf(make("second", { value: 8, globalDefault: true }))).toEqual([
      403,
      'priorityclasses.scheduling.k8s.io "second" is forbidden: PriorityClass gentle is already marked as default. Only one default can exist',
    ]);
    expect((await createPod("p", {})).json["spec"]).toMatchObject({
      priorityClassName: "gentle",
      priority: 7,
      preemptionPolicy: "Never",
    });
    expect(await messageOf(createPod("q", {}, { preemptionPolicy: "PreemptLowerPriority" }))).toEqual([
      403,
      'pods "q" is forbidden: the string value of PreemptionPolicy (PreemptLowerPriority) must not be provided in pod spec; priority admission controller computed Never from the given PriorityClass name',
    ]);
    expect((await story.ask("DELETE", `${CLASSES}/gentle`)).status).toBe(200);
  });
});

describe("a RuntimeClass", () => {
  it("must exist, and brings what its sandbox costs and where it runs", async () => {
    expect(await messageOf(createPod("lost", {}, { runtimeClassName: "kata" }))).toEqual([
      403,
      'pods "lost" is forbidden: pod rejected: RuntimeClass "kata" not found',
    ]);
    await story.ask("POST", RUNTIMES, {
      body: {
        metadata: { name: "kata" },
        handler: "kata",
        overhead: { podFixed: { cpu: "250m" } },
        scheduling: { nodeSelector: { vm: "yes" }, tolerations: [{ key: "vm", operator: "Exists" }] },
      },
    });
    const { json } = await createPod("boxed", {}, { runtimeClassName: "kata" });
    expect(json["spec"]).toMatchObject({ overhead: { cpu: "250m" }, nodeSelector: { vm: "yes" } });
    expect(json["spec"]?.["tolerations"]).toContainEqual({ key: "vm", operator: "Exists" });
    const conflict = { runtimeClassName: "kata", nodeSelector: { vm: "no" } };
    expect(await messageOf(createPod("elsewhere", {}, conflict))).toEqual([
      403,
      'pods "elsewhere" is forbidden: conflict: runtimeClass.scheduling.nodeSelector[vm] = yes; pod.spec.nodeSelector[vm] = no',
    ]);
  });

  it("is the only one that says what a pod costs beside its containers", async () => {
    expect(await messageOf(createPod("sly", {}, { overhead: { cpu: "0" } }))).toEqual([
      403,
      'pods "sly" is forbidden: pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead',
    ]);
  });
});
