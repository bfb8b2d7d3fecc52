import type { LegacyTokenClaims } from "@pilothouse/crypto";
import { memoryCrypto } from "@pilothouse/crypto/memory";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { apiserverStory, type Json, type Story } from "../../story.fixture.ts";

const BASE = "/api/v1/namespaces/default";
const SYSTEM = "/api/v1/namespaces/kube-system";
let story: Story;
beforeAll(async () => {
  story = await apiserverStory("a", { config: { enableBootstrapTokenAuth: true } });
  await story.ask("POST", `${BASE}/serviceaccounts`, { body: { metadata: { name: "default" } } });
  await story.ask("POST", `${BASE}/serviceaccounts`, { body: { metadata: { name: "bot" } } });
});
afterAll(() => story.close());

const whoIs = async (token: string): Promise<Json | number> => {
  const { status, json } = await story.ask("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", {
    as: "anonymous",
    headers: { authorization: `Bearer ${token}` },
    body: {},
  });
  return status === 201 ? (json["status"]?.["userInfo"] as Json) : status;
};

async function tokenFor(boundObjectRef?: object, audiences?: string[]): Promise<string> {
  const { json } = await story.ask("POST", `${BASE}/serviceaccounts/bot/token`, {
    body: { spec: { ...(boundObjectRef ? { boundObjectRef } : {}), ...(audiences ? { audiences } : {}) } },
  });
  return json["status"]?.["token"] as unknown as string;
}

describe("a ServiceAccount's token", () => {
  it("dies with the Secret that it is bound to, and not with another", async () => {
    await story.ask("POST", `${BASE}/secrets`, { body: { metadata: { name: "bound" } } });
    const token = await tokenFor({ apiVersion: "v1", kind: "Secret", name: "bound" });
    expect(await whoIs(token)).toMatchObject({ username: "system:serviceaccount:default:bot" });
    await story.ask("DELETE", `${BASE}/secrets/bound`);
    expect(await whoIs(token)).toBe(401);
    await story.ask("POST", `${BASE}/secrets`, { body: { metadata: { name: "bound" } } });
    expect(await whoIs(token)).toBe(401);
  });

  it("dies with the node that it is bound to", async () => {
    await story.ask("POST", "/api/v1/nodes", { body: { metadata: { name: "n" } } });
    const token = await tokenFor({ apiVersion: "v1", kind: "Node", name: "n" });
    expect(await whoIs(token)).toMatchObject({ extra: { "authentication.kubernetes.io/node-name": ["n"] } });
    await story.ask("DELETE", "/api/v1/nodes/n");
    expect(await whoIs(token)).toBe(401);
  });

  it("lives on for a minute while its pod is being deleted", async () => {
    const containers = [{ name: "c", image: "pilothouse.local/web" }];
    const spec = { containers, nodeName: "n", serviceAccountName: "bot", terminationGracePeriodSeconds: 300 };
    await story.ask("POST", `${BASE}/pods`, { body: { metadata: { name: "p" }, spec } });
    const token = await tokenFor({ apiVersion: "v1", kind: "Pod", name: "p" });
    await story.ask("DELETE", `${BASE}/pods/p`);
    expect(await whoIs(token)).toMatchObject({ username: "system:serviceaccount:default:bot" });
    // The mark says when the grace ends.
    await story.clock.advance(300_000 + 59_000);
    expect(await whoIs(token)).toMatchObject({ username: "system:serviceaccount:default:bot" });
    await story.clock.advance(3_000);
    expect(await whoIs(token)).toBe(401);
  });

  it("is reviewed for the audiences that it shares, and those alone", async () => {
    const token = await tokenFor(undefined, ["a", "b"]);
    const review = async (audiences: string[]) =>
      (await story.ask("POST", "/apis/authentication.k8s.io/v1/tokenreviews", { body: { spec: { token, audiences } } }))
        .json["status"];
    expect(await review(["b", "c"])).toMatchObject({ authenticated: true, audiences: ["b"] });
    expect(await review(["c"])).not.toHaveProperty("authenticated");
    expect(await whoIs(token)).toBe(401);
  });
});

describe("a token that stands in a Secret", () => {
  const claimsOf = (uid: string): LegacyTokenClaims => ({
    iss: "kubernetes/serviceaccount",
    sub: "system:serviceaccount:default:bot",
    "kubernetes.io/serviceaccount/namespace": "default",
    "kubernetes.io/serviceaccount/secret.name": "bot-token",
    "kubernetes.io/serviceaccount/service-account.name": "bot",
    "kubernetes.io/serviceaccount/service-account.uid": uid,
  });
  const uidOf = async (): Promise<string> => {
    const { json } = await story.ask("GET", `${BASE}/serviceaccounts/bot`);
    return json["metadata"]?.["uid"] as unknown as string;
  };
  const put = async (token: string, labels: Record<string, string> = {}): Promise<void> => {
    await story.ask("DELETE", `${BASE}/secrets/bot-token`);
    const annotations = { "kubernetes.io/service-account.name": "bot" };
    const metadata = { name: "bot-token", labels, annotations };
    const body = { metadata, type: "kubernetes.io/service-account-token", stringData: { token } };
    expect((await story.ask("POST", `${BASE}/secrets`, { body })).status).toBe(201);
  };

  it("is the account's while it stands there, for the API alone and for good", async () => {
    const uid = await uidOf();
    const token = await memoryCrypto().signToken(claimsOf(uid));
    expect(await whoIs(token)).toBe(401);
    await put(token);
    expect(await whoIs(token)).toEqual({
      username: "system:serviceaccount:default:bot",
      uid,
      groups: ["system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"],
    });
    const review = async (spec: object): Promise<Json> =>
      (await story.ask("POST", "/apis/authentication.k8s.io/v1/tokenreviews", { body: { spec: { token, ...spec } } }))
        .json["status"] as Json;
    expect(await review({})).toMatchObject({ authenticated: true });
    expect(await review({ audiences: ["vault"] })).not.toHaveProperty("authenticated");
  });

  it("is nobody's when the Secret has another, is marked as invalid or is gone, or the account is another one", async () => {
    const token = await memoryCrypto().signToken(claimsOf(await uidOf()));
    await put(token);
    expect(await whoIs(token)).toMatchObject({ username: "system:serviceaccount:default:bot" });
    await put("something else");
    expect(await whoIs(token)).toBe(401);
    await put(token, { "kubernetes.io/legacy-token-invalid-since": "2026-01-01" });
    expect(await whoIs(token)).toBe(401);
    const ofAnother = await memoryCrypto().signToken(claimsOf("another uid"));
    await put(ofAnother);
    expect(await whoIs(ofAnother)).toBe(401);
    const lying = { ...claimsOf(await uidOf()), sub: "system:serviceaccount:kube-system:admin" };
    const lie = await memoryCrypto().signToken(lying);
    await put(lie);
    expect(await whoIs(lie)).toBe(401);
    await story.ask("DELETE", `${BASE}/secrets/bot-token`);
  });
});

describe("a bootstrap token", () => {
  const SECRET = {
    type: "bootstrap.kubernetes.io/token",
    stringData: {
      "token-id": "abcdef",
      "token-secret": "0123456789abcdef",
      "usage-bootstrap-authentication": "true",
      "auth-extra-groups": "system:bootstrappers:workers",
    },
  };
  const put = async (changes: Record<string, string>): Promise<void> => {
    await story.ask("DELETE", `${SYSTEM}/secrets/bootstrap-token-abcdef`);
    const stringData = { ...SECRET.stringData, ...changes };
    await story.ask("POST", `${SYSTEM}/secrets`, {
      body: { ...SECRET, metadata: { name: "bootstrap-token-abcdef" }, stringData },
    });
  };

  it("is its bootstrapper's, with the groups that its Secret names", async () => {
    await put({});
    expect(await whoIs("abcdef.0123456789abcdef")).toEqual({
      username: "system:bootstrap:abcdef",
      groups: ["system:bootstrappers", "system:bootstrappers:workers", "system:authenticated"],
    });
    expect(await whoIs("abcdef.0123456789abcdee")).toBe(401);
    expect(await whoIs("zzzzzz.0123456789abcdef")).toBe(401);
  });

  it.each([
    ["expired", { expiration: "2020-01-01T00:00:00Z" }],
    ["of no time", { expiration: "soon" }],
    ["for something else", { "usage-bootstrap-authentication": "false" }],
    ["of another id", { "token-id": "abcdee" }],
    ["for administrators", { "auth-extra-groups": "system:masters" }],
  ])("that is %s is nobody's", async (_why, changes) => {
    await put(changes);
    expect(await whoIs("abcdef.0123456789abcdef")).toBe(401);
  });

  it("is nobody's where it is not switched on", async () => {
    const other = await apiserverStory("b", { store: story.store, clock: story.clock });
    await put({});
    const { status } = await other.ask("GET", "/api", {
      as: "anonymous",
      headers: { authorization: "Bearer abcdef.0123456789abcdef" },
    });
    expect(status).toBe(401);
    await other.close();
  });
});

describe("ClusterRoles that gather", () => {
  const ROLES = "/apis/rbac.authorization.k8s.io/v1/clusterroles";
  const gathers = { clusterRoleSelectors: [{ matchLabels: { a: "b" } }] };

  it("are for who may do everything, for what they gather could be anything", async () => {
    const as = { name: "dev", groups: [] };
    const rules = [{ apiGroups: ["rbac.authorization.k8s.io"], resources: ["clusterroles"], verbs: ["*"] }];
    await story.ask("POST", ROLES, {
      body: { metadata: { name: "role-maker" }, rules: [{ ...rules[0], verbs: ["create"] }] },
    });
    await story.ask("POST", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", {
      body: {
        metadata: { name: "role-maker" },
        subjects: [{ kind: "User", name: "dev" }],
        roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: "role-maker" },
      },
    });
    const ask = (name: string, aggregationRule?: object) =>
      story.ask("POST", ROLES, { as, body: { metadata: { name }, ...(aggregationRule ? { aggregationRule } : {}) } });
    expect((await ask("plain")).status).toBe(201);
    expect(await ask("greedy", gathers)).toMatchObject({
      status: 403,
      json: {
        message:
          'clusterroles.rbac.authorization.k8s.io "greedy" is forbidden: must have cluster-admin privileges to use the aggregationRule',
      },
    });
    expect(
      (await story.ask("POST", ROLES, { body: { metadata: { name: "greedy" }, aggregationRule: gathers } })).status,
    ).toBe(201);
    const empty = await story.ask("POST", ROLES, { body: { metadata: { name: "none" }, aggregationRule: {} } });
    expect(empty.json["message"]).toContain(
      "aggregationRule.clusterRoleSelectors: Required value: at least one clusterRoleSelector required",
    );
  });

  it("admin, edit and view are made so in an older cluster too, and what was added stays", async () => {
    const view = `${ROLES}/view`;
    expect((await story.ask("GET", view)).json).toMatchObject({
      metadata: { labels: { "rbac.authorization.k8s.io/aggregate-to-edit": "true" } },
      aggregationRule: {
        clusterRoleSelectors: [{ matchLabels: { "rbac.authorization.k8s.io/aggregate-to-view": "true" } }],
      },
    });
    const mine = { verbs: ["get"], apiGroups: ["shop"], resources: ["orders"] };
    const old = (await story.ask("GET", view)).json;
    const { aggregationRule: _, ...older } = old;
    await story.ask("PUT", view, { body: { ...older, metadata: { name: "view" }, rules: [mine] } });
    const next = await apiserverStory("c", { store: story.store, clock: story.clock });
    const { json } = await next.ask("GET", view);
    expect(json).toMatchObject({ aggregationRule: old["aggregationRule"], rules: [mine] });
    expect(json["metadata"]?.["labels"]).toMatchObject({ "rbac.authorization.k8s.io/aggregate-to-edit": "true" });
    await next.close();
  });
});
