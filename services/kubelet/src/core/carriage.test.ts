import { expect, test } from "vitest";
import { carriageOf, PORT_FORWARD_TUNNEL, type StreamVerb } from "./carriage.ts";

const KUBECTL = ["v5.channel.k8s.io"];
const CLIENT_NODE = ["v5.channel.k8s.io", "v4.channel.k8s.io", "v3.channel.k8s.io", "channel.k8s.io"];
const PYTHON = ["v4.channel.k8s.io"];

function how(verb: StreamVerb, protocols: readonly string[], upgrade = "websocket"): string | undefined {
  return carriageOf(verb, { upgrade, protocols })?.how;
}

test("exec is spoken here over WebSocket, in the newest protocol that both know", () => {
  expect(carriageOf("exec", { upgrade: "websocket", protocols: CLIENT_NODE })).toEqual({
    how: "speak",
    protocol: "v5.channel.k8s.io",
  });
  expect(carriageOf("exec", { upgrade: "websocket", protocols: PYTHON })).toEqual({
    how: "speak",
    protocol: "v4.channel.k8s.io",
  });
});

test("SPDY goes to the runtime, for all three", () => {
  for (const verb of ["exec", "attach", "portForward"] as const) expect(how(verb, [], "spdy/3.1")).toBe("splice");
});

test("attach: v4 goes to the runtime; v5 alone is refused, and kubectl comes back with SPDY", () => {
  expect(how("attach", PYTHON)).toBe("splice");
  expect(how("attach", CLIENT_NODE)).toBe("splice");
  expect(how("attach", KUBECTL)).toBeUndefined();
});

test("port-forward: kubectl's tunnel, and the channel pairs of other clients", () => {
  expect(how("portForward", [PORT_FORWARD_TUNNEL])).toBe("tunnel");
  expect(how("portForward", CLIENT_NODE)).toBe("splice");
});

test("nothing in common", () => {
  expect(how("exec", ["v9.channel.k8s.io"])).toBeUndefined();
  expect(how("portForward", [], "h2c")).toBeUndefined();
});
