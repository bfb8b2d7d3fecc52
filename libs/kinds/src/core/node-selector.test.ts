import type { Node, NodeSelectorRequirement } from "@pilothouse/api/types/core-v1";
import { expect, test } from "vitest";
import { matchesTerm } from "./node-selector.ts";

const node: Node = { metadata: { name: "a", labels: { disk: "ssd", cores: "8" } }, spec: {} };
const meets = (key: string, operator: string, ...values: readonly string[]): boolean => {
  const requirement: NodeSelectorRequirement = { key, operator, values: [...values] };
  return matchesTerm({ matchExpressions: [requirement] }, node);
};

type Row = readonly [met: boolean, key: string, operator: string, ...values: readonly string[]];

const ROWS: readonly Row[] = [
  [true, "disk", "In", "hdd", "ssd"],
  [false, "disk", "NotIn", "ssd"],
  [true, "cores", "Gt", "7"],
  [false, "cores", "Lt", "8"],
  [true, "disk", "Exists"],
  [true, "gpu", "DoesNotExist"],
  [true, "gpu", "NotIn", "a"],
  // A label that only every object has is none.
  [false, "toString", "Exists"],
  [true, "__proto__", "DoesNotExist"],
];

test.each(ROWS.map((row) => [row] as const))("a node meets, or not: %j", ([met, key, operator, ...values]) => {
  expect(meets(key, operator, ...values)).toBe(met);
});
