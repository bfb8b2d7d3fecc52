import { describe, expect, it } from "vitest";
import { requestInfoOf } from "./request-info.ts";
import { bearerOf, framingOf, offeredProtocols, withoutBearer } from "./websocket.ts";

const LOG = "/api/v1/namespaces/a/pods/p/log";
const BEARER = `base64url.bearer.authorization.k8s.io.${Buffer.from("tok.en").toString("base64url")}`;

function framing(target: string, protocols?: string, upgrade = "websocket") {
  const [path = "", query = ""] = target.split("?");
  const info = requestInfoOf("GET", path, new URLSearchParams(query));
  if (!info) throw new Error("no request");
  return framingOf({ upgrade, ...(protocols === undefined ? {} : { "sec-websocket-protocol": protocols }) }, info);
}

describe("what a WebSocket carries", () => {
  it("logs: as bytes or in base64, by the first protocol that is known", () => {
    expect(framing(LOG)).toEqual({ protocol: "", messages: "binary" });
    expect(framing(LOG, "binary.k8s.io")).toEqual({ protocol: "binary.k8s.io", messages: "binary" });
    expect(framing(LOG, "v9, base64.binary.k8s.io")).toEqual({ protocol: "base64.binary.k8s.io", messages: "base64" });
    expect(() => framing(LOG, "v9")).toThrow(
      "requested protocol(s) are not supported: [v9]; supports [ binary.k8s.io base64.binary.k8s.io]",
    );
  });

  it("watches: a message for each event", () => {
    expect(framing("/api/v1/pods?watch=true")).toEqual({ protocol: "", messages: "lines" });
    expect(framing("/api/v1/pods?watch=1", `${BEARER}, mine`)).toEqual({ protocol: "mine", messages: "lines" });
  });

  it("nothing else", () => {
    expect(framing("/api/v1/pods")).toBeUndefined();
    expect(framing("/api/v1/namespaces/a/pods/p/exec")).toBeUndefined();
    expect(framing(LOG, undefined, "SPDY/3.1")).toBeUndefined();
  });
});

describe("a token among the protocols", () => {
  const bearer = (protocols: string) => bearerOf({ upgrade: "websocket", "sec-websocket-protocol": protocols });

  it("is the client's, beside one protocol that can be agreed to", () => {
    expect(bearer(`${BEARER}, v5.channel.k8s.io`)).toBe("tok.en");
    expect(bearer("v5.channel.k8s.io")).toBeUndefined();
    expect(bearerOf({ "sec-websocket-protocol": `${BEARER}, a` })).toBeUndefined();
    for (const wrong of [BEARER, `${BEARER}, ${BEARER}, a`, "base64url.bearer.authorization.k8s.io.!!, a"])
      expect(() => bearer(wrong)).toThrow("Unauthorized");
  });

  it("is told nobody behind the apiserver", () => {
    expect(offeredProtocols({ "sec-websocket-protocol": `a, ${BEARER},b` })).toEqual(["a", "b"]);
    expect(withoutBearer("sec-websocket-protocol", `${BEARER}, a`)).toBe("a");
    expect(withoutBearer("x-other", BEARER)).toBe(BEARER);
  });
});
