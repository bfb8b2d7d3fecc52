import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { impersonatedUser } from "../../core/access/users.ts";
import { ADMIN, apiserverStory, type Json, type Story } from "../../story.fixture.ts";

const RBAC = "/apis/rbac.authorization.k8s.io/v1";
const ROBOT = { name: "robot", groups: [] };

let story: Story;
beforeAll(async () => {
  story = await apiserverStory();
});
afterAll(() => story.close());

async function whoAmI(headers: Readonly<Record<string, string>>, as: typeof ADMIN | typeof ROBOT = ADMIN) {
  const { status, json } = await story.ask("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", {
    body: {},
    headers,
    as,
  });
  return status === 201 ? (json["status"]?.["userInfo"] as Json) : { status, message: json["message"] };
}

async function mayImpersonate(...rules: object[]): Promise<void> {
  const role = { metadata: { name: "actors" }, rules };
  const path = `${RBAC}/clusterroles`;
  const made = await story.ask("POST", path, { body: role });
  if (made.status === 409) await story.ask("PUT", `${path}/actors`, { body: role });
  await story.ask("POST", `${RBAC}/clusterrolebindings`, {
    body: {
      metadata: { name: "actors" },
      roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: "actors" },
      subjects: [{ kind: "User", apiGroup: "rbac.authorization.k8s.io", name: "robot" }],
    },
  });
}

const rule = (apiGroup: string, resource: string, ...resourceNames: string[]) => ({
  verbs: ["impersonate"],
  apiGroups: [apiGroup],
  resources: [resource],
  ...(resourceNames.length > 0 ? { resourceNames } : {}),
});

describe("who acts as somebody else", () => {
  it("is that user, with the groups, the uid and the extras asked for, and those alone", async () => {
    expect(
      await whoAmI({
        "impersonate-user": "jane",
        "impersonate-group": "devs, ops",
        "impersonate-uid": "06f6ce97",
        "impersonate-extra-scopes": "view, edit",
        "impersonate-extra-acme.com%2fproject": "shop",
      }),
    ).toEqual({
      username: "jane",
      uid: "06f6ce97",
      groups: ["devs", "ops", "system:authenticated"],
      extra: { scopes: ["view", "edit"], "acme.com/project": ["shop"] },
    });
  });

  it("is in the groups of a ServiceAccount, unless groups are asked for", async () => {
    const account = { "impersonate-user": "system:serviceaccount:shop:bot" };
    expect(await whoAmI(account)).toMatchObject({
      groups: ["system:serviceaccounts", "system:serviceaccounts:shop", "system:authenticated"],
    });
    expect(await whoAmI({ ...account, "impersonate-group": "devs" })).toMatchObject({
      groups: ["devs", "system:authenticated"],
    });
  });

  it("is not authenticated as well when it is said to be unauthenticated", () => {
    const groups = ["system:unauthenticated"];
    const nobody = { uid: undefined, extra: {} };
    for (const user of ["jane", "system:anonymous"])
      expect(impersonatedUser({ ...nobody, user, groups })).toMatchObject({ groups });
    expect(impersonatedUser({ ...nobody, user: "system:anonymous", groups: [] })).toMatchObject({ groups });
  });

  it.each([{ "impersonate-group": "devs" }, { "impersonate-uid": "u" }, { "impersonate-extra-scopes": "view" }])(
    "must say as whom: %s",
    async (headers) => {
      expect(await whoAmI(headers)).toMatchObject({
        message: expect.stringContaining("without impersonating a user") as string,
      });
    },
  );

  it("needs a right for each part: the user, each group, the uid, and each value of each extra", async () => {
    const headers = {
      "impersonate-user": "jane",
      "impersonate-group": "devs",
      "impersonate-uid": "u1",
      "impersonate-extra-scopes": "view",
    };
    const refused = (what: string) => ({ status: 403, message: expect.stringContaining(what) as string });
    const rules: object[] = [];
    const steps: readonly (readonly [string, object])[] = [
      ['User "robot" cannot impersonate resource "users" in API group ""', rule("", "users", "jane")],
      ['User "robot" cannot impersonate resource "groups" in API group ""', rule("", "groups", "devs")],
      [
        'cannot impersonate resource "uids" in API group "authentication.k8s.io"',
        rule("authentication.k8s.io", "uids", "u1"),
      ],
      [
        'cannot impersonate resource "userextras/scopes" in API group "authentication.k8s.io"',
        rule("authentication.k8s.io", "userextras/scopes", "view"),
      ],
    ];
    for (const [refusal, missing] of steps) {
      expect(await whoAmI(headers, ROBOT)).toEqual(refused(refusal));
      rules.push(missing);
      await mayImpersonate(...rules);
    }
    expect(await whoAmI(headers, ROBOT)).toMatchObject({ username: "jane", uid: "u1", extra: { scopes: ["view"] } });
    expect(await whoAmI({ ...headers, "impersonate-uid": "u2" }, ROBOT)).toEqual(refused('"u2" is forbidden'));
    expect(await whoAmI({ ...headers, "impersonate-extra-scopes": "view, edit" }, ROBOT)).toEqual(
      refused('"edit" is forbidden'),
    );
  });
});

describe("system:masters", () => {
  it("may do all, though there is no role any more that says so", async () => {
    for (const kind of ["clusterrolebindings", "clusterroles"])
      expect((await story.ask("DELETE", `${RBAC}/${kind}/cluster-admin`)).status).toBe(200);
    const boss = { name: "anybody", groups: ["system:masters"] };
    const asks: readonly (readonly [string, string, number])[] = [
      ["GET", "/api/v1/secrets", 200],
      ["GET", "/metrics", 200],
      ["DELETE", "/api/v1/namespaces/kube-node-lease", 200],
    ];
    for (const [method, path, status] of asks) {
      expect((await story.ask(method, path, { as: { ...boss, groups: [] } })).status, path).toBe(403);
      expect((await story.ask(method, path, { as: boss })).status, path).toBe(status);
    }
    const { json } = await story.ask("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", {
      as: boss,
      body: { spec: { resourceAttributes: { verb: "invent", group: "no.such", resource: "things" } } },
    });
    expect(json["status"]).toMatchObject({ allowed: true });
  });
});
