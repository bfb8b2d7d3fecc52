/** Every resource of a GA version of v1.36 is served with upstream's kind, scope and verbs, or listed with the reason why not. */
import { readFileSync } from "node:fs";
import { kinds, views } from "@pilothouse/kinds";
import { describe, expect, it } from "vitest";
import { virtualKinds } from "../../services/apiserver/src/registry/virtual-kinds.ts";
import { UNSERVED_GROUPS, UNSERVED_RESOURCES } from "./exceptions.ts";

interface PublishedOperation {
  readonly "x-kubernetes-action"?: string;
  readonly "x-kubernetes-group-version-kind"?: { readonly kind: string };
}

interface Published {
  /** `apps/v1/deployments` */
  readonly name: string;
  readonly group: string;
  kind: string;
  namespaced: boolean;
  readonly actions: Set<string>;
}

const { paths } = JSON.parse(readFileSync(new URL("openapi-v1.36.json", import.meta.url), "utf8")) as {
  paths: Record<string, Record<string, PublishedOperation>>;
};
const published = publishedResources();
const served = [...kinds, ...views, ...virtualKinds];

describe("every GA resource", () => {
  it("is found in the published API", () => {
    expect(published.size).toBe(68);
  });

  it.each([...published.values()])("$name is served or listed", (resource) => {
    const ours = served.find((kind) => nameOf(kind) === resource.name);
    if (!ours) {
      expect(resource.group in UNSERVED_GROUPS || resource.name in UNSERVED_RESOURCES).toBe(true);
      return;
    }
    expect(ours.kind).toBe(resource.kind);
    expect(ours.namespaced).toBe(resource.namespaced);
    const verbs = [...resource.actions].map((action) => VERBS[action]).filter((verb) => verb !== undefined);
    expect(new Set(ours.verbs)).toEqual(new Set(verbs));
  });

  it("is not invented here", () => {
    expect(served.map(nameOf).filter((name) => !published.has(name))).toEqual([]);
  });
});

const VERBS: Readonly<Record<string, string>> = {
  get: "get",
  list: "list",
  watch: "watch",
  watchlist: "watch",
  post: "create",
  put: "update",
  patch: "patch",
  delete: "delete",
  deletecollection: "deletecollection",
};

function nameOf(kind: { group: string; version: string; resource: string }): string {
  return [kind.group, kind.version, kind.resource].filter((part) => part !== "").join("/");
}

function publishedResources(): Map<string, Published> {
  const resources = new Map<string, Published>();
  for (const [path, item] of Object.entries(paths)) {
    const match =
      /^\/apis?\/(?:([^/]+)\/)?(v\d+)\/(?:watch\/)?(namespaces\/\{namespace\}\/)?([a-z]+)(?:\/\{name\})?$/.exec(path);
    if (!match) continue;
    const [, group = "", version = "", scope, resource = ""] = match;
    const name = nameOf({ group, version, resource });
    const known = resources.get(name) ?? { name, group, kind: "", namespaced: false, actions: new Set<string>() };
    resources.set(name, known);
    known.namespaced ||= scope !== undefined;
    for (const operation of Object.values(item)) {
      const action = operation["x-kubernetes-action"];
      if (!action) continue;
      known.actions.add(action);
      known.kind = operation["x-kubernetes-group-version-kind"]?.kind ?? known.kind;
    }
  }
  return resources;
}
