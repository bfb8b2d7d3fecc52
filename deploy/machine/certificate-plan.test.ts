import { expect, test } from "vitest";
import {
  checkMachinePlan,
  dueReason,
  lifetimeDaysOf,
  type HeldCertificate,
  type IdentityPlan,
} from "./certificate-plan.ts";

const DAY_MS = 86_400_000;
const plan: IdentityPlan = {
  name: "apiserver",
  authority: "cluster-ca",
  commonName: "kube-apiserver",
  dnsNames: ["kubernetes", "localhost"],
  ipAddresses: ["127.0.0.1", "2001:DB8:0:0::1"],
  usages: ["server"],
};
const held: HeldCertificate = {
  facts: {
    commonName: "kube-apiserver",
    organizations: [],
    dnsNames: ["localhost", "kubernetes"],
    ipAddresses: ["2001:db8::1", "127.0.0.1"],
    usages: ["server"],
    notBeforeMs: 0,
    notAfterMs: 90 * DAY_MS,
    keyId: "k",
  },
  keyMatches: true,
  isIssuedByFirst: true,
  authorityEndMs: 3650 * DAY_MS,
};

test("a certificate is due from two thirds of its life on, and not a moment before", () => {
  expect(dueReason(plan, held, 60 * DAY_MS - 1)).toBeUndefined();
  expect(dueReason(plan, held, 60 * DAY_MS)).toBe("past two thirds of its life");
  expect(dueReason(plan, held, 90 * DAY_MS)).toBe("expired");
});

test("one that ends with its authority is left alone until then: a new one would end no later", () => {
  const last = { ...held, authorityEndMs: 90 * DAY_MS };
  expect(dueReason(plan, last, 89 * DAY_MS)).toBeUndefined();
  expect(dueReason(plan, last, 90 * DAY_MS)).toBe("expired");
});

test.each<[string, Partial<IdentityPlan>, Partial<HeldCertificate>]>([
  ["it says something else than the plan", { dnsNames: ["localhost"] }, {}],
  ["it says something else than the plan", { ipAddresses: ["127.0.0.1", "2001:db8::2"] }, {}],
  ["it says something else than the plan", { commonName: "another" }, {}],
  ["it says something else than the plan", { organizations: ["system:masters"] }, {}],
  ["it says something else than the plan", { usages: ["server", "client"] }, {}],
  ["its key is another", {}, { keyMatches: false }],
  ["another authority signed it", {}, { isIssuedByFirst: false }],
])("%s: %j", (reason, planned, has) => {
  expect(dueReason({ ...plan, ...planned }, { ...held, ...has }, DAY_MS)).toBe(reason);
});

test("what is missing is due; the order and spelling of names mean nothing", () => {
  expect(dueReason(plan, undefined, 0)).toBe("missing");
  expect(dueReason(plan, held, 0)).toBeUndefined();
});

test("a plan that is wrong says where", () => {
  const machine = { directory: "/pki", clusterCaBundle: "/c", backboneCaBundle: "/b", identities: [plan] };
  expect(checkMachinePlan(machine)).toBe(machine);
  const refused =
    (change: object): (() => unknown) =>
    () =>
      checkMachinePlan({ ...machine, ...change });
  expect(refused({ directory: "pki" })).toThrow("directory must be an absolute path");
  expect(refused({ lifetimeMinutes: 0 })).toThrow("lifetimeMinutes must be above 0");
  expect(refused({ identities: [plan, plan] })).toThrow("apiserver is there twice");
  expect(refused({ identities: [{ ...plan, name: "../x" }] })).toThrow("no name of a folder");
  expect(refused({ identities: [{ ...plan, authority: "root-ca" }] })).toThrow("apiserver: authority");
  expect(refused({ identities: [{ ...plan, ipAddresses: ["1.2.3"] }] })).toThrow("apiserver: ipAddresses");
  expect(refused({ identities: [{ ...plan, usages: [] }] })).toThrow("apiserver: usages");
  expect(lifetimeDaysOf({ identities: [], lifetimeMinutes: 720 })).toBe(0.5);
});
