import type { Node, PersistentVolume, Pod } from "@pilothouse/api/types/core-v1";
import { describe, expect, it } from "vitest";
import { node, pod } from "./cluster.fixture.ts";
import type { ClusterEvent } from "./events.ts";
import { History } from "./history.fixture.ts";
import {
  apart,
  claiming,
  dedicated,
  HOST,
  labelled,
  near,
  placed,
  port,
  spread,
  told,
  ZONE,
} from "./wishes.fixture.ts";

describe("a pod that was refused", () => {
  const small = node("a", { cpu: "1" });
  const rows: readonly {
    readonly because: string;
    readonly wants: Pod;
    readonly nodes: readonly Node[];
    readonly running?: readonly Pod[];
    readonly event: string;
    readonly happens: (history: History) => readonly ClusterEvent[];
    readonly wakes: boolean;
  }[] = [
    {
      because: "there is too little CPU",
      wants: pod("big", {}, { cpu: "2" }),
      nodes: [small],
      event: "a node as small comes",
      happens: ({ state }) => state.setNode(node("b", { cpu: "1" })),
      wakes: false,
    },
    {
      because: "there is too little CPU",
      wants: pod("big", {}, { cpu: "2" }),
      nodes: [small],
      event: "a larger node comes",
      happens: ({ state }) => state.setNode(node("b")),
      wakes: true,
    },
    {
      because: "there is too little CPU",
      wants: pod("big", {}, { cpu: "2" }),
      nodes: [small],
      event: "the node gets a label",
      happens: ({ state }) => state.setNode(node("a", { cpu: "1", labels: { disk: "ssd" } })),
      wakes: false,
    },
    {
      because: "there is too little CPU",
      wants: pod("big", {}, { cpu: "2" }),
      nodes: [small],
      event: "another pod is placed",
      happens: ({ state }) => state.setPod(placed(pod("other"), "a")),
      wakes: false,
    },
    {
      because: "others use the CPU",
      wants: pod("big", {}, { cpu: "1" }),
      nodes: [small],
      running: [placed(pod("other", {}, { cpu: "1" }), "a")],
      event: "one of them is resized to nothing",
      happens: ({ state }) => state.setPod(placed(pod("other", {}, { cpu: "0" }), "a")),
      wakes: true,
    },
    {
      because: "others use the CPU",
      wants: pod("big", {}, { cpu: "1" }),
      nodes: [small],
      running: [placed(pod("other", {}, { cpu: "1" }), "a")],
      event: "one of them gets a label",
      happens: ({ state }) => state.setPod(placed(labelled(pod("other", {}, { cpu: "1" }), { app: "new" }), "a")),
      wakes: false,
    },
    {
      because: "others use the CPU",
      wants: pod("big", {}, { cpu: "1" }),
      nodes: [small],
      running: [placed(pod("other", {}, { cpu: "1" }), "a")],
      event: "one of them ends",
      happens: ({ state }) => state.removePod("default/other"),
      wakes: true,
    },
    {
      because: "a taint keeps it away",
      wants: pod("web"),
      nodes: [node("a", { taints: [dedicated] })],
      event: "a pod ends",
      happens: ({ state }) => [...state.setPod(placed(pod("other"), "a")), ...state.removePod("default/other")],
      wakes: false,
    },
    {
      because: "a taint keeps it away",
      wants: pod("web"),
      nodes: [node("a", { taints: [dedicated] })],
      event: "the taint is taken away",
      happens: ({ state }) => state.setNode(node("a")),
      wakes: true,
    },
    {
      because: "the node is cordoned",
      wants: pod("web"),
      nodes: [node("a", { unschedulable: true })],
      event: "it says how it is, and stays cordoned",
      happens: ({ state }) => state.setNode(node("a", { unschedulable: true, cpu: "8" })),
      wakes: false,
    },
    {
      because: "the node is cordoned",
      wants: pod("web"),
      nodes: [node("a", { unschedulable: true })],
      event: "it is uncordoned",
      happens: ({ state }) => state.setNode(node("a")),
      wakes: true,
    },
    {
      because: "no node has the label",
      wants: pod("web", { nodeSelector: { disk: "ssd" } }),
      nodes: [node("a")],
      event: "another label is set",
      happens: ({ state }) => state.setNode(node("a", { labels: { disk: "hdd" } })),
      wakes: false,
    },
    {
      because: "no node has the label",
      wants: pod("web", { nodeSelector: { disk: "ssd" } }),
      nodes: [node("a")],
      event: "the label is set",
      happens: ({ state }) => state.setNode(node("a", { labels: { disk: "ssd" } })),
      wakes: true,
    },
    {
      because: "its host port is taken",
      wants: pod("web", port(8080)),
      nodes: [node("a")],
      running: [placed(pod("other", port(8080)), "a"), placed(pod("third", port(9090)), "a")],
      event: "a pod with another port ends",
      happens: ({ state }) => state.removePod("default/third"),
      wakes: false,
    },
    {
      because: "its host port is taken",
      wants: pod("web", port(8080)),
      nodes: [node("a")],
      running: [placed(pod("other", port(8080)), "a")],
      event: "the pod that has it ends",
      happens: ({ state }) => state.removePod("default/other"),
      wakes: true,
    },
    {
      because: "its set would not be spread",
      wants: pod("web", spread(ZONE)),
      nodes: [
        node("a", { labels: { [ZONE]: "east" } }),
        node("b", { labels: { [ZONE]: "west" }, taints: [dedicated] }),
      ],
      running: [placed(pod("one"), "a"), placed(labelled(pod("two"), { app: "db" }), "a")],
      event: "a pod of another set ends",
      happens: ({ state }) => state.removePod("default/two"),
      wakes: false,
    },
    {
      because: "its set would not be spread",
      wants: pod("web", spread(ZONE)),
      nodes: [
        node("a", { labels: { [ZONE]: "east" } }),
        node("b", { labels: { [ZONE]: "west" }, taints: [dedicated] }),
      ],
      running: [placed(pod("one"), "a")],
      event: "a pod of its set is told to go",
      happens: ({ state }) => state.setPod(told(placed(pod("one"), "a"))),
      wakes: true,
    },
    {
      because: "nobody is there whom it must be near",
      wants: pod("web", near(HOST)),
      nodes: [node("a")],
      event: "a stranger is placed",
      happens: ({ state }) => state.setPod(placed(pod("stranger"), "a")),
      wakes: false,
    },
    {
      because: "nobody is there whom it must be near",
      wants: pod("web", near(HOST)),
      nodes: [node("a")],
      event: "its like is placed",
      happens: ({ state }) => state.setPod(placed(labelled(pod("db"), { app: "db" }), "a")),
      wakes: true,
    },
    {
      because: "one whom it must be apart from is still ending",
      wants: pod("web", apart(HOST)),
      nodes: [node("a")],
      running: [told(placed(pod("old"), "a")), placed(labelled(pod("db"), { app: "db" }), "a")],
      event: "a stranger ends",
      happens: ({ state }) => state.removePod("default/db"),
      wakes: false,
    },
    {
      because: "one whom it must be apart from is still ending",
      wants: pod("web", apart(HOST)),
      nodes: [node("a")],
      running: [told(placed(pod("old"), "a"))],
      event: "it has ended",
      happens: ({ state }) => state.removePod("default/old"),
      wakes: true,
    },
  ];

  it.each(rows)("because $because: when $event, it is tried again: $wakes", (row) => {
    const { wants, nodes, running = [], happens, wakes } = row;
    const history = new History();
    for (const one of nodes) history.state.setNode(one);
    for (const one of running) history.state.setPod(one);
    const decision = history.decide(wants);
    if (decision.outcome !== "unschedulable") throw new Error("it was not refused");
    expect(happens(history).some(decision.undoneBy)).toBe(wakes);
    expect(history.decide(wants).outcome).toBe(wakes ? "scheduled" : "unschedulable");
  });

  it("because its claim has no volume: only storage of its own wakes it", () => {
    const history = new History();
    history.state.setNode(node("a"));
    const decision = history.decide(pod("web", claiming));
    if (decision.outcome !== "unschedulable") throw new Error("it was not refused");
    const claim = (name: string): ClusterEvent => ({
      what: "claim changed",
      claim: { metadata: { name, namespace: "default" }, spec: {} },
    });
    const volume = (name: string): PersistentVolume => ({
      metadata: { name: "v" },
      spec: { claimRef: { namespace: "default", name } },
    });
    const told = (name: string, before?: string): ClusterEvent => ({
      what: "volume changed",
      before: before === undefined ? undefined : volume(before),
      volume: volume(name),
    });
    const events = [claim("data"), claim("other"), told("data"), told("other")];
    expect(events.map(decision.undoneBy)).toEqual([true, false, true, false]);
    // One that was given to its claim, in a place that it cannot go to, is given to another: now a better one may come.
    expect(decision.undoneBy(told("other", "data"))).toBe(true);
  });
});
