/** What an apiserver whose cache lags answers is what one with the newest would (C2); and it costs the store one call. */
import { manualClock } from "@pilothouse/clock/manual";
import type { Store } from "@pilothouse/store";
import { memoryStore } from "@pilothouse/store/memory";
import { expect, test } from "vitest";
import { heldWatch } from "../../held-watch.fixture.ts";
import { apiserverStory, type Answer, type Asked, type Story } from "../../story.fixture.ts";

const MAPS = "/api/v1/namespaces/default/configmaps";
const HOLD = "example.com/hold";

type State = Readonly<Record<string, unknown>> | undefined;

/** What a copy may look like, and what may have become of it since. */
const STATES: Readonly<Record<string, State>> = {
  absent: undefined,
  one: { data: { v: "1" } },
  two: { data: { v: "2", w: "2" } },
  frozen: { data: { v: "1" }, immutable: true },
  dying: { data: { v: "1" }, metadata: { finalizers: [HOLD] } },
};

/** What clients know of the object when they ask. */
interface Known {
  readonly name: string;
  readonly uid: string | undefined;
  readonly resourceVersion: string | undefined;
}

type Question = (before: Known, now: Known) => readonly [method: string, query: string, asked: Asked];

const put =
  (v: string, metadata: (before: Known, now: Known) => object = () => ({}), query = ""): Question =>
  (before, now) => ["PUT", query, { body: { metadata: { ...metadata(before, now) }, data: { v } } }];

const patch =
  (dialect: string, body: (before: Known, now: Known) => unknown, query = ""): Question =>
  (before, now) => ["PATCH", query, { body: body(before, now), contentType: `application/${dialect}` }];

const remove =
  (options: (before: Known, now: Known) => object = () => ({})): Question =>
  (before, now) => ["DELETE", "", { body: options(before, now) }];

const QUESTIONS: Readonly<Record<string, Question>> = {
  "put 1": put("1"),
  "put 2": put("2"),
  "put 1 at the old version": put("1", ({ resourceVersion }) => ({ resourceVersion })),
  "put 1 at the new version": put("1", (_, { resourceVersion }) => ({ resourceVersion })),
  "put 1 with the old uid": put("1", ({ uid }) => ({ uid })),
  "put 1, dry run": put("1", () => ({}), "?dryRun=All"),
  "merge 1": patch("merge-patch+json", () => ({ data: { v: "1" } })),
  "merge 2": patch("merge-patch+json", () => ({ data: { v: "2" } })),
  "merge at the old version": patch("merge-patch+json", ({ resourceVersion = null }) => ({
    metadata: { resourceVersion },
    data: { v: "3" },
  })),
  "merge at the new version": patch("merge-patch+json", (_, { resourceVersion = null }) => ({
    metadata: { resourceVersion },
    data: { v: "3" },
  })),
  "merge without finalizers": patch("merge-patch+json", () => ({ metadata: { finalizers: null } })),
  "json, if it is 1": patch("json-patch+json", () => [
    { op: "test", path: "/data/v", value: "1" },
    { op: "replace", path: "/data/v", value: "3" },
  ]),
  "json to 1": patch("json-patch+json", () => [{ op: "replace", path: "/data/v", value: "1" }]),
  "json without w": patch("json-patch+json", () => [{ op: "remove", path: "/data/w" }]),
  "strategic 1": patch("strategic-merge-patch+json", () => ({ data: { v: "1" } })),
  "strategic 2": patch("strategic-merge-patch+json", () => ({ data: { v: "2" } })),
  "apply 1": patch("apply-patch+yaml", () => configuration("1"), "?fieldManager=applier"),
  "apply 2": patch("apply-patch+yaml", () => configuration("2"), "?fieldManager=applier"),
  "apply 2 by force": patch("apply-patch+yaml", () => configuration("2"), "?fieldManager=applier&force=true"),
  delete: remove(),
  "delete the old one": remove(({ uid }) => ({ preconditions: { uid } })),
  "delete the new one": remove((_, { uid }) => ({ preconditions: { uid } })),
  "delete the old version": remove(({ resourceVersion }) => ({ preconditions: { resourceVersion } })),
  "delete the new version": remove((_, { resourceVersion }) => ({ preconditions: { resourceVersion } })),
  "delete, dry run": remove(() => ({ dryRun: ["All"] })),
  "delete in the foreground": remove(() => ({ propagationPolicy: "Foreground" })),
};

function configuration(v: string): object {
  return { apiVersion: "v1", kind: "ConfigMap", data: { v } };
}

/** What a lagging cache shows, and what is there. */
const LAGS: readonly (readonly [shown: string, there: string])[] = [
  ["absent", "one"],
  ["one", "absent"],
  ["one", "two"],
  ["two", "one"],
  ["one", "frozen"],
  ["frozen", "one"],
  ["frozen", "absent"],
  ["one", "dying"],
  ["dying", "one"],
  ["dying", "absent"],
];

test.each(LAGS)(
  "a cache that shows %s where there is %s: answers and objects are what the newest cache makes of them",
  async (shown, there) => {
    const clock = manualClock();
    const store = memoryStore({ clock });
    const lag = heldWatch(store);
    const newest = await apiserverStory("newest", { store, clock });
    const lagging = await apiserverStory("lagging", { store: lag.wrapped, clock });
    const twins = Object.entries(QUESTIONS).flatMap(([title, question], i) => [
      { title, question, asker: newest, name: `newest-${i}` },
      { title, question, asker: lagging, name: `lagging-${i}` },
    ]);
    const before: Known[] = [];
    for (const { name } of twins) before.push(await bring(newest, name, undefined, shown));
    lag.state.holds = true;
    const now: Known[] = [];
    for (const { name } of twins) now.push(await bring(newest, name, shown, there));

    const outcomes: { readonly title: string; readonly outcome: string }[] = [];
    for (const [i, { title, question, asker, name }] of twins.entries()) {
      const [method, query, asked] = question(before[i] as Known, now[i] as Known);
      const answer = await asker.ask(method, `${MAPS}/${name}${query}`, asked);
      const object = await newest.ask("GET", `${MAPS}/${name}`);
      outcomes.push({ title, outcome: `${comparable(answer, name)} leaves ${comparable(object, name)}` });
    }
    const [ofNewest, ofLagging] = [0, 1].map((parity) => outcomes.filter((_, i) => i % 2 === parity));
    expect(ofLagging).toEqual(ofNewest);
    lag.release();
    await Promise.all([newest.close(), lagging.close()]);
  },
);

/** Makes the object look like a state: by a PUT where the same object can, else by a new object of that name. */
async function bring(story: Story, name: string, from: string | undefined, to: string): Promise<Known> {
  const path = `${MAPS}/${name}`;
  const state = STATES[to];
  const isMutable = (state: string | undefined): boolean => state === "one" || state === "two";
  if (isMutable(from) && isMutable(to))
    return known(name, await story.ask("PUT", path, { body: { metadata: {}, ...state } }));
  if (from === "dying") {
    const free = { body: { metadata: { finalizers: null } }, contentType: "application/merge-patch+json" };
    await story.ask("PATCH", path, free);
  } else if (from !== undefined && from !== "absent") await story.ask("DELETE", path);
  if (!state) return { name, uid: undefined, resourceVersion: undefined };
  const body = { ...state, metadata: { name, ...(state["metadata"] as object | undefined) } };
  const made = await story.ask("POST", MAPS, { body });
  return known(name, to === "dying" ? await story.ask("DELETE", path) : made);
}

function known(name: string, { status, json }: Answer): Known {
  expect([200, 201]).toContain(status);
  const { uid, resourceVersion } = json["metadata"] as unknown as { uid: string; resourceVersion: string };
  return { name, uid, resourceVersion };
}

/** Without what differs between twins: names, uids and revisions. */
function comparable({ status, text }: Answer, name: string): string {
  return `${status} ${text
    .replaceAll(name, "<name>")
    .replaceAll(/[0-9a-f]{8}-[0-9a-f-]{27}/g, "<uid>")
    .replaceAll(/"resourceVersion":"\d+"/g, '"resourceVersion":"<revision>"')
    .replaceAll(/(ResourceVersion in [a-z ]+): \d+/g, "$1: <revision>")}`;
}

test("a PUT, a PATCH and a DELETE of what the cache holds cost the store one call each", async () => {
  const clock = manualClock();
  const { store, calls } = counted(memoryStore({ clock }));
  const story = await apiserverStory("a", { store, clock });
  await story.ask("POST", MAPS, { body: { metadata: { name: "c" }, data: { v: "1" } } });
  const costOf = async (question: Question): Promise<readonly string[]> => {
    calls.length = 0;
    const nobody = { name: "c", uid: undefined, resourceVersion: undefined };
    const [method, query, asked] = question(nobody, nobody);
    expect((await story.ask(method, `${MAPS}/c${query}`, asked)).status).toBe(200);
    return [...calls];
  };
  expect(await costOf(put("2"))).toEqual(["txn"]);
  expect(await costOf(patch("merge-patch+json", () => ({ data: { v: "3" } })))).toEqual(["txn"]);
  expect(await costOf(patch("merge-patch+json", () => ({ data: { v: "3" } })))).toEqual(["get"]);
  expect(await costOf(remove())).toEqual(["txn"]);
  await story.close();
});

test("a write on a lagging copy costs one call more: the refused transaction brings what is there", async () => {
  const clock = manualClock();
  const truth = memoryStore({ clock });
  const first = await apiserverStory("first", { store: truth, clock });
  const { store, calls } = counted(truth);
  const lag = heldWatch(store);
  const other = await apiserverStory("other", { store: lag.wrapped, clock });
  await first.ask("POST", MAPS, { body: { metadata: { name: "c" }, data: { v: "1" } } });
  lag.state.holds = true;
  await first.ask("PUT", `${MAPS}/c`, { body: { metadata: {}, data: { v: "2" } } });
  calls.length = 0;
  const { json } = await other.ask("PATCH", `${MAPS}/c`, {
    body: { data: { w: "3" } },
    contentType: "application/merge-patch+json",
  });
  expect(json["data"]).toEqual({ v: "2", w: "3" });
  expect(calls).toEqual(["txn", "txn"]);
  await Promise.all([first.close(), other.close()]);
});

/** Counts the calls about the object; the apiserver's own go on beside them. */
function counted(truth: Store): { readonly store: Store; readonly calls: string[] } {
  const calls: string[] = [];
  const isAbout = (key: string): boolean => key === "/registry/core/configmaps/default/c";
  const store: Store = {
    ...truth,
    get: (key, options) => {
      if (isAbout(key)) calls.push("get");
      return truth.get(key, options);
    },
    txn: (txn) => {
      if (txn.compares.some(({ key }) => isAbout(key))) calls.push("txn");
      return truth.txn(txn);
    },
  };
  return { store, calls };
}
