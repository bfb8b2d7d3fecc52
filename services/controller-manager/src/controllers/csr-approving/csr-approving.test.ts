import type { CertificateSigningRequest } from "@pilothouse/api/types/certificates-v1";
import type { RequestFacts } from "@pilothouse/pki/facts";
import { expect, test } from "vitest";
import { plan as planSigning } from "../csr-signing/plan.ts";
import { goesAtMs } from "../csr-cleaner/plan.ts";
import { plan } from "./plan.ts";

const CLIENT = "kubernetes.io/kube-apiserver-client-kubelet";
const SERVING = "kubernetes.io/kubelet-serving";
const AGENT = "pilothouse.io/node-agent";
const NODE = {
  metadata: { name: "n1" },
  spec: {},
  status: { addresses: [{ type: "InternalIP", address: "198.51.100.7" }] },
};

const facts = (commonName: string, more: Partial<RequestFacts> = {}): RequestFacts => ({
  commonName,
  organizations: commonName.startsWith("system:node:") ? ["system:nodes"] : [],
  dnsNames: [],
  ipAddresses: [],
  emailAddresses: [],
  uris: [],
  ...more,
});

const request = (
  signerName: string,
  more: Partial<CertificateSigningRequest["spec"]> = {},
): CertificateSigningRequest => ({
  metadata: { name: "r", creationTimestamp: "2026-01-01T00:00:00Z" },
  spec: {
    request: "",
    signerName,
    usages: ["digital signature", signerName === SERVING ? "server auth" : "client auth"],
    username: "system:node:n1",
    groups: ["system:nodes"],
    ...more,
  },
});

const permissions = (of: CertificateSigningRequest, says: RequestFacts): string[] =>
  plan(of, says, NODE).map(({ permission }) => permission);

test.each<[string, CertificateSigningRequest, RequestFacts, string[]]>([
  ["its own client certificate", request(CLIENT), facts("system:node:n1"), ["selfnodeclient", "nodeclient"]],
  ["another node's client certificate", request(CLIENT), facts("system:node:n2"), ["nodeclient"]],
  ["a client certificate with a name", request(CLIENT), facts("system:node:n1", { dnsNames: ["n1"] }), []],
  ["more groups", request(CLIENT), facts("system:node:n1", { organizations: ["system:nodes", "system:masters"] }), []],
  ["its own names", request(SERVING), facts("system:node:n1", { dnsNames: ["n1", "localhost"] }), ["selfnodeserver"]],
  ["its own address", request(SERVING), facts("system:node:n1", { ipAddresses: ["198.51.100.7"] }), ["selfnodeserver"]],
  ["another's address", request(SERVING), facts("system:node:n1", { ipAddresses: ["198.51.100.8"] }), []],
  ["the API's name", request(SERVING), facts("system:node:n1", { dnsNames: ["n1", "kubernetes"] }), []],
  ["another node's names", request(SERVING), facts("system:node:n2", { dnsNames: ["n1"] }), []],
  ["no names", request(SERVING), facts("system:node:n1"), []],
  ["its proxy", request(AGENT), facts("system:kube-proxy"), ["selfnodeagent"]],
  ["its dns on the bus", request(AGENT), facts("dns:n1"), ["selfnodeagent"]],
  ["another node's dns on the bus", request(AGENT), facts("dns:n2"), []],
  ["an apiserver on the bus", request(AGENT), facts("apiserver:n1"), []],
  ["a proxy with groups", request(AGENT), facts("system:kube-proxy", { organizations: ["system:masters"] }), []],
  ["a proxy, by no node", request(AGENT, { groups: [] }), facts("system:kube-proxy"), []],
  ["a proxy for servers", request(AGENT, { usages: ["server auth"] }), facts("system:kube-proxy"), []],
  ["by another signer", request("example.com/a"), facts("system:node:n1"), []],
])("a node that asks for %s", (_, of, says, wanted) => {
  expect(permissions(of, says)).toEqual(wanted);
});

test("what is decided is left alone", () => {
  const denied = { ...request(CLIENT), status: { conditions: [{ type: "Denied", status: "True" }] } };
  expect(permissions(denied, facts("system:node:n1"))).toEqual([]);
});

const approved = (of: CertificateSigningRequest): CertificateSigningRequest => ({
  ...of,
  status: { conditions: [{ type: "Approved", status: "True", lastUpdateTime: "2026-01-01T01:00:00Z" }] },
});

test("each signer signs by its authority what it may sign, for as long as is asked", () => {
  const sign = (of: CertificateSigningRequest, says: RequestFacts): unknown => planSigning(approved(of), says);
  expect(planSigning(request(CLIENT), facts("system:node:n1"))).toEqual({ do: "nothing" });
  expect(sign(request("example.com/a"), facts("x"))).toEqual({ do: "nothing" });
  expect(sign(request(CLIENT), facts("jane"))).toEqual({
    do: "fail",
    message: "subject organization is not system:nodes",
  });
  expect(sign(request(CLIENT, { expirationSeconds: 3_600 }), facts("system:node:n1"))).toMatchObject({
    authority: "cluster-ca",
    leaf: { commonName: "system:node:n1", organizations: ["system:nodes"], usages: ["client"] },
    lifeSeconds: 3_600,
  });
  expect(sign(request(AGENT), facts("kubelet:n1"))).toMatchObject({
    authority: "backbone-ca",
    lifeSeconds: 31_536_000,
  });
  // Approved by a person who did not look.
  expect(sign(request(AGENT), facts("kubelet:n2"))).toEqual({
    do: "fail",
    message: "subject is no agent of the requesting node",
  });
  const user = request("kubernetes.io/kube-apiserver-client", { usages: ["client auth", "code signing"] });
  expect(sign(user, facts("jane"))).toEqual({
    do: "fail",
    message: "invalid usage for client certificate: code signing",
  });
});

test("a request goes an hour after its verdict, a day after it was made without one, and with its certificate", () => {
  const hours = (of: CertificateSigningRequest, endMs?: number): number =>
    (goesAtMs(of, endMs) - Date.parse("2026-01-01T00:00:00Z")) / 3_600_000;
  const issued = approved(request(CLIENT));
  expect(hours(request(CLIENT))).toBe(24);
  expect(hours(issued)).toBe(24);
  expect(hours(issued, Date.parse("2026-06-01T00:00:00Z"))).toBe(2);
  expect(hours(issued, Date.parse("2026-01-01T01:30:00Z"))).toBe(1.5);
  const denied = { type: "Denied", status: "True", lastUpdateTime: "2026-01-01T03:00:00Z" };
  expect(hours({ ...request(CLIENT), status: { conditions: [denied] } })).toBe(4);
});
