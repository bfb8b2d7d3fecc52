import { describe, expect, it } from "vitest";
import { nameInSelector, requestInfoOf } from "./request-info.ts";

function info(method: string, target: string) {
  const [path = "", query = ""] = target.split("?");
  return requestInfoOf(method, path, new URLSearchParams(query));
}

describe("what a request means", () => {
  it.each([
    ["GET", "/api/v1/pods", "list", "", "pods", "", ""],
    ["GET", "/api/v1/namespaces/a/pods", "list", "a", "pods", "", ""],
    ["GET", "/api/v1/namespaces/a/pods?watch=true", "watch", "a", "pods", "", ""],
    ["GET", "/api/v1/namespaces/a/pods?watch=false", "list", "a", "pods", "", ""],
    ["GET", "/api/v1/namespaces/a/pods/p", "get", "a", "pods", "p", ""],
    ["GET", "/api/v1/namespaces/a/pods/p/log", "get", "a", "pods", "p", "log"],
    ["POST", "/api/v1/namespaces/a/pods/p/exec", "create", "a", "pods", "p", "exec"],
    ["DELETE", "/apis/apps/v1/namespaces/a/deployments", "deletecollection", "a", "deployments", "", ""],
    ["DELETE", "/apis/apps/v1/namespaces/a/deployments/d", "delete", "a", "deployments", "d", ""],
    ["PATCH", "/apis/apps/v1/namespaces/a/deployments/d/status", "patch", "a", "deployments", "d", "status"],
    ["GET", "/api/v1/namespaces", "list", "", "namespaces", "", ""],
    ["GET", "/api/v1/namespaces/a", "get", "a", "namespaces", "a", ""],
    ["PUT", "/api/v1/namespaces/a/finalize", "update", "a", "namespaces", "a", "finalize"],
    ["GET", "/api/v1/nodes/n%2D1", "get", "", "nodes", "n-1", ""],
  ])("%s %s", (method, target, verb, namespace, resource, name, subresource) => {
    expect(info(method, target)).toMatchObject({
      isResourceRequest: true,
      verb,
      namespace,
      resource,
      name,
      subresource,
    });
  });

  it.each(["/", "/api", "/api/v1", "/apis/apps/v1", "/healthz", "/api//pods/"])("%s is no resource", (path) => {
    expect(info("GET", path)).toMatchObject({ isResourceRequest: false, verb: "get" });
  });

  it("refuses what would reach into another namespace's keys, and broken escapes", () => {
    expect(info("GET", "/api/v1/namespaces/a%2Fb/pods/p")).toBeUndefined();
    expect(info("GET", "/api/v1/namespaces/a/pods/..%2Fb%2Fp")).toBeUndefined();
    expect(info("GET", "/api/v1/namespaces/a/pods/%ZZ")).toBeUndefined();
  });

  it("finds the name that a field selector asks for", () => {
    expect(nameInSelector(new URLSearchParams("fieldSelector=metadata.name%3Dx"))).toBe("x");
    expect(nameInSelector(new URLSearchParams("fieldSelector=metadata.name!%3Dx"))).toBe("");
  });
});
