import { describe, expect, it } from "vitest";
import {
  checkConfigMapKey,
  checkDns1035Label,
  checkDns1123Label,
  checkDns1123Subdomain,
  checkEnvVarName,
  checkLabelValue,
  checkPathSegment,
  checkPortName,
  checkPortNumber,
  checkQualifiedName,
  checkWildcardDns1123Subdomain,
  maskTrailingDash,
} from "./names.ts";

describe("names that users see refused", () => {
  it("a label", () => {
    expect(checkDns1123Label("my-name")).toEqual([]);
    expect(checkDns1123Label("My")).toEqual([
      "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')",
    ]);
    expect(checkDns1123Label("a.b")).toEqual(["must not contain dots"]);
    expect(checkDns1123Label("a".repeat(64))).toEqual(["must be no more than 63 characters"]);
  });

  it("a subdomain", () => {
    expect(checkDns1123Subdomain("a.b-c.0")).toEqual([]);
    expect(checkDns1123Subdomain("a_b")).toEqual([
      "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
    ]);
    expect(checkDns1123Subdomain("a".repeat(254))).toEqual(["must be no more than 253 characters"]);
    expect(checkDns1123Subdomain("a\n")).toHaveLength(1);
  });

  it("a Service's name starts with a letter", () => {
    expect(checkDns1035Label("web")).toEqual([]);
    expect(checkDns1035Label("1web")).toEqual([
      "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')",
    ]);
  });

  it("a wildcard stands in front only", () => {
    expect(checkWildcardDns1123Subdomain("*.example.com")).toEqual([]);
    expect(checkWildcardDns1123Subdomain("*.*.com")).toHaveLength(1);
  });

  it("a qualified name", () => {
    expect(checkQualifiedName("example.com/MyName")).toEqual([]);
    expect(checkQualifiedName("/x")).toEqual(["prefix part must be non-empty"]);
    expect(checkQualifiedName("x/")).toEqual([
      "name part must be non-empty",
      "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
    ]);
    expect(checkQualifiedName("a/b/c")).toEqual([
      "a valid label key must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')",
    ]);
    expect(checkQualifiedName("a".repeat(64))).toEqual(["name part must be no more than 63 bytes"]);
    expect(checkQualifiedName("UP.com/x")[0]).toMatch(/^prefix part a lowercase RFC 1123 subdomain/);
  });

  it("a label's value", () => {
    expect(checkLabelValue("")).toEqual([]);
    expect(checkLabelValue("a".repeat(64))).toEqual(["must be no more than 63 bytes"]);
    expect(checkLabelValue("-a")).toHaveLength(1);
  });

  it("keys of files and of the environment", () => {
    expect(checkConfigMapKey("a_b.C")).toEqual([]);
    expect(checkConfigMapKey("..a")).toEqual(["must not start with '..'"]);
    expect(checkConfigMapKey("..")).toEqual(["must not be '..'"]);
    expect(checkConfigMapKey("a/b")).toEqual([
      "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')",
    ]);
    expect(checkEnvVarName("1 odd-name")).toEqual([]);
    expect(checkEnvVarName("a=b")).toHaveLength(1);
    expect(checkEnvVarName("")).toEqual(["environment variable name must be non-empty"]);
  });

  it("ports", () => {
    expect(checkPortName("http-1")).toEqual([]);
    expect(checkPortName("-A--")).toEqual([
      "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)",
      "must contain at least one letter (a-z)",
      "must not contain consecutive hyphens",
      "must not begin or end with a hyphen",
    ]);
    expect(checkPortNumber(0)).toEqual(["must be between 1 and 65535, inclusive"]);
  });

  it("segments of a path, and the dash of generateName", () => {
    expect(checkPathSegment("system:node")).toEqual([]);
    expect(checkPathSegment("a/b%")).toEqual(["may not contain '/'", "may not contain '%'"]);
    expect(checkPathSegment("..")).toEqual(["may not be '..'"]);
    expect(checkDns1123Label(maskTrailingDash("web-"))).toEqual([]);
  });
});
