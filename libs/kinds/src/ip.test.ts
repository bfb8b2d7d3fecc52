import { expect, test } from "vitest";
import { checkCidr, checkNonSpecialIp, ipFamily, parseIp } from "./ip.ts";

test.each([
  ["10.0.0.1", "IPv4"],
  ["255.255.255.255", "IPv4"],
  ["256.0.0.1", undefined],
  ["010.0.0.1", undefined],
  ["1.2.3", undefined],
  ["", undefined],
  ["::", "IPv6"],
  ["::1", "IPv6"],
  ["2001:db8::ffff", "IPv6"],
  ["1:2:3:4:5:6:7:8", "IPv6"],
  ["1:2:3:4:5:6:7::", "IPv6"],
  ["1:2:3:4:5:6:7:8::", undefined],
  ["1:2:3:4:5:6:7", undefined],
  ["::ffff:1.2.3.4", "IPv6"],
  ["::1.2.3.4:5", undefined],
  ["1::2::3", undefined],
  ["12345::", undefined],
  [":::", undefined],
])("%s is %s", (text, family) => {
  expect(ipFamily(text)).toBe(family);
});

test("has the bytes of an address", () => {
  expect(parseIp("::ffff:1.2.3.4")).toEqual([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 1, 2, 3, 4]);
  expect(parseIp("2001:db8::1")?.slice(0, 4)).toEqual([0x20, 0x01, 0x0d, 0xb8]);
});

test.each([
  ["10.0.0.0/24", true],
  ["10.0.0.0/33", false],
  ["10.0.0.0", false],
  ["fd00::/64", true],
  ["fd00::/64/1", false],
])("%s as a range: %s", (text, ok) => {
  expect(checkCidr(text).length === 0).toBe(ok);
});

test.each([
  ["0.0.0.0", "may not be unspecified (0.0.0.0)"],
  ["127.0.0.1", "may not be in the loopback range (127.0.0.0/8, ::1/128)"],
  ["::1", "may not be in the loopback range (127.0.0.0/8, ::1/128)"],
  ["169.254.1.1", "may not be in the link-local range (169.254.0.0/16, fe80::/10)"],
  ["fe80::1", "may not be in the link-local range (169.254.0.0/16, fe80::/10)"],
  ["224.0.0.7", "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"],
])("traffic may not be sent to %s", (text, why) => {
  expect(checkNonSpecialIp(text)).toEqual([why]);
});
