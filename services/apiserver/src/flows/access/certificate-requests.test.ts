/** certificates.k8s.io as users meet it: who asks, who decides, who signs, and what can never be taken back. */
import { createAuthority, createCertificateRequest, createPrivateKey, signCertificateRequest } from "@pilothouse/pki";
import { beforeAll, expect, test } from "vitest";
import { apiserverStory, type Asked, type Story } from "../../story.fixture.ts";

const PATH = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
const RBAC = "/apis/rbac.authorization.k8s.io/v1";
const SIGNER = "kubernetes.io/kube-apiserver-client";
const ROBOT = { name: "robot", groups: ["robots"] };

const base64 = (text: string): string => Buffer.from(text).toString("base64");

let pem: string;
let mastersPem: string;
let certificate: string;

beforeAll(async () => {
  const wish = { commonName: "jane", usages: ["client"] as const };
  const key = await createPrivateKey();
  pem = await createCertificateRequest(key, wish);
  mastersPem = await createCertificateRequest(key, { ...wish, organizations: ["system:masters"] });
  const nowMs = Date.UTC(2026, 0, 1);
  const authority = await createAuthority({ commonName: "test", validDays: 1, nowMs });
  certificate = await signCertificateRequest(authority, pem, { ...wish, validDays: 1, nowMs });
});

const request = (name: string, spec: object = {}, more: object = {}): Asked => ({
  body: {
    apiVersion: "certificates.k8s.io/v1",
    kind: "CertificateSigningRequest",
    metadata: { name },
    spec: { request: base64(pem), signerName: SIGNER, usages: ["client auth"], ...spec },
    ...more,
  },
});

async function story(run: (story: Story) => Promise<void>): Promise<void> {
  const made = await apiserverStory();
  try {
    await run(made);
  } finally {
    await made.close();
  }
}

test("the requestor is who asks, whatever is written; the spec never changes", () =>
  story(async ({ ask }) => {
    const forged = { username: "admin", groups: ["system:masters"], uid: "u", extra: { a: ["b"] } };
    const status = { conditions: [{ type: "Approved", status: "True" }], certificate: base64(certificate) };
    const made = await ask("POST", PATH, request("jane", forged, { status }));
    expect([made.status, made.json["status"]]).toEqual([201, {}]);
    expect(made.json["spec"]).toEqual({
      request: base64(pem),
      signerName: SIGNER,
      usages: ["client auth"],
      username: "admin",
      groups: ["system:masters", "system:authenticated"],
    });
    const body = { ...made.json, spec: { ...made.json["spec"], username: "other", signerName: "example.com/a" } };
    const changed = await ask("PUT", `${PATH}/jane`, { body });
    expect([changed.status, changed.json["spec"]]).toEqual([200, made.json["spec"]]);
    expect((await ask("GET", `${PATH}?fieldSelector=spec.signerName%3Dexample.com/a`)).json["items"]).toEqual([]);
  }));

test.each<[string, object, string]>([
  ["no PEM", { request: base64("hello") }, "PEM block type must be CERTIFICATE REQUEST"],
  ["no usages", { usages: [] }, "spec.usages: Required value"],
  ["an unknown usage", { usages: ["sing"] }, 'spec.usages[0]: Unsupported value: "sing": supported values: "any", '],
  ["a usage twice", { usages: ["any", "any"] }, 'spec.usages[1]: Duplicate value: "any"'],
  [
    "a signer without a path",
    { signerName: "example.com" },
    "must be a fully qualified domain and path of the form 'example.com/signer-name'",
  ],
  ["a signer of one label", { signerName: "a/b" }, "should be a domain with at least two segments separated by dots"],
  [
    "the legacy signer",
    { signerName: "kubernetes.io/legacy-unknown" },
    "the legacy signerName is not allowed via this API version",
  ],
  [
    "too short a life",
    { expirationSeconds: 599 },
    "spec.expirationSeconds: Invalid value: 599: may not specify a duration less than 600 seconds (10 minutes)",
  ],
])("%s is refused", (_, spec, message) =>
  story(async ({ ask }) => {
    const answer = await ask("POST", PATH, request("bad", spec));
    expect([answer.status, answer.json["message"]]).toEqual([422, expect.stringContaining(message)]);
  }),
);

test("a request whose signature was touched is refused; nobody asks for system:masters", () =>
  story(async ({ ask }) => {
    const der = Buffer.from(pem.split("-----")[2] as string, "base64");
    der[der.length - 1] = (der[der.length - 1] as number) ^ 1;
    const touched = `-----BEGIN CERTIFICATE REQUEST-----\n${base64(der.toString("latin1"))}`;
    expect((await ask("POST", PATH, request("a", { request: base64(touched) }))).status).toBe(422);
    const broken = `-----BEGIN CERTIFICATE REQUEST-----\n${der.toString("base64")}\n-----END CERTIFICATE REQUEST-----\n`;
    expect((await ask("POST", PATH, request("a", { request: base64(broken) }))).status).toBe(422);
    const masters = await ask("POST", PATH, request("m", { request: base64(mastersPem) }));
    const why = `use of ${SIGNER} signer with system:masters group is not allowed`;
    expect([masters.status, masters.json["message"]]).toEqual([403, expect.stringContaining(why)]);
  }));

test("approved once, never taken back, never denied as well; signed once, through /status alone", () =>
  story(async ({ ask }) => {
    await ask("POST", PATH, request("jane"));
    const conditions = (...types: string[]): Asked => ({
      contentType: "application/merge-patch+json",
      body: { status: { conditions: types.map((type) => ({ type, status: "True", reason: "Test" })) } },
    });
    const refused = async (subresource: string, asked: Asked, message: string): Promise<void> => {
      const { status, json } = await ask("PATCH", `${PATH}/jane${subresource}`, asked);
      expect([status, json["message"]]).toEqual([422, expect.stringContaining(message)]);
    };
    const signed = (text: string): Asked => ({
      contentType: "application/merge-patch+json",
      body: { status: { certificate: base64(text) } },
    });
    await refused("/status", conditions("Approved"), 'updates may not add a condition of type "Approved"');
    await refused(
      "/approval",
      conditions("Approved", "Denied"),
      "Approved and Denied conditions are mutually exclusive",
    );
    const approved = await ask("PATCH", `${PATH}/jane/approval`, conditions("Approved"));
    expect(approved.json["status"]?.["conditions"]?.[0]).toMatchObject({
      type: "Approved",
      lastUpdateTime: expect.any(String),
      lastTransitionTime: expect.any(String),
    });
    await refused("/approval", conditions(), 'updates may not remove a condition of type "Approved"');
    await refused("/status", conditions(), 'updates may not remove a condition of type "Approved"');
    expect((await ask("PATCH", `${PATH}/jane/approval`, signed(certificate))).json["status"]?.["certificate"]).toBe(
      undefined,
    );
    await refused("/status", signed("nothing"), "must contain at least one CERTIFICATE PEM block");
    await refused("/status", signed(pem), 'only CERTIFICATE PEM blocks are allowed, found "CERTIFICATE REQUEST"');
    const issued = await ask("PATCH", `${PATH}/jane/status`, signed(certificate));
    expect([issued.status, issued.json["status"]?.["certificate"]]).toEqual([200, base64(certificate)]);
    await refused(
      "/status",
      signed(`${certificate}${certificate}`),
      "updates may not modify existing certificate content",
    );
    const accept = "application/json;as=Table;v=v1;g=meta.k8s.io";
    const { json } = await ask("GET", `${PATH}/jane`, { headers: { accept } });
    const cells = json["rows"]?.[0]?.["cells"] as unknown as unknown[];
    expect([cells[0], ...cells.slice(2)]).toEqual(["jane", SIGNER, "admin", "<none>", "Approved,Issued"]);
  }));

test("a verdict needs the right on the signer, besides the right on the request", () =>
  story(async ({ ask }) => {
    await ask("POST", PATH, request("jane"));
    const grant = async (name: string, rules: readonly object[]): Promise<void> => {
      await ask("POST", `${RBAC}/clusterroles`, { body: { metadata: { name }, rules } });
      const roleRef = { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name };
      const subjects = [{ apiGroup: "rbac.authorization.k8s.io", kind: "Group", name: "robots" }];
      await ask("POST", `${RBAC}/clusterrolebindings`, { body: { metadata: { name }, roleRef, subjects } });
    };
    const change = async (subresource: string, type: string) => {
      const status = { conditions: [{ type, status: "True" }] };
      const contentType = "application/merge-patch+json";
      const answer = await ask("PATCH", `${PATH}/jane/${subresource}`, { as: ROBOT, contentType, body: { status } });
      return [answer.status, answer.json["message"]];
    };
    const group = ["certificates.k8s.io"];
    const resources = ["certificatesigningrequests/approval", "certificatesigningrequests/status"];
    await grant("requests", [{ apiGroups: group, verbs: ["patch", "get"], resources }]);
    expect(await change("approval", "Denied")).toEqual([
      403,
      expect.stringContaining(`user not permitted to approve requests with signerName "${SIGNER}"`),
    ]);
    expect(await change("status", "Failed")).toEqual([
      403,
      expect.stringContaining(`user not permitted to sign requests with signerName "${SIGNER}"`),
    ]);
    const names = { apiGroups: group, resources: ["signers"] };
    await grant("one", [{ ...names, verbs: ["approve"], resourceNames: [SIGNER] }]);
    await grant("all", [{ ...names, verbs: ["sign"], resourceNames: ["kubernetes.io/*"] }]);
    expect((await change("approval", "Denied"))[0]).toBe(200);
    const { json } = await ask("GET", `${PATH}/jane`);
    const conditions = [
      ...((json["status"]?.["conditions"] ?? []) as unknown as object[]),
      { type: "Failed", status: "True" },
    ];
    const contentType = "application/merge-patch+json";
    const failed = { as: ROBOT, contentType, body: { status: { conditions } } };
    expect((await ask("PATCH", `${PATH}/jane/status`, failed)).status).toBe(200);
  }));
