import { createHash } from "node:crypto";
import { kinds } from "@pilothouse/kinds";
import { describe, expect, it } from "vitest";
import { discovery, type DiscoveryAnswer } from "./discovery.ts";

const sha256Hex = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
const documents = discovery({ kinds, sha256Hex, serverAddress: "198.51.100.1:6443" });
const V2 = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

function ask(path: string, accept?: string, ifNoneMatch?: string): DiscoveryAnswer | undefined {
  return documents.answer({ path, accept, ifNoneMatch });
}

function json(path: string, accept?: string): unknown {
  return JSON.parse(Buffer.from(ask(path, accept)?.body ?? []).toString());
}

describe("legacy documents", () => {
  it("start at /api and /apis", () => {
    expect(json("/api")).toMatchObject({ kind: "APIVersions", versions: ["v1"] });
    expect(json("/apis/")).toMatchObject({
      kind: "APIGroupList",
      groups: expect.arrayContaining([
        {
          name: "apps",
          versions: [{ groupVersion: "apps/v1", version: "v1" }],
          preferredVersion: { groupVersion: "apps/v1", version: "v1" },
        },
      ]) as unknown,
    });
    expect(json("/apis/apps")).toMatchObject({ kind: "APIGroup", name: "apps" });
  });

  it("list resources and subresources, foreign kinds with their group and version (wire traps 10 and 11)", () => {
    expect(json("/api/v1")).toMatchObject({
      kind: "APIResourceList",
      groupVersion: "v1",
      resources: expect.arrayContaining([
        expect.objectContaining({ name: "pods", singularName: "pod", shortNames: ["po"], categories: ["all"] }),
        expect.objectContaining({ name: "pods/eviction", group: "policy", version: "v1", kind: "Eviction" }),
        expect.objectContaining({ name: "pods/log", kind: "Pod", verbs: ["get"] }),
      ]) as unknown,
    });
    expect(json("/apis/apps/v1")).toMatchObject({
      resources: expect.arrayContaining([
        expect.objectContaining({ name: "deployments/scale", group: "autoscaling", version: "v1", kind: "Scale" }),
      ]) as unknown,
    });
  });

  it("do not exist for unknown groups and versions", () => {
    for (const path of ["/apis/nosuch", "/apis/apps/v9", "/api/v2", "/apis/apps/v1/deployments"]) {
      expect(ask(path)).toBeUndefined();
    }
  });
});

describe("aggregated documents (wire traps 7 and 8)", () => {
  it("come from both roots, saying what they are in the Content-Type", () => {
    expect(ask("/apis", V2)?.headers["content-type"]).toBe(V2);
    expect(json("/api", V2)).toMatchObject({ kind: "APIGroupDiscoveryList", items: [{ metadata: {} }] });
    expect(json("/apis", V2.replace("v=v2", "v=v2beta1"))).toMatchObject({ apiVersion: "apidiscovery.k8s.io/v2beta1" });
    expect(ask("/apis", "application/json")?.headers["content-type"]).toBe("application/json");
  });

  it("give every resource and subresource a kind, and every version is current", () => {
    interface Entry {
      readonly responseKind: { readonly kind: string };
      readonly subresources?: readonly Entry[];
    }
    const { items } = json("/apis", V2) as {
      items: { versions: { freshness: string; resources: Entry[] }[] }[];
    };
    for (const { freshness, resources } of items.flatMap(({ versions }) => versions)) {
      expect(freshness).toBe("Current");
      for (const entry of resources.flatMap((resource) => [resource, ...(resource.subresources ?? [])])) {
        expect(entry.responseKind.kind).not.toBe("");
      }
    }
  });

  it("are kept by clients under their ETag", () => {
    const first = ask("/apis", V2);
    expect(first?.headers).toMatchObject({ vary: "Accept", "cache-control": "no-cache, private" });
    expect(ask("/apis", V2, first?.headers["etag"])?.status).toBe(304);
    expect(ask("/apis", "application/json", first?.headers["etag"])?.status).toBe(200);
  });
});
