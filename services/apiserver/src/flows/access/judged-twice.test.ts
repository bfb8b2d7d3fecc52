/** C7: what an apiserver's cache does not show yet is no reason to refuse. */
import { manualClock } from "@pilothouse/clock/manual";
import { memoryStore } from "@pilothouse/store/memory";
import { expect, test } from "vitest";
import { heldWatch } from "../../held-watch.fixture.ts";
import { apiserverStory, type Answer, type Asked, type Story } from "../../story.fixture.ts";

const DEFAULT = "/api/v1/namespaces/default";
const RBAC = "/apis/rbac.authorization.k8s.io/v1";
const ROBOT = { name: "robot", groups: ["robots"] };
const KUBELET = { name: "system:node:n1", groups: ["system:nodes"] };

const pod = (name: string, spec: object = {}): Asked => ({
  body: { metadata: { name }, spec: { containers: [{ name: "c", image: "pilothouse.local/web" }], ...spec } },
});
const named = (name: string, rest: object = {}): Asked => ({ body: { metadata: { name }, ...rest } });
const rules = [{ verbs: ["*"], apiGroups: ["*"], resources: ["*"] }];
const binding = (role: string): Asked =>
  named("robots", {
    roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: role },
    subjects: [{ apiGroup: "rbac.authorization.k8s.io", kind: "Group", name: "robots" }],
  });
const grantAll = ({ ask }: Pick<Story, "ask">): Promise<Answer> =>
  ask("POST", `${RBAC}/clusterrolebindings`, binding("cluster-admin"));

interface Case {
  readonly refusal: number;
  /** What must be there before anything is asked. */
  readonly arrange?: (first: Story) => Promise<unknown>;
  /** What makes the refusal wrong. */
  readonly change: (first: Story) => Promise<unknown>;
  readonly ask: (other: Story) => Promise<Answer>;
  readonly answer: number;
}

const CASES: Readonly<Record<string, Case>> = {
  "a namespace that is there": {
    refusal: 404,
    change: ({ ask }) => ask("POST", "/api/v1/namespaces", named("new")),
    ask: ({ ask }) => ask("POST", "/api/v1/namespaces/new/configmaps", named("c")),
    answer: 201,
  },
  "a namespace that is another one than the dying": {
    refusal: 403,
    arrange: async ({ ask }) => {
      await ask("POST", "/api/v1/namespaces", named("again"));
      await ask("DELETE", "/api/v1/namespaces/again");
    },
    change: async ({ ask }) => {
      await ask("PUT", "/api/v1/namespaces/again/finalize", { body: { metadata: { name: "again" }, spec: {} } });
      await ask("POST", "/api/v1/namespaces", named("again"));
    },
    ask: ({ ask }) => ask("POST", "/api/v1/namespaces/again/configmaps", named("c")),
    answer: 201,
  },
  "a pod's ServiceAccount": {
    refusal: 403,
    change: ({ ask }) => ask("POST", `${DEFAULT}/serviceaccounts`, named("runner")),
    ask: ({ ask }) => ask("POST", `${DEFAULT}/pods`, pod("p", { serviceAccountName: "runner" })),
    answer: 201,
  },
  "a pod's PriorityClass": {
    refusal: 403,
    arrange: ({ ask }) => ask("POST", `${DEFAULT}/serviceaccounts`, named("default")),
    change: ({ ask }) => ask("POST", "/apis/scheduling.k8s.io/v1/priorityclasses", named("high", { value: 7 })),
    ask: ({ ask }) => ask("POST", `${DEFAULT}/pods`, pod("p", { priorityClassName: "high" })),
    answer: 201,
  },
  "the priority of a pod's class": {
    refusal: 403,
    arrange: ({ ask }) => ask("POST", `${DEFAULT}/serviceaccounts`, named("default")),
    change: ({ ask }) =>
      ask("POST", "/apis/scheduling.k8s.io/v1/priorityclasses", named("all", { value: 7, globalDefault: true })),
    ask: ({ ask }) => ask("POST", `${DEFAULT}/pods`, pod("p", { priority: 7 })),
    answer: 201,
  },
  "a role's binding": {
    refusal: 403,
    change: grantAll,
    ask: ({ ask }) => ask("GET", `${DEFAULT}/configmaps`, { as: ROBOT }),
    answer: 200,
  },
  "a right to impersonate": {
    refusal: 403,
    change: grantAll,
    ask: ({ ask }) =>
      ask("GET", `${DEFAULT}/configmaps`, {
        as: ROBOT,
        headers: { "impersonate-user": "boss", "impersonate-group": "system:masters" },
      }),
    answer: 200,
  },
  "the rights that somebody gives away": {
    refusal: 403,
    arrange: async ({ ask }) => {
      const onlyRoles = [{ verbs: ["create"], apiGroups: ["rbac.authorization.k8s.io"], resources: ["clusterroles"] }];
      await ask("POST", `${RBAC}/clusterroles`, named("role-makers", { rules: onlyRoles }));
      await ask("POST", `${RBAC}/clusterrolebindings`, {
        body: { ...(binding("role-makers").body as object), metadata: { name: "makers" } },
      });
    },
    change: grantAll,
    ask: ({ ask }) => ask("POST", `${RBAC}/clusterroles`, { ...named("all", { rules }), as: ROBOT }),
    answer: 201,
  },
  "a pod that names the Secret": {
    refusal: 403,
    arrange: async ({ ask }) => {
      await ask("POST", `${DEFAULT}/serviceaccounts`, named("default"));
      await ask("POST", `${DEFAULT}/secrets`, named("s"));
    },
    change: ({ ask }) =>
      ask(
        "POST",
        `${DEFAULT}/pods`,
        pod("p", { nodeName: "n1", volumes: [{ name: "s", secret: { secretName: "s" } }] }),
      ),
    ask: ({ ask }) => ask("GET", `${DEFAULT}/secrets/s`, { as: KUBELET }),
    answer: 200,
  },
};

test.each(Object.entries(CASES))(
  "%s, made elsewhere, is waited for",
  async (_title, { refusal, arrange, change, ask, answer }) => {
    const clock = manualClock();
    const store = memoryStore({ clock });
    const lag = heldWatch(store);
    const first = await apiserverStory("first", { store, clock });
    const other = await apiserverStory("other", { store: lag.wrapped, clock });
    await arrange?.(first);
    expect((await ask(other)).status).toBe(refusal);

    lag.state.holds = true;
    await change(first);
    let isAnswered = false;
    const asked = ask(other).finally(() => (isAnswered = true));
    await clock.advance(500);
    expect(isAnswered).toBe(false);
    lag.release();
    expect((await asked).status).toBe(answer);
    await Promise.all([first.close(), other.close()]);
  },
);

test("a token of an account made elsewhere, and what a review says of rights given elsewhere, are waited for", async () => {
  const clock = manualClock();
  const store = memoryStore({ clock });
  const lag = heldWatch(store);
  const first = await apiserverStory("first", { store, clock });
  const other = await apiserverStory("other", { store: lag.wrapped, clock });
  lag.state.holds = true;
  await first.ask("POST", `${DEFAULT}/serviceaccounts`, named("runner"));
  const { json } = await first.ask("POST", `${DEFAULT}/serviceaccounts/runner/token`, { body: { spec: {} } });
  await grantAll(first);
  const { token } = json["status"] as unknown as { token: string };
  const whoAmI = other.ask("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", {
    body: {},
    as: "anonymous",
    headers: { authorization: `Bearer ${token}` },
  });
  const mayThey = other.ask("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", {
    body: { spec: { user: "robot", groups: ["robots"], resourceAttributes: { verb: "get", resource: "pods" } } },
  });
  await clock.advance(500);
  lag.release();
  expect((await whoAmI).json).toMatchObject({
    status: { userInfo: { username: "system:serviceaccount:default:runner" } },
  });
  expect((await mayThey).json).toMatchObject({ status: { allowed: true } });
  await Promise.all([first.close(), other.close()]);
});
