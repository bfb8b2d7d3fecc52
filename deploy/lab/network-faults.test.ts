import { expect, test } from "vitest";
import { labLayout, labMachines } from "./layout.ts";
import { everybodyElse, faultTable, type NetworkFault } from "./network-faults.ts";

const machines = labMachines(labLayout("/clone"), { masters: 3, workers: 1 });
const addressOf = (name: string): string => machines.find((it) => it.name === name)?.address ?? "";
const rulesFor = (...faults: NetworkFault[]): readonly string[] =>
  [...faultTable(faults, addressOf).matchAll(/^ {4}((?:ip|arp) .*)$/gm)].map(([, rule]) => rule ?? "");

test("machines are numbered by role, each with an address of its own", () => {
  expect(machines.map(({ name }) => name)).toEqual(["master-1", "master-2", "master-3", "worker-1"]);
  expect(new Set(machines.map(({ address }) => address)).size).toBe(4);
});

test("a partition cuts both ways and hides the machine, unless one way is asked for", () => {
  const from = everybodyElse(machines, "master-1");
  expect(from).toEqual(["master-2", "master-3", "worker-1"]);
  expect(rulesFor({ fault: "partition", machine: "master-1", from, direction: "both" })).toHaveLength(12);
  expect(rulesFor({ fault: "partition", machine: "master-1", from: ["worker-1"], direction: "out" })).toEqual([
    "ip saddr 198.51.100.11 ip daddr 198.51.100.21 drop",
  ]);
  expect(rulesFor({ fault: "partition", machine: "master-1", from: ["worker-1"], direction: "in" })).toEqual([
    "ip saddr 198.51.100.21 ip daddr 198.51.100.11 drop",
  ]);
});

test("faults stand side by side, and none leaves an empty table", () => {
  const loss = { fault: "loss", machine: "worker-1", percent: 30 } as const;
  const partition = { fault: "partition", machine: "master-1", from: ["master-2"], direction: "in" } as const;
  expect(rulesFor(loss, partition)).toEqual([
    "ip saddr 198.51.100.21 numgen random mod 100 < 30 drop",
    "ip daddr 198.51.100.21 numgen random mod 100 < 30 drop",
    "ip saddr 198.51.100.12 ip daddr 198.51.100.11 drop",
  ]);
  expect(rulesFor()).toEqual([]);
});

test("a table of another name changes nothing in the first", () => {
  const text = faultTable([{ fault: "loss", machine: "worker-1", percent: 5 }], addressOf, "other");
  expect(text.match(/table bridge \w+/g)).toEqual(["table bridge other", "table bridge other", "table bridge other"]);
});
