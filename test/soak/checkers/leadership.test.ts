/** A recorded history of two leaders, and one planted violation of each rule. */
import { expect, test } from "vitest";
import { judgeLeadership, leadershipFigures, type FencedWrite, type LeadershipHistory } from "./leadership.ts";

const election = "kube-scheduler";
const write = (mark: string, createRevision: number, outcome: FencedWrite["outcome"]): FencedWrite => ({
  mark,
  election,
  createRevision,
  outcome,
  text: `write ${mark}`,
});

/** 10 leads until 20; nobody until 25; then 25. */
const good: LeadershipHistory = {
  reigns: [
    { election, createRevision: 10, revision: 10 },
    { election, createRevision: 0, revision: 20 },
    { election, createRevision: 25, revision: 25 },
  ],
  writes: [
    write("a", 10, "done"),
    write("b", 10, "unknown"),
    write("c", 10, "refused"),
    write("d", 25, "done"),
    write("e", 25, "unknown"),
  ],
  landed: [
    { mark: "a", revision: 12 },
    { mark: "b", revision: 19 },
    { mark: "d", revision: 26 },
  ],
};
const messages = (history: Partial<LeadershipHistory>): string[] =>
  judgeLeadership({ ...good, ...history }).map(({ message }) => message);

test("leaders that are followed by others keep the promise", () => {
  expect(messages({})).toEqual([]);
  expect(leadershipFigures(good)).toEqual({
    leaderships: 2,
    "fenced writes": 5,
    accepted: 3,
    "refused under an old leadership": 1,
  });
});

test.each<[string, number, string]>([
  ["while nobody leads", 21, "nobody's"],
  ["when another leads", 30, "25"],
])("a deposed leader's write that lands %s is found, though nobody was told that it did", (_, revision, leader) => {
  const landed = [...good.landed.filter(({ mark }) => mark !== "b"), { mark: "b", revision }];
  expect(messages({ landed })).toEqual([
    `write b: was accepted at revision ${revision}, when the leadership was ${leader}`,
  ]);
});

test("a write under a leadership that is yet to come is found", () => {
  expect(messages({ landed: [...good.landed, { mark: "e", revision: 22 }] })).toHaveLength(1);
});

test("a refused write that landed, and an acknowledged one that did not, are found", () => {
  expect(messages({ landed: [...good.landed, { mark: "c", revision: 15 }] })).toEqual([
    "write c: was refused, but is in the store at 15",
  ]);
  expect(messages({ landed: good.landed.slice(1) })).toEqual(["write a: was acknowledged, but the store never had it"]);
});

test("a create-revision that goes back is found", () => {
  const reigns = [...good.reigns, { election, createRevision: 24, revision: 30 }];
  expect(messages({ reigns })).toEqual(["the create-revision of kube-scheduler went back to 24"]);
});
