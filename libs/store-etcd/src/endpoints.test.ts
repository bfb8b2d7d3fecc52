import { expect, test } from "vitest";
import { EndpointChoice } from "./endpoints.ts";

test("the first endpoint is preferred, others stand by, and it comes back when its penalty is over", () => {
  const choice = new EndpointChoice(3);
  expect(choice.pick(0)).toBe(0);
  choice.failed(0, 0);
  expect(choice.pick(0)).toBe(1);
  choice.failed(1, 100);
  expect(choice.pick(100)).toBe(2);
  expect(choice.pick(1_000)).toBe(0);
});

test("each failure doubles the penalty, to a limit; success forgives all", () => {
  const choice = new EndpointChoice(2);
  for (let i = 0; i < 9; i++) choice.failed(0, 0);
  expect(choice.pick(14_999)).toBe(1);
  expect(choice.pick(15_000)).toBe(0);
  choice.worked(0);
  choice.failed(0, 20_000);
  expect(choice.pick(21_000)).toBe(0);
});

test("when all have failed the one that is free first is tried; the last one again only if it is alone", () => {
  const choice = new EndpointChoice(2);
  choice.failed(0, 0);
  choice.failed(1, 500);
  expect(choice.pick(600)).toBe(0);
  expect(choice.pick(600, 0)).toBe(1);
  expect(new EndpointChoice(1).pick(0, 0)).toBe(0);
});
