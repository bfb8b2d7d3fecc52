import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { requestInfoOf } from "../request-info.ts";
import { answeredHeaders, forwardedHeaders } from "./headers.ts";
import { rewrittenHtml, rewrittenLink } from "./links.ts";
import { proxiedPath } from "./path.ts";
import { nodeTarget, podTarget, proxyNameOf, serviceBackends, servicePortName } from "./target.ts";

const PREFIX = "/api/v1/namespaces/a/pods/p/proxy";
const rewriting = { prefix: PREFIX, backendHost: "198.18.0.5:80", requestHost: "api:6443" };
const podAt = (ip: string, ports: object[] = []) =>
  ({ metadata: { name: "p" }, spec: { containers: [{ name: "c", ports }] }, status: { podIPs: [{ ip }] } }) as never;

describe("a name in the path", () => {
  it.each([
    ["p", ["", "p", ""]],
    ["p:80", ["", "p", "80"]],
    ["https:p:web", ["https", "p", "web"]],
    ["http:p:", ["http", "p", ""]],
    [":p:80", ["", "p", "80"]],
  ])("%s", (id, [scheme, name, port]) => {
    expect(proxyNameOf(id, "pod")).toEqual({ scheme, name, port });
  });

  it.each(["ftp:p:80", "a:b:c:d", "https::80", ":80", ""])("%s is refused in upstream's words", (id) => {
    expect(() => proxyNameOf(id, "service")).toThrow(`invalid service request ${JSON.stringify(id)}`);
  });
});

describe("whom a request goes to", () => {
  it("a pod's first port, the one that is asked for, or the scheme's own", () => {
    const pod = podAt("198.18.0.5", [{ containerPort: 8080 }]);
    expect(podTarget(pod, proxyNameOf("p", "pod"))).toMatchObject({ host: "198.18.0.5", port: 8080, over: "http" });
    expect(podTarget(pod, proxyNameOf("https:p:9", "pod"))).toMatchObject({ port: 9, over: "https" });
    expect(podTarget(podAt("198.18.0.5"), proxyNameOf("https:p:", "pod"))).toMatchObject({ port: 443 });
  });

  it.each([
    "",
    "127.0.0.1",
    "0.0.0.0",
    "169.254.169.254",
    "224.0.0.1",
    "255.255.255.255",
    "::1",
    "fe80::1",
    "ff02::1",
    "::ffff:127.0.0.1",
  ])("never the address %j, whatever a pod's status says", (ip) => {
    expect(() => podTarget(podAt(ip), proxyNameOf("p:80", "pod"))).toThrow("address not allowed");
  });

  it("a Service's port by number or by name", () => {
    const service = { spec: { ports: [{ port: 80, name: "web" }, { port: 81 }] } } as never;
    expect(servicePortName(service, proxyNameOf("s:80", "service"))).toBe("web");
    expect(servicePortName(service, proxyNameOf("s:81", "service"))).toBe("");
    expect(servicePortName(service, proxyNameOf("s:other", "service"))).toBe("other");
    expect(() => servicePortName(service, proxyNameOf("s:82", "service"))).toThrow(
      'no service port 82 found for service "s"',
    );
  });

  it("each ready address that serves the port once, wherever it begins", () => {
    const address = (ip: string) => ({ ip, targetRef: { kind: "Pod", name: ip, namespace: "a" } });
    const subsets = [
      { addresses: [address("198.18.0.1"), address("198.18.0.2")], ports: [{ name: "web", port: 8080 }] },
      { addresses: [address("198.18.0.3")], ports: [{ name: "web", port: 9090 }] },
      { addresses: [address("198.18.0.4")], ports: [{ name: "other", port: 1 }] },
      { addresses: [{ ip: "198.18.0.9" }], ports: [{ name: "web", port: 8080 }] },
    ];
    fc.assert(
      fc.property(fc.double({ min: 0, max: 0.999, noNaN: true }), (chance) => {
        const found = [...serviceBackends({ metadata: {}, subsets }, "web", proxyNameOf("s", "service"), () => chance)];
        const shown = found.map(({ target: { host, port } }) => `${host}:${port}`);
        expect(shown.toSorted()).toEqual(["198.18.0.1:8080", "198.18.0.2:8080", "198.18.0.3:9090"]);
      }),
    );
  });

  it("a node's kubelet with our identity, another port of the node without", () => {
    const node = {
      metadata: { name: "n" },
      status: {
        addresses: [{ type: "InternalIP", address: "198.51.100.21" }],
        daemonEndpoints: { kubeletEndpoint: { Port: 10250 } },
      },
    } as never;
    expect(nodeTarget(node, proxyNameOf("n", "node"))).toEqual({ node: "n", host: "198.51.100.21", port: 10250 });
    expect(nodeTarget(node, proxyNameOf("n:10250", "node"))).not.toHaveProperty("over");
    expect(nodeTarget(node, proxyNameOf("n:9100", "node"))).toMatchObject({ port: 9100, over: "http" });
  });
});

describe("the path", () => {
  it("is cut at the proxy and kept as it came", () => {
    expect(proxiedPath(`${PREFIX}/a%2Fb//c/`)).toEqual({ prefix: PREFIX, path: "/a%2Fb//c/" });
    expect(proxiedPath(PREFIX)).toEqual({ prefix: PREFIX, path: "" });
    expect(proxiedPath(`${PREFIX}ed/x`)).toBeUndefined();
    expect(proxiedPath("/api/v1/nodes/n:1/proxy/pods")).toMatchObject({ path: "/pods" });
    expect(requestInfoOf("OPTIONS", `${PREFIX}/a%2Fb//%ZZ`, new URLSearchParams())).toMatchObject({
      verb: "",
      resource: "pods",
      subresource: "proxy",
      name: "p",
    });
  });
});

describe("headers", () => {
  it("tell the backend neither who asks by which credentials, nor how it was connected", () => {
    const headers = {
      authorization: "Bearer secret",
      "impersonate-user": "jane",
      connection: "keep-alive, x-mine",
      "x-mine": "1",
      cookie: "a=b",
      host: "api:6443",
      "x-forwarded-for": "203.0.113.1",
      accept: "text/html,*/*",
      "accept-encoding": "gzip",
    };
    const told = forwardedHeaders({ headers, peer: { address: "198.51.100.1" }, body: Buffer.from("abc") }, "/u");
    expect(told).toEqual({
      cookie: "a=b",
      host: "api:6443",
      accept: "text/html,*/*",
      "x-forwarded-for": "203.0.113.1, 198.51.100.1",
      "x-forwarded-uri": "/u",
      "content-length": "3",
    });
  });

  it("tell the client what the backend says, but not who may read it across origins", () => {
    const given = { "set-cookie": ["a", "b"], "access-control-allow-origin": "*", connection: "close" };
    expect(answeredHeaders(given)).toEqual({ "set-cookie": ["a", "b"] });
  });
});

describe("links", () => {
  it.each([
    ["/login?next=%2F#x", `${PREFIX}/login?next=%2F#x`],
    [`${PREFIX}/login`, `${PREFIX}/login`],
    ["http://198.18.0.5:80/a", `${PREFIX}/a`],
    ["https://api:6443/a", `https://api:6443${PREFIX}/a`],
    ["http://elsewhere/a", "http://elsewhere/a"],
    ["login", "login"],
    ["?page=2", "?page=2"],
    ["#top", "#top"],
    ["mailto:a@b", "mailto:a@b"],
  ])("%s", (link, expected) => {
    expect(rewrittenLink(link, rewriting)).toBe(expected);
  });

  it("are found in attributes that hold them, and nowhere else", () => {
    const page = `<HTML><!-- <a href="/no"> --><script src='/s.js'>"<a href='/no'>"</script>
<a class=x href=/go data-href="/no">/no</a> <img alt="a > b" SRC = "/i.png"><form action="/f"/><p cite="/no">\xe4`;
    expect(rewrittenHtml(page, rewriting)).toBe(
      `<HTML><!-- <a href="/no"> --><script src='${PREFIX}/s.js'>"<a href='/no'>"</script>
<a class=x href=${PREFIX}/go data-href="/no">/no</a> <img alt="a > b" SRC = "${PREFIX}/i.png"><form action="${PREFIX}/f"/><p cite="/no">\xe4`,
    );
  });

  it("leave every page whole that has none", () => {
    const pieces = ["<", ">", "<a ", "<!--", "-->", '"', "'", "=", "</", "script", "<script", "x", " ", "<p>"];
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...pieces)), (parts) => {
        expect(rewrittenHtml(parts.join(""), rewriting)).toBe(parts.join(""));
      }),
    );
  });

  it.each(['<a "', "<script>", "<a href=", `<a ${"x".repeat(50)} `])(
    "cost a hostile page of %j no more than its size",
    (piece) => {
      const page = piece.repeat(Math.ceil(1_000_000 / piece.length));
      expect(rewrittenHtml(page, rewriting)).toHaveLength(page.length);
    },
  );
});
