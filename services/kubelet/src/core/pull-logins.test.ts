import { expect, test } from "vitest";
import { loginsFor, type Login } from "./pull-logins.ts";

const login = (server: string): Login => ({ server, username: server, password: "secret" });
const HUB = "https://index.docker.io/v1/";

const ROWS: readonly (readonly [image: string, servers: readonly string[], fitting: readonly string[]])[] = [
  ["busybox", [HUB, "quay.io"], [HUB]],
  ["team/web:v1", [HUB], [HUB]],
  ["docker.io/team/web", ["docker.io", HUB], ["docker.io", HUB]],
  ["docker.io/team/web", ["docker.io/team", "docker.io/other"], ["docker.io/team"]],
  ["registry.example.com/web", ["registry.example.com"], ["registry.example.com"]],
  ["registry.example.com/web", ["https://registry.example.com/v2/"], ["https://registry.example.com/v2/"]],
  ["registry.example.com/web", ["registry.example.com:5000", "example.com", "registry.example.co"], []],
  ["registry.example.com:5000/web", ["http://registry.example.com:5000"], ["http://registry.example.com:5000"]],
  [
    "a.example.com/web",
    ["*.example.com", "*.com", "b*.example.com", "?.example.com"],
    ["*.example.com", "?.example.com"],
  ],
  [
    "a.example.com/team/web",
    ["a.example.com", "a.example.com/team", "a.example.com/x"],
    ["a.example.com/team", "a.example.com"],
  ],
  ["localhost:5000/web@sha256:00", ["localhost:5000"], ["localhost:5000"]],
  ["axexample.com/web", ["a.example.com"], []],
  [
    "aab.example.com/web",
    ["*ab.example.com", "a*.example.com", "*b*.example.com*", "a?.example.com"],
    ["*ab.example.com", "a*.example.com", "*b*.example.com*"],
  ],
  [`${"a".repeat(60)}.example.com/web`, [`${"*a".repeat(50)}*b.example.com`], []],
];

test.each(ROWS)("for %s, of the passwords for %j those for %j are tried, in this order", (image, servers, fitting) => {
  expect(loginsFor(image, servers.map(login)).map(({ username }) => username)).toEqual(fitting);
});
