/** Wire traps of gets, lists and watches. */
import { readEnvelope } from "@pilothouse/api";
import { sleep } from "@pilothouse/clock";
import { systemClock } from "@pilothouse/clock/system";
import { beforeAll, expect, test } from "vitest";
import { until } from "../harness/index.ts";
import type { WireRig } from "./rig.ts";

const NAMESPACE = "reads";
const MAPS = `/api/v1/namespaces/${NAMESPACE}/configmaps`;
const TABLE =
  "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";
const PARTIAL =
  "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
const PARTIAL_LIST = PARTIAL.replaceAll("PartialObjectMetadata", "PartialObjectMetadataList");
const STREAMED = "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
const INITIAL_EVENTS_END = "k8s.io/initial-events-end";

interface Table {
  readonly kind: string;
  readonly metadata: { readonly resourceVersion: string; readonly continue?: string; remainingItemCount?: number };
  readonly columnDefinitions?: readonly { readonly name: string }[];
  readonly rows: readonly {
    readonly cells: readonly unknown[];
    readonly object: { readonly kind: string; readonly apiVersion: string; readonly metadata: { name: string } };
  }[];
}

interface List {
  readonly kind: string;
  readonly items: readonly unknown[];
  readonly metadata: { readonly resourceVersion: string };
}

export function readTraps(rig: () => WireRig): void {
  const ask = (path: string, headers: Readonly<Record<string, string>> = {}) => rig().api.ask({ path, headers });
  const create = (path: string, body: object) => rig().api.ask({ method: "POST", path, body });

  beforeAll(async () => {
    await create("/api/v1/namespaces", { metadata: { name: NAMESPACE } });
    for (const name of ["a", "b", "c"]) await create(MAPS, { metadata: { name }, data: { k: name } });
  });

  test("wire trap 13: a streamed list ends its beginning with a bookmark at once, also when nothing matches", async () => {
    for (const [selector, count] of [
      ["", 3],
      ["&labelSelector=none%3Dsuch", 0],
      ["&fieldSelector=metadata.name%3Db", 1],
    ] as const) {
      const watch = await rig().api.watch(`${MAPS}?${STREAMED}${selector}`);
      const { object } = await watch.next("BOOKMARK", 2_000);
      expect(object.metadata.annotations).toEqual({ [INITIAL_EVENTS_END]: "true" });
      expect(watch.events.filter(({ type }) => type === "ADDED")).toHaveLength(count);
      watch.close();
    }
    const lacking = await ask(`${MAPS}?watch=true&sendInitialEvents=true&allowWatchBookmarks=true`);
    expect([lacking.status, lacking.text]).toEqual([
      422,
      expect.stringContaining("sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"),
    ]);
  });

  test("wire trap 13: kubectl waits for what is there, and for what goes", async () => {
    await rig().kubectl(`wait --for=jsonpath={.data.k}=a configmap/a -n ${NAMESPACE} --timeout=10s`);
    await create(MAPS, { metadata: { name: "going" } });
    const gone = rig().kubectl(`wait --for=delete configmap/going -n ${NAMESPACE} --timeout=20s`);
    await rig().kubectl(`delete configmap going -n ${NAMESPACE}`);
    await gone;
  });

  test("wire trap 14: a bookmark is of the watched kind", async () => {
    for (const [headers, kind, apiVersion] of [
      [{}, "ConfigMap", "v1"],
      [{ accept: PARTIAL.split(",")[1] ?? "" }, "PartialObjectMetadata", "meta.k8s.io/v1"],
    ] as const) {
      const watch = await rig().api.watch({ path: `${MAPS}?${STREAMED}`, headers });
      const { object } = await watch.next("BOOKMARK");
      expect(object).toMatchObject({ kind, apiVersion, metadata: { resourceVersion: expect.stringMatching(/^\d+$/) } });
      expect(watch.events[0]?.object).toMatchObject({ kind, apiVersion });
      watch.close();
    }
  });

  test("wire trap 15: a list says where a watch goes on, an empty one too", async () => {
    const empty = (await ask("/api/v1/namespaces/nowhere/pods?limit=500&resourceVersion=0")).json() as List;
    expect(Number(empty.metadata.resourceVersion)).toBeGreaterThan(0);
    const { metadata } = (await ask(`${MAPS}?limit=500&resourceVersion=0`)).json() as List;
    const watch = await rig().api.watch(`${MAPS}?watch=true&resourceVersion=${metadata.resourceVersion}`);
    await create(MAPS, { metadata: { name: "late" } });
    expect((await watch.next("ADDED")).object.metadata.name).toBe("late");
    watch.close();
    await rig().api.ask({ method: "DELETE", path: `${MAPS}/late` });
  });

  test("wire trap 16: a watch is 200 at once, uncompressed, and ends in order at its time", async () => {
    const headers = { "accept-encoding": "gzip", accept: "application/json" };
    const watch = await rig().api.watch({ path: `${MAPS}?watch=true&resourceVersion=0&timeoutSeconds=1`, headers });
    expect([watch.status, watch.headers["content-type"], watch.headers["content-encoding"]]).toEqual([
      200,
      "application/json",
      undefined,
    ]);
    await until("its time is over", () => watch.ended, 5_000);
    const protobuf = await rig().api.watch({
      path: `/api/v1/namespaces/nowhere/configmaps?watch=true`,
      headers: { accept: "application/vnd.kubernetes.protobuf" },
    });
    expect(protobuf.headers["content-type"]).toBe("application/vnd.kubernetes.protobuf;stream=watch");
    protobuf.close();
  });

  test("wire trap 17: from the future a list is told to wait, and a watch waits", { timeout: 20_000 }, async () => {
    const { metadata } = (await ask(MAPS)).json() as List;
    const future = String(Number(metadata.resourceVersion) + 100_000);
    const list = await ask(`${MAPS}?resourceVersion=${future}`);
    expect([list.status, list.headers["retry-after"]]).toEqual([504, "1"]);
    expect(list.json()).toMatchObject({
      reason: "Timeout",
      details: { causes: [{ reason: "ResourceVersionTooLarge", message: "Too large resource version" }] },
    });
    const watch = await rig().api.watch(`${MAPS}?watch=true&resourceVersion=${future}`);
    expect(watch.status).toBe(200);
    await sleep(systemClock, 300);
    expect([watch.events, watch.ended]).toEqual([[], false]);
    watch.close();
  });

  test("wire trap 18: metadata alone, for get, list, watch and patch, in protobuf and JSON", async () => {
    const json = PARTIAL.split(",")[1] ?? "";
    const got = await ask(`${MAPS}/a`, { accept: json });
    expect(got.json()).toMatchObject({ kind: "PartialObjectMetadata", apiVersion: "meta.k8s.io/v1" });
    expect(got.text).not.toContain('"data"');
    const inProtobuf = await ask(`${MAPS}/a`, { accept: PARTIAL });
    expect(inProtobuf.headers["content-type"]).toBe("application/vnd.kubernetes.protobuf");
    expect(readEnvelope(inProtobuf.bytes)).toMatchObject({
      kind: "PartialObjectMetadata",
      apiVersion: "meta.k8s.io/v1",
    });
    const list = await ask(MAPS, { accept: PARTIAL_LIST });
    expect(readEnvelope(list.bytes).kind).toBe("PartialObjectMetadataList");
    const patched = await rig().api.ask({
      method: "PATCH",
      path: `${MAPS}/a`,
      headers: { accept: PARTIAL, "content-type": "application/merge-patch+json" },
      body: '{"metadata":{"labels":{"seen":"yes"}}}',
    });
    expect(readEnvelope(patched.bytes).kind).toBe("PartialObjectMetadata");
    const watch = await rig().api.watch({ path: `${MAPS}?watch=true&resourceVersion=0`, headers: { accept: json } });
    expect((await watch.next("ADDED")).object).toMatchObject({ kind: "PartialObjectMetadata" });
    watch.close();
  });

  test("wire trap 19: tables, with the media parameters in any order", async () => {
    for (const accept of [TABLE, "application/json;g=meta.k8s.io;v=v1;as=Table,application/json"]) {
      const table = (await ask(`${MAPS}?limit=500`, { accept })).json() as Table;
      expect(table.kind).toBe("Table");
      expect(table.columnDefinitions?.map(({ name }) => name)).toEqual(["Name", "Data", "Age"]);
    }
    const whole = (await ask(`${MAPS}?includeObject=Object`, { accept: TABLE })).json() as Table;
    expect(whole.rows[0]?.object).toMatchObject({ kind: "ConfigMap", apiVersion: "v1", data: { k: "a" } });
    const none = (await ask(`${MAPS}?includeObject=None`, { accept: TABLE })).json() as Table;
    expect(none.rows[0]?.object ?? null).toBeNull();
  });

  test("wire trap 20: a row's object has a kind", async () => {
    for (const path of [MAPS, `${MAPS}/b`]) {
      const { rows } = (await ask(path, { accept: TABLE })).json() as Table;
      for (const { object } of rows) {
        expect(object).toMatchObject({ kind: "PartialObjectMetadata", apiVersion: "meta.k8s.io/v1" });
      }
    }
    expect(await rig().kubectl(`get configmaps -n ${NAMESPACE} -L seen`)).toMatch(
      /^NAME +DATA +AGE +SEEN\na +1 +\d+\w+ +yes\nb +1 +\d+\w+ *\nc +1 +\d+\w+ *\n$/,
    );
  });

  test("wire trap 21: tables go on where they ended, page by page and into a watch", async () => {
    const first = (await ask(`${MAPS}?limit=1`, { accept: TABLE })).json() as Table;
    expect(first.metadata).toMatchObject({ remainingItemCount: 2, continue: expect.stringMatching(/./) });
    const next = `${MAPS}?limit=1&continue=${encodeURIComponent(first.metadata.continue ?? "")}`;
    const second = (await ask(next, { accept: TABLE })).json() as Table;
    expect(second.columnDefinitions?.length).toBe(3);
    expect(second.rows[0]?.object.metadata.name).toBe("b");
    const watch = await rig().api.watch({
      path: `${MAPS}?watch=true&resourceVersion=${first.metadata.resourceVersion}`,
      headers: { accept: TABLE },
    });
    for (const value of ["1", "2"]) {
      await rig().api.ask({
        method: "PATCH",
        path: `${MAPS}/c`,
        headers: { "content-type": "application/merge-patch+json" },
        body: JSON.stringify({ data: { value } }),
      });
    }
    await until("both changes are told", () => watch.events.length >= 2);
    const [one, two] = watch.events.map(({ object }) => object as unknown as Table);
    expect(one?.rows.map(({ object }) => object.metadata.name)).toEqual(["c"]);
    expect([one?.columnDefinitions?.length, two?.columnDefinitions ?? null]).toEqual([3, null]);
    watch.close();
  });

  test("wire trap 34: a query keeps its order and repeats", async () => {
    const twice = await ask(`${MAPS}?labelSelector=seen&labelSelector=none&limit=1`);
    expect(twice.status).toBe(200);
    const nested = await ask(`${MAPS}?labelSelector[a]=b&limit=500`);
    expect([nested.status, (nested.json() as List).items.length]).toEqual([200, 3]);
  });

  test("wire trap 38: protobuf for whom it comes first, errors too", async () => {
    const accept = "application/vnd.kubernetes.protobuf,*/*";
    const got = await ask(`${MAPS}/a`, { accept });
    expect([got.headers["content-type"], readEnvelope(got.bytes).kind]).toEqual([
      "application/vnd.kubernetes.protobuf",
      "ConfigMap",
    ]);
    const error = await ask(`${MAPS}/none`, { accept });
    expect([error.status, readEnvelope(error.bytes).kind]).toEqual([404, "Status"]);
    expect((await ask(`${MAPS}/a`, { accept: "*/*" })).headers["content-type"]).toBe("application/json");
  });

  test("wire trap 39: events are found by what they are about, all of it", async () => {
    const about = {
      kind: "ConfigMap",
      apiVersion: "v1",
      namespace: NAMESPACE,
      name: "a",
      uid: "11111111-2222-3333-4444-555555555555",
    };
    await create(`/api/v1/namespaces/${NAMESPACE}/events`, {
      metadata: { name: "a.1" },
      involvedObject: about,
      reason: "Seen",
      message: "all is well",
      type: "Normal",
      lastTimestamp: "2026-01-01T00:00:00Z",
    });
    const fields = (uid: string): string =>
      encodeURIComponent(`involvedObject.name=a,involvedObject.namespace=${NAMESPACE},involvedObject.uid=${uid}`);
    const events = `/api/v1/namespaces/${NAMESPACE}/events?fieldSelector=`;
    expect(((await ask(`${events}${fields(about.uid)}`)).json() as List).items).toHaveLength(1);
    expect(((await ask(`${events}${fields("other")}`)).json() as List).items).toHaveLength(0);
    expect(await rig().kubectl(`events --for configmap/a -n ${NAMESPACE}`)).toMatch(/Seen +ConfigMap\/a +all is well/);
  });

  test("wire trap 46: lists are called <Kind>List, and an empty one has no null", async () => {
    for (const [path, kind] of [
      ["/api/v1/namespaces/nowhere/pods", "PodList"],
      ["/apis/apps/v1/namespaces/nowhere/deployments", "DeploymentList"],
      ["/apis/discovery.k8s.io/v1/namespaces/nowhere/endpointslices", "EndpointSliceList"],
    ] as const) {
      expect((await ask(path)).json() as List).toMatchObject({ kind, items: [] });
    }
    const role = { metadata: { name: "empty" }, rules: [] };
    await create(`/apis/rbac.authorization.k8s.io/v1/namespaces/${NAMESPACE}/roles`, role);
    const made = await ask(`/apis/rbac.authorization.k8s.io/v1/namespaces/${NAMESPACE}/roles/empty`);
    expect((made.json() as { rules: unknown }).rules).toEqual([]);
  });

  test(
    "wire trap 58: every list is there, and every watch comes to the end of its beginning",
    { timeout: 30_000 },
    async () => {
      const resources = (await rig().kubectl("api-resources --verbs=list,watch --no-headers -o wide"))
        .trim()
        .split("\n");
      const groups = await rig().api.ask("/apis");
      const versions = (groups.json() as { groups: { preferredVersion: { groupVersion: string } }[] }).groups;
      const bases = ["/api/v1", ...versions.map(({ preferredVersion }) => `/apis/${preferredVersion.groupVersion}`)];
      let watched = 0;
      for (const base of bases) {
        const { resources: all } = (await ask(base)).json() as { resources: { name: string; verbs: string[] }[] };
        for (const { name, verbs } of all.filter((one) => one.verbs.includes("watch"))) {
          expect([name, verbs.includes("list")]).toEqual([name, true]);
          const watch = await rig().api.watch(`${base}/${name}?${STREAMED}`);
          await watch.next("BOOKMARK");
          watch.close();
          watched++;
        }
      }
      expect(watched).toBe(resources.length);
    },
  );
}
