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
  expect(
    messages({ nodes: [node("a", "True")], deployments: [deployment(whole)], statefulSets: [deployment(whole)] }),
  ).toEqual([]);
});

test("a node that is not Ready, or says nothing, is found", () => {
  expect(messages({ nodes: [node("a", "Unknown"), { metadata: { name: "b" } }] })).toEqual([
    "node a is not Ready",
    "node b is not Ready",
  ]);
});

test.each([
  ["one is missing", { ...whole, availableReplicas: 1 }],
  ["an old one is left", { ...whole, replicas: 3 }],
  ["the last change was not seen", { ...whole, observedGeneration: 2 }],
  ["nothing is known", undefined],
])("a Deployment, or a StatefulSet, of which %s is found", (_, status) => {
  expect(messages({ deployments: [deployment(status)], statefulSets: [deployment(status)] })).toEqual([
    expect.stringMatching(/^Deployment web wants 2 and has /),
    expect.stringMatching(/^StatefulSet web wants 2 and has /),
  ]);
});

test("a Job that is not complete is found", () => {
  const job = (more: object) => ({ metadata: { name: "work" }, spec: { completions: 3 }, ...more });
  const conditions = [{ type: "Complete", status: "True" }];
  expect(messages({ jobs: [job({ status: { succeeded: 3, conditions } })] })).toEqual([]);
  expect(messages({ jobs: [job({}), job({ status: { active: 1, succeeded: 2, failed: 1 } })] })).toEqual([
    "Job work wants 3 completions and has 0 active, 0 succeeded, 0 failed",
    "Job work wants 3 completions and has 1 active, 2 succeeded, 1 failed",
  ]);
});
