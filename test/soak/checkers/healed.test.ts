import { expect, test } from "vitest";
import { judgeHealed, type DeploymentObject, type NodeObject } from "./healed.ts";

const node = (name: string, status: string): NodeObject => ({
  metadata: { name },
  status: { conditions: [{ type: "Ready", status }] },
});
const deployment = (status: DeploymentObject["status"]): DeploymentObject => ({
  metadata: { name: "web", generation: 3 },
  spec: { replicas: 2 },
  ...(status ? { status } : {}),
});
const whole = { observedGeneration: 3, replicas: 2, updatedReplicas: 2, availableReplicas: 2 };
const messages = (...given: Parameters<typeof judgeHealed>): string[] =>
  judgeHealed(...given).map(({ message }) => message);

test("a whole cluster is whole", () => {
  expect(messages([node("a", "True")], [deployment(whole)])).toEqual([]);
});

test("a node that is not Ready, or says nothing, is found", () => {
  expect(messages([node("a", "Unknown"), { metadata: { name: "b" } }], [])).toEqual([
    "node a is not Ready",
    "node b is not Ready",
  ]);
});

test.each([
  ["one is missing", { ...whole, availableReplicas: 1 }],
  ["an old one is left", { ...whole, replicas: 3 }],
  ["the last change was not seen", { ...whole, observedGeneration: 2 }],
  ["nothing is known", undefined],
])("a Deployment of which %s is found", (_, status) => {
  expect(messages([], [deployment(status)])).toHaveLength(1);
});
