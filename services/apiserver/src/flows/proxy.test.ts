import type { ApiResponse } from "@pilothouse/api/http";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { apiserverStory, type Asked, type Story } from "../story.fixture.ts";
import type { ForwardedRequest } from "./node-proxy.ts";

const BASE = "/api/v1/namespaces/default";
let story: Story;
let forwarded: ForwardedRequest[] = [];
let answer: ApiResponse | Error;

beforeAll(async () => {
  story = await apiserverStory("a", {
    nodeProxy: {
      get: () => Promise.reject(new Error("no logs here")),
      forward: (request) => {
        forwarded.push(request);
        return answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer);
      },
    },
  });
  const post = (resource: string, body: object) => story.ask("POST", `${BASE}/${resource}`, { body });
  await post("serviceaccounts", { metadata: { name: "default" } });
  const containers = [{ name: "c", image: "pilothouse.local/web", ports: [{ containerPort: 8080 }] }];
  await post("pods", { metadata: { name: "web" }, spec: { containers } });
  await story.ask("PATCH", `${BASE}/pods/web/status`, {
    contentType: "application/merge-patch+json",
    body: { status: { podIP: "198.18.0.5", podIPs: [{ ip: "198.18.0.5" }] } },
  });
  await post("services", {
    metadata: { name: "web" },
    spec: { ports: [{ name: "http", port: 80, targetPort: 8080 }] },
  });
  const addresses = [
    { ip: "203.0.113.9", targetRef: { kind: "Pod", name: "web", namespace: "default" } },
    { ip: "198.18.0.5", targetRef: { kind: "Pod", name: "web", namespace: "default" } },
  ];
  await post("endpoints", {
    metadata: { name: "web" },
    subsets: [{ addresses, ports: [{ name: "http", port: 8080 }] }],
  });
});
afterAll(() => story.close());
beforeEach(() => {
  forwarded = [];
  answer = { status: 200, headers: { "content-type": "text/plain" }, body: Buffer.from("foo") };
});

describe("a proxied request", () => {
  it.each(["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"])(
    "goes to pod and Service by %s",
    async (method) => {
      for (const target of ["pods/web", "services/web:http", "services/http:web:80"]) {
        const { status, text } = await story.ask(method, `${BASE}/${target}/proxy/some/path%2F/?a=1&a=2`, {
          raw: "body",
        });
        expect([status, text]).toEqual([200, method === "HEAD" ? "" : "foo"]);
        const { address, path, body } = forwarded.at(-1) as ForwardedRequest;
        expect(address).toMatchObject({ host: "198.18.0.5", port: 8080, over: "http" });
        expect(path).toBe("/some/path%2F/?a=1&a=2");
        expect(Buffer.from(body).toString()).toBe("body");
      }
    },
  );

  it("of the bare proxy is sent on to its slash by GET and HEAD, and goes there by the others", async () => {
    for (const method of ["GET", "HEAD"]) {
      const { status, headers } = await story.ask(method, `${BASE}/pods/web/proxy?method=${method}`);
      expect([status, headers["location"]]).toEqual([301, `${BASE}/pods/web/proxy/?method=${method}`]);
    }
    expect(forwarded).toEqual([]);
    await story.ask("POST", `${BASE}/pods/web/proxy?method=POST`);
    expect(forwarded[0]?.path).toBe("/?method=POST");
  });

  it("brings the backend's refusals and redirects through, links turned", async () => {
    answer = { status: 302, headers: { location: "/login" }, body: new Uint8Array() };
    const moved = await story.ask("GET", `${BASE}/services/web:http/proxy/a`);
    expect([moved.status, moved.headers["location"]]).toEqual([302, `${BASE}/services/web:http/proxy/login`]);
    const body = (async function* () {
      yield Buffer.from('<a href="/');
      yield Buffer.from('x">x</a>');
    })();
    answer = { status: 404, headers: { "content-type": "text/html; charset=utf-8" }, body };
    const page = await story.ask("GET", `${BASE}/pods/web/proxy/a`);
    expect([page.status, page.text]).toEqual([404, `<a href="${BASE}/pods/web/proxy/x">x</a>`]);
  });

  it.each([
    ["pods/ftp:web:1", 400, 'invalid pod request "ftp:web:1"'],
    ["pods/none", 404, 'pods "none" not found'],
    ["services/none:http", 404, 'endpoints "none" not found'],
    ["services/web:81", 503, 'no service port 81 found for service "web"'],
    ["services/web", 503, 'no endpoints available for service "web"'],
  ])("to %s is refused in upstream's words", async (target, status, message) => {
    expect(await story.ask("GET", `${BASE}/${target}/proxy/`)).toMatchObject({ status, json: { message } });
    expect(forwarded).toEqual([]);
  });

  it("is told when nobody answers", async () => {
    answer = new Error("connect ECONNREFUSED 198.18.0.5:8080");
    expect(await story.ask("GET", `${BASE}/pods/web/proxy/`)).toMatchObject({
      status: 503,
      json: { message: "error trying to reach service: connect ECONNREFUSED 198.18.0.5:8080" },
    });
  });

  it("needs the verb of its method on the proxy itself", async () => {
    const as = { name: "reader", groups: [] };
    const RBAC = "/apis/rbac.authorization.k8s.io/v1/namespaces/default";
    await story.ask("POST", `${RBAC}/roles`, {
      body: { metadata: { name: "r" }, rules: [{ apiGroups: [""], resources: ["pods/proxy"], verbs: ["get"] }] },
    });
    await story.ask("POST", `${RBAC}/rolebindings`, {
      body: {
        metadata: { name: "r" },
        subjects: [{ kind: "User", name: "reader" }],
        roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "Role", name: "r" },
      },
    });
    const ask = async (method: string, target: string, more: Asked = {}) =>
      (await story.ask(method, `${BASE}/${target}`, { ...more, as })).status;
    expect(await ask("GET", "pods/web/proxy/")).toBe(200);
    expect(await ask("HEAD", "pods/web/proxy/")).toBe(200);
    expect(await ask("POST", "pods/web/proxy/")).toBe(403);
    expect(await ask("OPTIONS", "pods/web/proxy/")).toBe(403);
    expect(await ask("GET", "services/web:http/proxy/")).toBe(403);
    expect(await ask("GET", "pods/web")).toBe(403);
  });

  it("by a WebSocket may bring its token among the protocols", async () => {
    const token = (await story.ask("POST", `${BASE}/serviceaccounts/default/token`, { body: { spec: {} } })).json[
      "status"
    ]?.["token"] as unknown as string;
    const ask = async (protocols: string) => {
      const judged = await story.service.upgrade({
        method: "GET",
        path: "/apis/authentication.k8s.io/v1/selfsubjectreviews",
        query: new URLSearchParams("watch=true"),
        headers: { upgrade: "websocket", "sec-websocket-protocol": protocols },
        body: new Uint8Array(),
        peer: { address: "198.51.100.1" },
        signal: new AbortController().signal,
      });
      if (!("refusal" in judged)) throw new Error("agreed to");
      return Buffer.from(judged.refusal.body as Uint8Array).toString();
    };
    const bearer = `base64url.bearer.authorization.k8s.io.${Buffer.from(token).toString("base64url")}`;
    expect(await ask(`${bearer}, mine`)).toContain("system:serviceaccount:default:default");
    expect(await ask("mine")).toContain("system:anonymous");
    expect(await ask(`${bearer}x, mine`)).toContain("Unauthorized");
  });

  it("may become another protocol", async () => {
    const judged = await story.service.upgrade({
      method: "GET",
      path: `${BASE}/pods/https:web:9443/proxy/ws`,
      query: new URLSearchParams("a=b"),
      headers: {},
      body: new Uint8Array(),
      peer: { address: "198.51.100.1", certificate: { commonName: "admin", organizations: ["system:masters"] } },
      signal: new AbortController().signal,
    });
    expect(judged).toMatchObject({
      target: { address: { node: "", host: "198.18.0.5", port: 9443, over: "https" }, path: "/ws?a=b" },
    });
  });
});
