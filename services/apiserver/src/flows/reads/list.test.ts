import { schemaOf, type StructureSchema } from "@pilothouse/api/schema";
import { decodeProtobuf } from "@pilothouse/api/codec/protobuf";
import { manualClock } from "@pilothouse/clock/manual";
import { StoreUnavailable } from "@pilothouse/store";
import { expect, test } from "vitest";
import { parse } from "yaml";
import { bytesOf, configMaps, newObject, nodes, pods, startWorld, textOf, type ListAnswer } from "./reading.fixture.ts";

test("an empty list has items, a kind and a resourceVersion", async () => {
  const world = await startWorld({ clock: manualClock() });
  expect(await world.list(pods)).toEqual({
    kind: "PodList",
    apiVersion: "v1",
    metadata: { resourceVersion: "1" },
    items: [],
  });
  const headers = (await world.ask("list", pods)).headers;
  expect(headers).toMatchObject({ "pilothouse-apiserver": "a", "pilothouse-epoch": world.cache.epoch });
});

test("a read sees what was written before it, though the cache hears of it later", async () => {
  const world = await startWorld({ clock: manualClock() });
  for (let i = 0; i < 5; i++) {
    const { bytes } = await world.put(configMaps, newObject(configMaps, `c${i}`));
    const answer = await world.ask("get", configMaps, { name: `c${i}` });
    expect(await textOf(answer)).toBe(Buffer.from(bytes).toString());
    expect((await world.list(configMaps)).items).toHaveLength(i + 1);
  }
  await world.remove(configMaps, "c0");
  await expect(world.ask("get", configMaps, { name: "c0" })).rejects.toMatchObject({
    code: 404,
    message: 'configmaps "c0" not found',
  });
});

test("pages are one snapshot: writes between them show in none", async () => {
  const world = await startWorld({ clock: manualClock() });
  for (let i = 0; i < 25; i++) await world.put(configMaps, newObject(configMaps, `c${String(i).padStart(2, "0")}`));
  const first = await world.list(configMaps, { query: "limit=10" });
  expect(first.metadata).toMatchObject({ remainingItemCount: 15 });
  await world.put(configMaps, newObject(configMaps, "c10", { data: { changed: "yes" } }));
  await world.remove(configMaps, "c11");
  await world.put(configMaps, newObject(configMaps, "c12a"));

  const other = await startWorld({ clock: manualClock(), store: world.store, apiserver: "b" });
  const second = await other.list(configMaps, { query: `limit=10&continue=${first.metadata.continue}` });
  expect(second.metadata).toMatchObject({
    resourceVersion: first.metadata.resourceVersion,
    remainingItemCount: 5,
  });
  const third = await world.list(configMaps, { query: `limit=10&continue=${second.metadata.continue}` });
  expect(third.metadata).toEqual({ resourceVersion: first.metadata.resourceVersion });
  const names = [...first.items, ...second.items, ...third.items].map(({ metadata }) => metadata.name);
  expect(names).toEqual(Array.from({ length: 25 }, (_, i) => `c${String(i).padStart(2, "0")}`));
  expect(second.items[0]).not.toHaveProperty("data");
});

test("a slow reader of a list sees one revision, though everything in it changes and goes meanwhile (C6)", async () => {
  const world = await startWorld({ clock: manualClock(), history: { maxChanges: 10, maxBytes: 1 << 20 } });
  const text = "x".repeat(20_000);
  for (let i = 0; i < 200; i++) await world.put(configMaps, newObject(configMaps, `c${i}`, { data: { text } }));
  const chunks: Uint8Array[] = [];
  let changed = 0;
  for await (const chunk of (await world.ask("list", configMaps)).body as AsyncIterable<Uint8Array>) {
    chunks.push(chunk);
    for (let i = 0; i < 8 && changed < 200; i++, changed++) {
      if (changed % 2 === 0)
        await world.put(configMaps, newObject(configMaps, `c${changed}`, { data: { text: "new" } }));
      else await world.remove(configMaps, `c${changed}`);
    }
    await world.cache.waitUntilCurrent();
  }
  expect(changed).toBe(200);
  const list = JSON.parse(Buffer.concat(chunks).toString()) as ListAnswer;
  expect(list.items).toHaveLength(200);
  for (const { metadata, data } of list.items) {
    expect(Number(metadata.resourceVersion)).toBeLessThanOrEqual(Number(list.metadata.resourceVersion));
    expect(data).toEqual({ text });
  }
});

test("with a selector pages tell no count, and each holds what it may", async () => {
  const world = await startWorld({ clock: manualClock() });
  for (let i = 0; i < 12; i++)
    await world.put(
      configMaps,
      newObject(configMaps, `c${i % 10}${i}`, { metadata: { labels: { odd: String(i % 2) } } }),
    );
  const found: (string | undefined)[] = [];
  for (let token: string | undefined = ""; token !== undefined;) {
    const query = new URLSearchParams({ limit: "2", labelSelector: "odd=1", ...(token ? { continue: token } : {}) });
    const page = await world.list(configMaps, { query: query.toString() });
    expect(page.metadata.remainingItemCount).toBeUndefined();
    expect(page.items.length).toBeLessThanOrEqual(2);
    found.push(...page.items.map(({ metadata }) => metadata.name));
    token = page.metadata.continue;
  }
  expect(found).toHaveLength(6);
});

test("a compacted page is 410 with a token for an inconsistent rest", async () => {
  const world = await startWorld({ clock: manualClock() });
  for (const name of ["a", "b", "c"]) await world.put(configMaps, newObject(configMaps, name));
  const first = await world.list(configMaps, { query: "limit=1" });
  await world.put(configMaps, newObject(configMaps, "d"));
  await world.store.compact(await world.store.revision());
  const next = world.list(configMaps, { query: `limit=1&continue=${first.metadata.continue}` });
  const error = await next.then(
    () => undefined,
    (thrown: unknown) => thrown as { code: number; reason: string; status: { metadata: { continue: string } } },
  );
  expect(error).toMatchObject({ code: 410, reason: "Expired" });
  const rest = await world.list(configMaps, { query: `continue=${error?.status.metadata.continue}` });
  expect(rest.items.map(({ metadata }) => metadata.name)).toEqual(["b", "c", "d"]);
});

test.each([
  ["resourceVersionMatch=Exact", 422, "resourceVersionMatch is forbidden unless resourceVersion is provided"],
  ["resourceVersionMatch=Exact&resourceVersion=0", 422, 'resourceVersionMatch "exact" is forbidden'],
  ["resourceVersionMatch=Newest&resourceVersion=1", 422, 'supported values: "Exact", "NotOlderThan", ""'],
  ["sendInitialEvents=true", 422, "sendInitialEvents is forbidden for list"],
  ["resourceVersion=abc", 400, 'strconv.ParseUint: parsing "abc": invalid syntax'],
  ["limit=x", 400, 'strconv.ParseInt: parsing "x": invalid syntax'],
  ["continue=%%%", 400, "continue key is not valid"],
  ["continue=eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MX0", 400, "encoded start key empty"],
  ["labelSelector=a%20in", 400, "unable to parse requirement"],
  ["fieldSelector=spec.color%3Dred", 400, "field label not supported: spec.color"],
])("bad options are told as upstream tells them: %s", async (query, code, text) => {
  const world = await startWorld({ clock: manualClock() });
  await expect(world.ask("list", pods, { query })).rejects.toMatchObject({
    code,
    message: expect.stringContaining(text) as string,
  });
});

test("resourceVersion: exact is the past, a future one is waited for and then 504", async () => {
  const world = await startWorld({ clock: manualClock() });
  const first = await world.put(configMaps, newObject(configMaps, "a"));
  await world.put(configMaps, newObject(configMaps, "b"));
  const exact = await world.list(configMaps, { query: `resourceVersion=${first.revision}&resourceVersionMatch=Exact` });
  expect(exact.items.map(({ metadata }) => metadata.name)).toEqual(["a"]);
  expect(exact.metadata.resourceVersion).toBe(String(first.revision));

  const future = world.ask("list", configMaps, { query: "resourceVersion=100" });
  const outcome = expect(future).rejects.toMatchObject({
    code: 504,
    message: "Timeout: Too large resource version: 100, current: 3",
    status: { details: { causes: [{ reason: "ResourceVersionTooLarge" }], retryAfterSeconds: 1 } },
  });
  await world.clock.advance(3_000);
  await outcome;
});

test("resourceVersion=0 answers from the cache while the store is down; a consistent read is 503", async () => {
  let isDown = false;
  const world = await startWorld({
    clock: manualClock(),
    faults: (store) => ({
      ...store,
      revision: (signal) =>
        isDown ? Promise.reject(new StoreUnavailable("no member answers", "none")) : store.revision(signal),
    }),
  });
  await world.put(configMaps, newObject(configMaps, "a"));
  expect((await world.list(configMaps)).items).toHaveLength(1);
  isDown = true;
  expect((await world.list(configMaps, { query: "resourceVersion=0&limit=500" })).items).toHaveLength(1);
  await expect(world.list(configMaps)).rejects.toMatchObject({ code: 503 });
});

test("a namespace is a range, all namespaces are all, and cluster-scoped kinds have none", async () => {
  const world = await startWorld({ clock: manualClock() });
  for (const namespace of ["shop", "shop-2", "shop2", "sho"])
    await world.put(configMaps, newObject(configMaps, "a", { metadata: { namespace } }));
  await world.put(nodes, newObject(nodes, "n1"));
  expect((await world.list(configMaps)).items).toHaveLength(1);
  expect((await world.list(configMaps, { namespace: "" })).items).toHaveLength(4);
  expect((await world.list(nodes)).items).toHaveLength(1);
  const named = await world.list(configMaps, { namespace: "", query: "fieldSelector=metadata.name%3Da" });
  expect(named.items).toHaveLength(4);
  const one = await world.list(configMaps, { namespace: "shop2", query: "fieldSelector=metadata.name%3Da" });
  expect(one.items).toHaveLength(1);
});

const listSchema = schemaOf("v1", "ConfigMapList") as StructureSchema;
const json = (bytes: Uint8Array): unknown => JSON.parse(Buffer.from(bytes).toString());

test.each([
  ["application/json", json],
  // Ours takes no document of this length that is not JSON.
  ["application/yaml", (bytes: Uint8Array): unknown => parse(Buffer.from(bytes).toString())],
  ["application/vnd.kubernetes.protobuf", (bytes: Uint8Array) => decodeProtobuf(bytes, listSchema)],
])("a long list is made in pieces while it is read, a short one and none read alike: %s", async (accept, decode) => {
  const world = await startWorld({ clock: manualClock() });
  const textOfSize = (bytes: number): string => "x".repeat(bytes);
  const read = async (): Promise<ListAnswer> => {
    const { headers, body } = await world.ask("list", configMaps, { accept });
    const pieces: Uint8Array[] = [];
    for await (const piece of body as AsyncIterable<Uint8Array>) pieces.push(piece);
    expect(Math.max(...pieces.map(({ length }) => length))).toBeLessThan(32 << 10);
    const whole = Buffer.concat(pieces);
    if (accept !== "application/yaml") expect(headers["content-length"]).toBe(String(whole.length));
    return decode(whole) as ListAnswer;
  };
  expect((await read()).items ?? []).toEqual([]);
  const sizes = [10, 20_000, 3_000, ...Array.from({ length: 600 }, (_, i) => i * 2)];
  for (const [i, size] of sizes.entries())
    await world.put(
      configMaps,
      newObject(configMaps, `c${String(i).padStart(3, "0")}`, { data: { text: textOfSize(size) } }),
    );
  const list = await read();
  expect(list).toMatchObject({ kind: "ConfigMapList", apiVersion: "v1" });
  expect(list.metadata.resourceVersion).toBe(String(sizes.length + 1));
  expect(list.items.map(({ data }) => (data as { text?: string }).text?.length ?? 0)).toEqual(sizes);
});

test("protobuf, YAML, partial metadata and tables are forms of the same list", async () => {
  const world = await startWorld({ clock: manualClock() });
  for (let i = 0; i < 300; i++)
    await world.put(configMaps, newObject(configMaps, `c${i}`, { data: { text: "x".repeat(i * 3) } }));
  const plain = await world.list(configMaps);
  const accept = "application/vnd.kubernetes.protobuf, */*";
  const protobuf = await world.ask("list", configMaps, { accept });
  const decoded = decodeProtobuf(await bytesOf(protobuf.body), listSchema) as unknown as typeof plain;
  expect(decoded.metadata).toMatchObject(plain.metadata);
  expect(decoded.items.map(({ data }) => data)).toEqual(plain.items.map(({ data }) => data));

  const partial = await world.list(configMaps, {
    accept: "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
  });
  expect(partial).toMatchObject({ kind: "PartialObjectMetadataList", apiVersion: "meta.k8s.io/v1" });
  expect(partial.items[7]).toEqual({
    kind: "PartialObjectMetadata",
    apiVersion: "meta.k8s.io/v1",
    metadata: plain.items[7]?.metadata,
  });

  const tableAccept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
  const table = JSON.parse(
    await textOf(await world.ask("list", configMaps, { accept: tableAccept, query: "limit=2" })),
  ) as {
    rows: { cells: unknown[]; object: unknown }[];
    columnDefinitions: { name: string }[];
    metadata: { continue: string };
  };
  expect(table.columnDefinitions[0]?.name).toBe("Name");
  expect(table.rows).toHaveLength(2);
  expect(table.rows[0]).toMatchObject({ object: { kind: "PartialObjectMetadata", metadata: { name: "c0" } } });
  expect(table.rows[0]?.cells[0]).toBe("c0");
  expect(table.metadata.continue).toBeDefined();

  const yaml = await textOf(await world.ask("list", configMaps, { accept: "application/yaml", query: "limit=1" }));
  expect(yaml).toContain("kind: ConfigMapList");
  await expect(world.ask("list", configMaps, { accept: "text/html" })).rejects.toMatchObject({ code: 406 });
});
