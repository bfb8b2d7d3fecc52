import { expect, test } from "vitest";
import { dialError } from "./dial-error.ts";

test.each([
  ["ECONNREFUSED", "connect ECONNREFUSED 198.18.0.2:80", "dial tcp 198.18.0.2:80: connect: connection refused"],
  ["EHOSTUNREACH", "connect EHOSTUNREACH 198.18.0.2:80", "dial tcp 198.18.0.2:80: connect: no route to host"],
  ["ECONNRESET", "socket hang up", "EOF"],
  ["ECONNRESET", "read ECONNRESET", "EOF"],
  ["EPROTO", "wrong version number", "wrong version number"],
])("%s (%s) reads as upstream's: %s", (code, message, wanted) => {
  expect(dialError(Object.assign(new Error(message), { code }), "198.18.0.2:80")).toBe(wanted);
});
