import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { apiserverStory, protobuf, type Story } from "../story.fixture.ts";

let story: Story;
beforeAll(async () => {
  story = await apiserverStory();
});
afterAll(() => story.close());

const NEW = "/apis/events.k8s.io/v1/namespaces/default/events";
const CORE = "/api/v1/namespaces/default/events";
const TIME = "2026-01-01T00:00:00.000000Z";
const event = (name: string, more: object = {}) => ({
  metadata: { name, labels: { story: name } },
  eventTime: TIME,
  reportingController: "test-controller",
  reportingInstance: "test-1",
  action: "Do",
  reason: "Test",
  type: "Normal",
  note: "a note",
  regarding: { kind: "Pod", name: "p", namespace: "default" },
  ...more,
});
const MERGE = "application/merge-patch+json";

describe("events in two versions", () => {
  it("are one object: created in one shape, read and listed in both", async () => {
    const made = await story.ask("POST", NEW, { body: event("one") });
    expect(made).toMatchObject({
      status: 201,
      json: { apiVersion: "events.k8s.io/v1", kind: "Event", note: "a note", regarding: { name: "p" } },
    });
    expect(made.json).not.toHaveProperty("message");
    const core = await story.ask("GET", `${CORE}/one`);
    expect(core.json).toMatchObject({
      apiVersion: "v1",
      message: "a note",
      reportingComponent: "test-controller",
      involvedObject: { name: "p" },
      metadata: { uid: made.json["metadata"]?.["uid"], resourceVersion: made.json["metadata"]?.["resourceVersion"] },
    });
    expect(core.json).not.toHaveProperty("note");
    await story.ask("POST", CORE, {
      body: {
        metadata: { name: "old" },
        involvedObject: { kind: "Node", name: "n", namespace: "default" },
        message: "old words",
        source: { component: "kubelet" },
        count: 3,
        firstTimestamp: "2026-01-01T00:00:00Z",
      },
    });
    const list = await story.ask("GET", NEW);
    expect(list.json).toMatchObject({
      apiVersion: "events.k8s.io/v1",
      kind: "EventList",
      items: [
        { note: "old words", deprecatedSource: { component: "kubelet" }, deprecatedCount: 3 },
        { metadata: { name: "one" } },
      ],
    });
  });

  it("are selected by each version's own fields", async () => {
    const names = async (path: string, selector: string) => {
      const { json } = await story.ask("GET", `${path}?fieldSelector=${encodeURIComponent(selector)}`);
      return (
        json["message"] ?? (json["items"] as unknown as { metadata: { name: string } }[]).map((it) => it.metadata.name)
      );
    };
    expect(await names(NEW, "regarding.kind=Pod")).toEqual(["one"]);
    expect(await names(NEW, "reportingController=test-controller,type!=Warning")).toEqual(["one"]);
    expect(await names(NEW, "metadata.name=old")).toEqual(["old"]);
    expect(await names(NEW, "involvedObject.kind=Pod")).toContain("field label not supported: involvedObject.kind");
    expect(await names(CORE, "involvedObject.kind=Pod")).toEqual(["one"]);
  });

  it("change in either: by patches of each kind, a PUT, and an applied configuration", async () => {
    const series = { count: 2, lastObservedTime: TIME };
    const patched = await story.ask("PATCH", `${NEW}/one`, { contentType: MERGE, body: { series } });
    expect(patched).toMatchObject({ status: 200, json: { apiVersion: "events.k8s.io/v1", series, note: "a note" } });
    const json = [
      { op: "test", path: "/note", value: "a note" },
      { op: "add", path: "/metadata/labels/a", value: "b" },
    ];
    expect(
      (await story.ask("PATCH", `${NEW}/one`, { contentType: "application/json-patch+json", body: json })).status,
    ).toBe(200);
    const current = (await story.ask("GET", `${NEW}/one`)).json;
    const put = await story.ask("PUT", `${NEW}/one`, { body: { ...current, series: { ...series, count: 3 } } });
    expect(put).toMatchObject({ status: 200, json: { series: { count: 3 } } });
    expect((await story.ask("GET", `${CORE}/one`)).json).toMatchObject({ series: { count: 3 }, message: "a note" });
    const applied = await story.ask("PATCH", `${NEW}/fresh?fieldManager=me`, {
      contentType: "application/apply-patch+yaml",
      body: { apiVersion: "events.k8s.io/v1", kind: "Event", ...event("fresh") },
    });
    expect(applied).toMatchObject({ status: 201, json: { note: "a note" } });
  });

  it("are judged more strictly where they are written in the newer version", async () => {
    const messageOf = async (method: string, path: string, body: object, contentType = "application/json") =>
      (await story.ask(method, path, { body, contentType })).json["message"];
    const { eventTime: _, ...timeless } = event("bad", { type: "Odd", deprecatedCount: 1, series: { count: 1 } });
    expect(await messageOf("POST", NEW, timeless)).toBe(
      'Event "bad" is invalid: [series.count: Invalid value: "": should be at least 2, series.lastObservedTime: Required value, ' +
        'eventTime: Required value, type: Invalid value: "": has invalid value: Odd, count: Invalid value: "": needs to be unset]',
    );
    expect(await messageOf("PATCH", `${NEW}/one`, { note: "other" }, MERGE)).toBe(
      'Event "one" is invalid: message: Invalid value: "other": field is immutable',
    );
    expect(await messageOf("PATCH", `${CORE}/one`, { message: "other" }, MERGE)).toBe("other");
  });

  it("are watched in each version's shape, and as a table", async () => {
    const watched = async (path: string) => {
      const { text } = await story.ask("GET", `${path}?watch=true&timeoutSeconds=1&fieldSelector=metadata.name%3Done`);
      return (JSON.parse(text.split("\n")[0] ?? "") as { object: object }).object;
    };
    const soon = setInterval(() => void story.clock.advance(500), 5);
    expect(await watched(NEW)).toMatchObject({ apiVersion: "events.k8s.io/v1", note: "other" });
    expect(await watched(CORE)).toMatchObject({ apiVersion: "v1", message: "other" });
    clearInterval(soon);
    const table = await story.ask("GET", `${NEW}?includeObject=Object&fieldSelector=metadata.name%3Done`, {
      headers: { accept: "application/json;as=Table;g=meta.k8s.io;v=v1" },
    });
    expect(table.json["rows"]?.[0]).toMatchObject({
      cells: expect.arrayContaining(["Normal", "Test", "pod/p", "other"]) as unknown,
      object: { apiVersion: "events.k8s.io/v1", note: "other" },
    });
  });

  it("come and go in protobuf, and are deleted in either", async () => {
    const raw = protobuf("events.k8s.io/v1", "Event", event("wire"));
    const contentType = "application/vnd.kubernetes.protobuf";
    expect((await story.ask("POST", NEW, { raw, contentType })).status).toBe(201);
    const wire = await story.ask("GET", `${NEW}/wire`, { headers: { accept: contentType } });
    expect(wire.text).toContain("events.k8s.io/v1");
    expect(wire.text).toContain("a note");
    const gone = await story.ask("DELETE", `${NEW}?labelSelector=story%3Dwire`);
    expect(gone.json).toMatchObject({ apiVersion: "events.k8s.io/v1", kind: "EventList", items: [{ note: "a note" }] });
    expect((await story.ask("DELETE", `${NEW}/one`)).status).toBe(200);
    expect(await story.ask("GET", `${CORE}/one`)).toMatchObject({
      status: 404,
      json: { message: 'events "one" not found' },
    });
  });
});

describe("autoscalers in two versions", () => {
  const V1 = "/apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers";
  const V2 = "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers";
  const scaleTargetRef = { apiVersion: "apps/v1", kind: "Deployment", name: "web" };

  it("are one object: what v1 has no field for survives a change in v1", async () => {
    const memory = {
      type: "Resource",
      resource: { name: "memory", target: { type: "AverageValue", averageValue: "1Gi" } },
    };
    await story.ask("POST", V2, {
      body: { metadata: { name: "web" }, spec: { scaleTargetRef, maxReplicas: 5, metrics: [memory] } },
    });
    const shown = (await story.ask("GET", `${V1}/web`)).json;
    expect(shown).toMatchObject({ apiVersion: "autoscaling/v1", spec: { minReplicas: 1, maxReplicas: 5 } });
    const body = {
      ...shown,
      spec: { ...(shown["spec"] as object), maxReplicas: 7, targetCPUUtilizationPercentage: 60 },
    };
    expect((await story.ask("PUT", `${V1}/web`, { body })).json).toMatchObject({
      spec: { maxReplicas: 7, targetCPUUtilizationPercentage: 60 },
    });
    const { json } = await story.ask("GET", `${V2}/web`);
    expect(json).toMatchObject({ spec: { maxReplicas: 7, metrics: [memory, { resource: { name: "cpu" } }] } });
    expect(json["metadata"]).not.toHaveProperty("annotations");
  });

  it("get v2's defaults, and a status of their own through /status", async () => {
    const made = await story.ask("POST", V1, {
      body: { metadata: { name: "plain" }, spec: { scaleTargetRef, maxReplicas: 2 } },
    });
    expect(made.json).toMatchObject({ spec: { minReplicas: 1, targetCPUUtilizationPercentage: 80 } });
    const status = { currentReplicas: 1, desiredReplicas: 2, currentCPUUtilizationPercentage: 90 };
    const patched = await story.ask("PATCH", `${V1}/plain/status`, { contentType: MERGE, body: { status } });
    expect(patched.json).toMatchObject({ apiVersion: "autoscaling/v1", status });
    expect((await story.ask("GET", `${V2}/plain`)).json).toMatchObject({
      status: { currentMetrics: [{ resource: { current: { averageUtilization: 90 } } }] },
    });
    const refused = await story.ask("PATCH", `${V1}/plain`, { contentType: MERGE, body: { spec: { maxReplicas: 0 } } });
    expect(refused.json["message"]).toContain("spec.maxReplicas: Invalid value: 0: must be greater than 0");
  });
});
