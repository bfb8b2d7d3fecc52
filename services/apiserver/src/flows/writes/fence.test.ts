/** C11: the leader changes just before any one transaction of a request that has several; nothing is written from there on. */
import { manualClock } from "@pilothouse/clock/manual";
import { prefixRange, type Store, type Transaction } from "@pilothouse/store";
import { memoryStore } from "@pilothouse/store/memory";
import { expect, test } from "vitest";
import { electionKey } from "../../core/model.ts";
import { ADDRESS_ALLOCATIONS } from "../../core/service-addresses.ts";
import { apiserverStory, type Answer, type Asked, type Story } from "../../story.fixture.ts";

const DEFAULT = "/api/v1/namespaces/default";
const ELECTION = "kube-controller-manager";
const MERGE = "application/merge-patch+json";
const named = (name: string, rest: object = {}): Asked => ({ body: { metadata: { name }, ...rest } });

interface Case {
  readonly arrange?: (story: Story) => Promise<unknown>;
  /** What others do just before the request's first transaction, so that it needs another one. */
  readonly interfere?: (story: Story, truth: Store, first: Transaction) => Promise<unknown>;
  readonly request: readonly [method: string, target: string, asked?: Asked];
  readonly transactions: number;
}

const CASES: Readonly<Record<string, Case>> = {
  "a collection is deleted, object by object": {
    arrange: async ({ ask }: Story) => {
      for (const name of ["a", "b", "c", "d"]) await ask("POST", `${DEFAULT}/configmaps`, named(name));
    },
    request: ["DELETE", `${DEFAULT}/configmaps`],
    transactions: 4,
  },
  "a collection is marked and deleted": {
    arrange: async ({ ask }: Story) => {
      await ask("POST", `${DEFAULT}/configmaps`, {
        body: { metadata: { name: "a", finalizers: ["example.com/hold"] } },
      });
      await ask("POST", `${DEFAULT}/configmaps`, named("b"));
    },
    request: ["DELETE", `${DEFAULT}/configmaps`],
    transactions: 2,
  },
  "a Service's address is drawn again": {
    interfere: async (_story, truth, { compares }) => {
      const key = compares.find((compare) => compare.key.startsWith(ADDRESS_ALLOCATIONS))?.key ?? "";
      await truth.txn({ compares: [], then: [{ op: "put", key, value: Buffer.from("{}") }] });
    },
    request: ["POST", `${DEFAULT}/services`, named("s", { spec: { ports: [{ port: 80 }] } })],
    transactions: 2,
  },
  "a name is generated again": {
    interfere: ({ ask }, _truth, { then }) => {
      const [put] = then;
      return ask("POST", `${DEFAULT}/configmaps`, named(put?.key.split("/").at(-1) ?? ""));
    },
    request: ["POST", `${DEFAULT}/configmaps`, { body: { metadata: { generateName: "g-" } } }],
    transactions: 2,
  },
  "a create's namespace has changed": {
    interfere: ({ ask }) => ask("PATCH", DEFAULT, { body: { metadata: { labels: { a: "1" } } }, contentType: MERGE }),
    request: ["POST", `${DEFAULT}/configmaps`, named("c")],
    transactions: 2,
  },
  "a patch loses a race": {
    arrange: ({ ask }) => ask("POST", `${DEFAULT}/configmaps`, named("c", { data: { v: "1" } })),
    interfere: ({ ask }) => ask("PUT", `${DEFAULT}/configmaps/c`, named("c", { data: { v: "2" } })),
    request: ["PATCH", `${DEFAULT}/configmaps/c`, { body: { data: { w: "1" } }, contentType: MERGE }],
    transactions: 2,
  },
  "a delete loses a race": {
    arrange: ({ ask }) => ask("POST", `${DEFAULT}/configmaps`, named("c", { data: { v: "1" } })),
    interfere: ({ ask }) => ask("PUT", `${DEFAULT}/configmaps/c`, named("c", { data: { v: "2" } })),
    request: ["DELETE", `${DEFAULT}/configmaps/c`],
    transactions: 2,
  },
  "a finalize loses a race": {
    arrange: async ({ ask }: Story) => {
      await ask("POST", "/api/v1/namespaces", named("old"));
      await ask("DELETE", "/api/v1/namespaces/old");
    },
    interfere: ({ ask }) =>
      ask("PATCH", "/api/v1/namespaces/old", { body: { metadata: { labels: { a: "1" } } }, contentType: MERGE }),
    request: ["PUT", "/api/v1/namespaces/old/finalize", named("old", { spec: {} })],
    transactions: 2,
  },
  "an apply creates what somebody has just created": {
    interfere: ({ ask }) => ask("POST", `${DEFAULT}/configmaps`, named("c")),
    request: [
      "PATCH",
      `${DEFAULT}/configmaps/c?fieldManager=leader`,
      { body: { apiVersion: "v1", kind: "ConfigMap", data: { v: "1" } }, contentType: "application/apply-patch+yaml" },
    ],
    transactions: 2,
  },
};

test.each(Object.entries(CASES))("%s: from the change of leaders on, nothing is written", async (_title, one) => {
  const undisturbed = await run(one, undefined);
  expect([200, 201]).toContain(undisturbed.answer.status);
  expect(undisturbed.transactions).toBe(one.transactions);
  for (let deposedAt = 0; deposedAt < one.transactions; deposedAt++) {
    const { answer, atChange, after } = await run(one, deposedAt);
    expect(answer.json["reason"]).toBe("LeadershipLost");
    expect(after).toEqual(atChange);
  }
});

interface Run {
  readonly answer: Answer;
  /** How many transactions under the leader's fence the request made. */
  readonly transactions: number;
  /** Each key's revision when the leader changed, and at the end. */
  readonly atChange: Contents | undefined;
  readonly after: Contents;
}

type Contents = Readonly<Record<string, number>>;

/** One whole life of an apiserver; the leader changes just before its `deposedAt`-th fenced transaction. */
async function run({ arrange, interfere, request }: Case, deposedAt: number | undefined): Promise<Run> {
  const clock = manualClock();
  const truth = memoryStore({ clock });
  const key = electionKey(ELECTION);
  let transactions = 0;
  let atChange: Contents | undefined;
  const store: Store = {
    ...truth,
    txn: async (txn) => {
      if (!txn.compares.some((compare) => compare.key === key)) return truth.txn(txn);
      const index = transactions++;
      if (index === 0) await interfere?.(story, truth, txn);
      if (index === deposedAt) {
        await truth.txn({ compares: [], then: [{ op: "delete", key }] });
        await elect(truth, key, "another");
        atChange = await contents(truth);
      }
      return truth.txn(txn);
    },
  };
  const story: Story = await apiserverStory("a", { store, clock });
  await ownObjectsWritten(story);
  await arrange?.(story);
  const createRevision = await elect(truth, key, "one");
  const [method, target, asked] = request;
  const answer = await story.ask(method, target, {
    ...asked,
    as: { name: "system:kube-controller-manager", groups: ["system:masters"] },
    headers: { "pilothouse-fence": `${ELECTION}/${createRevision}` },
  });
  const after = await contents(truth);
  await story.close();
  return { answer, transactions, atChange, after };
}

/** The apiserver writes its own endpoints beside the first requests; the slice is the last of them. */
async function ownObjectsWritten({ ask }: Pick<Story, "ask">): Promise<void> {
  const slice = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes";
  for (let i = 0; i < 1_000; i++) if ((await ask("GET", slice)).status === 200) return;
  throw new Error("the apiserver's own endpoints are never written");
}

async function elect(store: Store, key: string, holder: string): Promise<number> {
  return (await store.txn({ compares: [], then: [{ op: "put", key, value: Buffer.from(holder) }] })).revision;
}

async function contents(store: Store): Promise<Contents> {
  const { entries } = await store.range(prefixRange("/"));
  return Object.fromEntries(entries.map((entry) => [entry.key, entry.modRevision]));
}
