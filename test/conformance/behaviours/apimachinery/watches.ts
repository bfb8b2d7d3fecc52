/** Watches: what they tell, from when on, and in which order. */
import assert from "node:assert/strict";
import type { Watch } from "../../api.ts";
import type { Behaviours } from "../../behaviour.ts";
import type { Loose, Trial } from "../../trial.ts";

const LABEL = "watch-this-configmap";

function mapOf(name: string, label: string): Loose {
  return { metadata: { name, labels: { [LABEL]: label } } };
}

const is = (type: string, name: string, mutation?: string) => (event: { type: string; object: Loose }) =>
  event.type === type &&
  event.object.metadata.name === name &&
  (mutation === undefined || event.object["data"]?.mutation === mutation);

async function mutate(t: Trial, name: string, mutation: string): Promise<Loose> {
  return t.api("v1", "configmaps").patch(name, { data: { mutation } });
}

function told({ told: events }: Watch): readonly string[] {
  return events.map(({ type, object }) => `${type} ${object.metadata.name ?? ""} ${object["data"]?.mutation ?? "-"}`);
}

const named = (rest: string): string => `[sig-api-machinery] Watchers ${rest} [Conformance]`;

export const watches: Behaviours = {
  [named("should observe add, update, and delete watch notifications on configmaps")]: async (t) => {
    const maps = t.api("v1", "configmaps");
    const watchOf = (labelSelector: string): Promise<Watch> => maps.watch({ labelSelector });
    const [a, b, both] = [await watchOf(`${LABEL}=a`), await watchOf(`${LABEL}=b`), await watchOf(`${LABEL} in (a,b)`)];
    await maps.create(mapOf("one", "a"));
    await mutate(t, "one", "1");
    await mutate(t, "one", "2");
    await maps.delete("one");
    await maps.create(mapOf("two", "b"));
    await maps.delete("two");
    await both.next(is("DELETED", "two"));
    await b.next(is("DELETED", "two"));
    await a.next(is("DELETED", "one"));
    const ofOne = ["ADDED one -", "MODIFIED one 1", "MODIFIED one 2", "DELETED one 2"];
    const ofTwo = ["ADDED two -", "DELETED two -"];
    assert.deepEqual(told(a), ofOne);
    assert.deepEqual(told(b), ofTwo);
    assert.deepEqual(told(both), [...ofOne, ...ofTwo]);
  },

  [named("should be able to start watching from a specific resource version")]: async (t) => {
    const maps = t.api("v1", "configmaps");
    await maps.create(mapOf("one", "a"));
    const first = await mutate(t, "one", "1");
    await mutate(t, "one", "2");
    await maps.delete("one");
    const resourceVersion = first.metadata.resourceVersion ?? "";
    const watch = await maps.watch({ labelSelector: `${LABEL}=a`, resourceVersion });
    await watch.next(is("DELETED", "one"));
    assert.deepEqual(told(watch), ["MODIFIED one 2", "DELETED one 2"]);
  },

  [named("should be able to restart watching from the last resource version observed by the previous watch")]: async (
    t,
  ) => {
    const maps = t.api("v1", "configmaps");
    const labelSelector = `${LABEL}=a`;
    const first = await maps.watch({ labelSelector });
    await maps.create(mapOf("one", "a"));
    await mutate(t, "one", "1");
    const last = await first.next(is("MODIFIED", "one", "1"));
    first.close();
    await mutate(t, "one", "2");
    await maps.delete("one");
    const resourceVersion = last.object.metadata.resourceVersion ?? "";
    const second = await maps.watch({ labelSelector, resourceVersion });
    await second.next(is("DELETED", "one"));
    assert.deepEqual(told(second), ["MODIFIED one 2", "DELETED one 2"]);
  },

  [named("should observe an object deletion if it stops meeting the requirements of the selector")]: async (t) => {
    const maps = t.api("v1", "configmaps");
    const watch = await maps.watch({ labelSelector: `${LABEL}=a` });
    const relabel = (label: string): Promise<Loose> => maps.patch("one", { metadata: { labels: { [LABEL]: label } } });
    await maps.create(mapOf("one", "a"));
    await mutate(t, "one", "1");
    await relabel("b");
    await mutate(t, "one", "2");
    await relabel("a");
    await mutate(t, "one", "3");
    await maps.delete("one");
    await watch.next((event) => is("DELETED", "one", "3")(event));
    assert.deepEqual(told(watch), [
      "ADDED one -",
      "MODIFIED one 1",
      "DELETED one 1",
      "ADDED one 2",
      "MODIFIED one 3",
      "DELETED one 3",
    ]);
  },

  [named("should receive events on concurrent watches in same order")]: async (t) => {
    const maps = t.api("v1", "configmaps");
    const { resourceVersion } = (await maps.list()).metadata;
    const first = await maps.watch({ resourceVersion });
    for (let i = 0; i < 30; i++) {
      await maps.create({ metadata: { name: `map-${i}` } });
      await maps.patch(`map-${i}`, { data: { mutation: "1" } });
      if (i % 3 === 0) await maps.delete(`map-${i}`);
    }
    await first.next(is("MODIFIED", "map-29"));
    const versions = ({ told: events }: Watch): readonly (string | undefined)[] =>
      events.map(({ object }) => object.metadata.resourceVersion);
    const wanted = versions(first);
    const from = [0, 7, 20, 41].map((index) => ({ index, resourceVersion: wanted[index] ?? "" }));
    for (const { index, resourceVersion: at } of from) {
      const later = await maps.watch({ resourceVersion: at });
      await later.next(is("MODIFIED", "map-29"));
      assert.deepEqual(versions(later), wanted.slice(index + 1));
      later.close();
    }
  },
};
