import { kindOf } from "@pilothouse/kinds";
import { describe, expect, it } from "vitest";
import { requestInfoOf } from "../core/request-info.ts";
import { isLongRunning, requestLabels } from "../core/request-labels.ts";
import { apiserverStory } from "../story.fixture.ts";

const PODS = "/api/v1/namespaces/default/pods";
const DEPLOYMENT = "/apis/apps/v1/namespaces/default/deployments/web";

function labelsOf(method: string, target: string, contentType = ""): string {
  const [path = "", text = ""] = target.split("?");
  const query = new URLSearchParams(text);
  const info = requestInfoOf(method, path, query);
  const kind = info && kindOf(info.group, info.version, info.resource);
  const labels = requestLabels({ method, query, headers: { "content-type": contentType } }, info, kind);
  const { component, ...rest } = labels;
  expect(component).toBe("apiserver");
  return `${Object.values(rest).join("|")}${isLongRunning(labels) ? " long" : ""}`;
}

describe("what a request counts as", () => {
  it.each([
    ["GET", `${PODS}/a`, "|resource|GET||v1|pods|"],
    ["GET", PODS, "|namespace|LIST||v1|pods|"],
    ["GET", "/api/v1/pods", "|cluster|LIST||v1|pods|"],
    ["GET", `${PODS}?watch=1`, "|namespace|WATCH||v1|pods| long"],
    ["GET", `${PODS}?watch=1&sendInitialEvents=true`, "|namespace|WATCHLIST||v1|pods| long"],
    ["POST", `${PODS}?dryRun=All`, "All|resource|POST||v1|pods|"],
    ["POST", `${PODS}?dryRun=Some`, "invalid|resource|POST||v1|pods|"],
    ["POST", `${PODS}/a/exec`, "|resource|CONNECT||v1|pods|exec long"],
    ["GET", `${PODS}/a/log`, "|resource|GET||v1|pods|log long"],
    ["PUT", `${DEPLOYMENT}/status`, "|resource|PUT|apps|v1|deployments|status"],
    ["DELETE", DEPLOYMENT, "|resource|DELETE|apps|v1|deployments|"],
    ["DELETE", PODS, "|namespace|DELETECOLLECTION||v1|pods|"],
    ["GET", `${PODS}/a/whatever`, "|resource|GET||v1|pods|"],
    ["GET", "/apis/x/v1/whatever", "|cluster|GET||||"],
    ["HEAD", "/livez", "||GET||||"],
    ["BREW", "/livez", "||other||||"],
  ])("%s %s", (method, target, wanted) => {
    expect(labelsOf(method, target)).toBe(wanted);
  });

  it("tells an apply from other patches", () => {
    const labels = (contentType: string): string => labelsOf("PATCH", DEPLOYMENT, contentType);
    expect(labels("application/apply-patch+yaml")).toBe("|resource|APPLY|apps|v1|deployments|");
    expect(labels("application/merge-patch+json")).toBe("|resource|PATCH|apps|v1|deployments|");
  });
});

it("requests are counted and timed by upstream's names, and the build and deprecated kinds are told", async () => {
  const story = await apiserverStory("metrics");
  await story.ask("GET", PODS);
  await story.ask("GET", "/api/v1/namespaces/default/endpoints");
  const { telemetry } = story;
  const labels = {
    verb: "LIST",
    dry_run: "",
    group: "",
    version: "v1",
    resource: "pods",
    subresource: "",
    scope: "namespace",
    component: "apiserver",
  };
  expect(telemetry.metric("apiserver_request_total", { ...labels, code: "200" })).toBe(1);
  for (const name of ["apiserver_request_duration_seconds", "apiserver_request_sli_duration_seconds"])
    expect(telemetry.metric(name, labels)).toBe(1);
  const endpoints = { group: "", version: "v1", resource: "endpoints", subresource: "", removed_release: "" };
  expect(telemetry.metric("apiserver_requested_deprecated_apis", endpoints)).toBe(1);
  const { text } = await story.ask("GET", "/metrics");
  expect(text).toContain('kubernetes_build_info{build_date="');
  expect(text).toContain('apiserver_current_inflight_requests{request_kind="readOnly"} 1');
  const { json } = await story.ask("PUT", PODS);
  expect(json).toMatchObject({
    code: 405,
    reason: "MethodNotAllowed",
    message: "the server does not allow this method on the requested resource",
  });
  await story.close();
});
