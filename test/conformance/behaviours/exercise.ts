/** "API operations" tests are of one pattern: every verb once, each seen by a watch. */
import assert from "node:assert/strict";
import type { Loose, Resource, Trial } from "../trial.ts";

export interface Exercise {
  readonly groupVersion: string;
  readonly plural: string;
  /** False for what has no namespace. */
  readonly namespaced?: boolean;
  /** An object without a name, valid as it is in this namespace. */
  readonly make: (namespace: string) => object;
  /** A change that a PUT makes; the default is an annotation. */
  readonly change?: (object: Loose) => void;
  /** What a merge patch of the status says, where there is a status: the answer must hold it. */
  readonly status?: object;
}

const MARK = "conformance-of";

/** Discovery, create, get, list (also over all namespaces), watch, patch, update, status, delete, deletecollection. */
export async function exercise(t: Trial, what: Exercise): Promise<void> {
  const { groupVersion, plural, namespaced = true } = what;
  const objects = namespaced ? t.api(groupVersion, plural) : t.clusterApi(groupVersion, plural);
  const labelSelector = `${MARK}=${t.namespace}`;
  t.afterwards(() => objects.deleteCollection({ labelSelector }));
  await isDiscovered(t, what);

  const watch = await objects.watch({
    labelSelector,
    resourceVersion: (await objects.list()).metadata.resourceVersion,
  });
  const [first, second] = [await create(t, objects, what), await create(t, objects, what)];
  const name = first.metadata.name ?? "";
  assert.equal((await objects.get(name)).metadata.uid, first.metadata.uid);
  assert.deepEqual(namesOf((await objects.list({ labelSelector })).items), namesOf([first, second]));
  if (namespaced) {
    const everywhere = await t.clusterApi(groupVersion, plural).list({ labelSelector });
    assert.deepEqual(namesOf(everywhere.items), namesOf([first, second]));
  }
  await watch.next(({ type, object }) => type === "ADDED" && object.metadata.name === name);

  const patched = await objects.patch(name, { metadata: { annotations: { patched: "yes" } } });
  assert.equal(patched.metadata.annotations?.["patched"], "yes");
  const changed = patched;
  changed.metadata.annotations = { ...changed.metadata.annotations, updated: "yes" };
  what.change?.(changed);
  const updated = await objects.update(changed);
  assert.equal(updated.metadata.annotations?.["updated"], "yes");
  const seen = await watch.next(
    ({ type, object }) => type === "MODIFIED" && object.metadata.annotations?.["updated"] === "yes",
  );
  assert.equal(seen.object.metadata.name, name);
  if (what.status) await exerciseStatus(objects, name, what.status);

  await objects.delete(name);
  await watch.next(({ type, object }) => type === "DELETED" && object.metadata.name === name);
  await t.until("the first is gone", async () => (await objects.list({ labelSelector })).items.length === 1);
  await objects.deleteCollection({ labelSelector });
  await t.until("all are gone", async () => (await objects.list({ labelSelector })).items.length === 0);
  watch.close();
}

async function create(t: Trial, objects: Resource, { make }: Exercise): Promise<Loose> {
  const object = make(t.namespace) as Loose;
  const labels = { ...object.metadata?.labels, [MARK]: t.namespace };
  return objects.create({ ...object, metadata: { ...object.metadata, generateName: "exercise-", labels } });
}

/** A status is changed by its own path, and not by the object's. */
async function exerciseStatus(objects: Resource, name: string, status: object): Promise<void> {
  const before = await objects.get(name, "status");
  const patched = await objects.patch(name, { status }, { subresource: "status" });
  assert.partialDeepStrictEqual(patched["status"], status);
  const updated = await objects.update(
    { ...patched, metadata: { ...patched.metadata, annotations: { ...patched.metadata.annotations, status: "put" } } },
    "status",
  );
  assert.partialDeepStrictEqual(updated["status"], status);
  assert.equal(updated.metadata.uid, before.metadata.uid);
}

/** The group, its version and the resource with all its verbs are in the discovery documents. */
async function isDiscovered(t: Trial, { groupVersion, plural }: Exercise): Promise<void> {
  const [group, version] = groupVersion.includes("/") ? groupVersion.split("/") : ["", groupVersion];
  const read = async (path: string): Promise<Loose> => {
    const { status, text } = await t.client.send({ method: "GET", path });
    assert.equal(status, 200, path);
    return JSON.parse(text) as Loose;
  };
  if (group) {
    const groups = (await read("/apis"))["groups"] as { name: string; versions: { version: string }[] }[];
    const found = groups.find(({ name }) => name === group);
    assert.ok(
      found?.versions.some((each) => each.version === version),
      `${groupVersion} is not in /apis`,
    );
  }
  const { resources } = (await read(group ? `/apis/${groupVersion}` : `/api/${groupVersion}`)) as unknown as {
    resources: { name: string; verbs: string[] }[];
  };
  const verbs = resources.find(({ name }) => name === plural)?.verbs ?? [];
  for (const verb of ["create", "get", "list", "watch", "update", "patch", "delete", "deletecollection"]) {
    assert.ok(verbs.includes(verb), `${plural} cannot ${verb}`);
  }
}

function namesOf(items: readonly Loose[]): readonly string[] {
  return items.map(({ metadata }) => metadata.name ?? "").sort();
}
