/**
 * What goes wrong in a world, decided by its seed. Each seed has its own weather (which kinds of misfortune there are, and how
 * often) and its own incidents (what befalls which machine when). All of it ends at one time: from there on nothing fails.
 */
import type { Random } from "@pilothouse/clock";
import { noFaults, type CallFate, type StoreFaults } from "@pilothouse/store/faulty";
import type { World } from "./world.ts";

export interface RequestFate {
  readonly outMs: number;
  readonly backMs: number;
  /** Never arrives. */
  readonly requestLost: boolean;
  /** Done, and nobody hears of it. */
  readonly replyLost: boolean;
  /** Until the next piece of the answer arrives. */
  chunkMs(): number;
  /** What becomes of a stream's next piece: a stream may break, or die without a word. */
  chunk(): "carried" | "cut" | "silent";
}

export interface MessageFate {
  readonly delayMs: number;
  /** False: may overtake and be overtaken. */
  readonly inOrder: boolean;
}

export interface Faults {
  request(client: string, server: string, path: string): RequestFate;
  /** One for each copy that arrives: none for a lost message. */
  message(from: string, to: string, subject: string): readonly MessageFate[];
  subscribeMs(): number;
  store(machine: string): StoreFaults;
  /** True while the two cannot hear each other. */
  partitioned(a: string, b: string): boolean;
}

/** How often things go wrong, as probabilities; 0 for what does not happen under this seed. */
export interface Weather {
  readonly requestLost: number;
  readonly replyLost: number;
  readonly streamCut: number;
  readonly messageLost: number;
  readonly messageDoubled: number;
  readonly messageLate: number;
  readonly storeReplyLost: number;
  readonly storeRefused: number;
  readonly storeWatchBreaks: number;
  readonly leaseLost: number;
  /** The longest usual delay on the wire. */
  readonly latencyMs: number;
}

export type Incident =
  | { readonly atMs: number; readonly forMs: number; readonly kind: "crash" | "pause"; readonly machine: string }
  /** After `atMs` and so many writes of processes of this kind, the writer stops in the middle of its work. */
  | {
      readonly atMs: number;
      readonly forMs: number;
      readonly kind: "pauseInWrite" | "crashInWrite";
      readonly machine: string;
      readonly writes: number;
    }
  /** The bus is down, and everybody knows. */
  | { readonly atMs: number; readonly forMs: number; readonly kind: "busDown"; readonly machine: "bus" }
  /** The store's news reach this apiserver late; or all who hear them from this member of the store's cluster. */
  | {
      readonly atMs: number;
      readonly forMs: number;
      readonly kind: "lag" | "memberLag";
      readonly machine: string;
      readonly lagMs: number;
    }
  /** The store's news do not reach this apiserver at all. */
  | { readonly atMs: number; readonly forMs: number; readonly kind: "behind"; readonly machine: string }
  /** Nothing new of one resource reaches this machine, by the bus or by HTTP. */
  | {
      readonly atMs: number;
      readonly forMs: number;
      readonly kind: "freeze";
      readonly machine: string;
      readonly resource: string;
    }
  | {
      readonly atMs: number;
      readonly forMs: number;
      readonly kind: "partition";
      readonly machine: string;
      readonly from: string;
    };

export interface FaultPlan {
  readonly weather: Weather;
  readonly incidents: readonly Incident[];
  /** From here on nothing goes wrong. */
  readonly untilMs: number;
}

/** Each kind of misfortune is there under about half of the seeds: rare combinations get their share. */
const WORST: Readonly<Record<Exclude<keyof Weather, "latencyMs">, number>> = {
  requestLost: 0.02,
  replyLost: 0.03,
  streamCut: 0.02,
  messageLost: 0.2,
  messageDoubled: 0.1,
  messageLate: 0.2,
  storeReplyLost: 0.01,
  storeRefused: 0.01,
  storeWatchBreaks: 0.03,
  leaseLost: 0.02,
};

export interface Victims {
  readonly apiservers: readonly string[];
  readonly leaders: readonly string[];
  readonly nodes: readonly string[];
  /** What serves a node beside its kubelet. */
  readonly servants: readonly string[];
}

/** Members of the store's cluster. */
export const MEMBERS = 3;
/** How much of what happens befalls leaders in the middle of a write, beside what chance has for them. */
const LEADERS_SHARE = 0.3;
/** What may be frozen. */
const RESOURCES = [
  "pods",
  "replicasets",
  "deployments",
  "services",
  "endpointslices",
  "nodes",
  "namespaces",
  "configmaps",
];

export function planFaults(random: Random, victims: Victims, fromMs: number, untilMs: number): FaultPlan {
  const weatherRandom = random.fork("weather");
  const rates = Object.entries(WORST).map(([kind, worst]) => [
    kind,
    weatherRandom.next() < 0.5 ? 0 : worst * weatherRandom.next(),
  ]);
  const latencyMs = weatherRandom.next() < 0.7 ? 2 : 200;
  const weather = { ...Object.fromEntries(rates), latencyMs } as Weather;
  return { weather, incidents: planIncidents(random.fork("incidents"), victims, fromMs, untilMs), untilMs };
}

export const calm: Weather = {
  ...(Object.fromEntries(Object.keys(WORST).map((kind) => [kind, 0])) as Record<keyof typeof WORST, number>),
  latencyMs: 2,
};

function planIncidents(random: Random, victims: Victims, fromMs: number, untilMs: number): Incident[] {
  const { apiservers, leaders, nodes, servants } = victims;
  const everybody = [...apiservers, ...leaders, ...nodes, ...servants];
  const count = Math.floor(random.next() * 18);
  const incidents: Incident[] = [];
  for (let i = 0; i < count; i++) {
    const atMs = Math.round(fromMs + random.next() * (untilMs - fromMs));
    const forMs = Math.min(untilMs - atMs, Math.round(200 + random.next() ** 2 * 30_000));
    const what = random.next() < LEADERS_SHARE ? 0 : random.next();
    // Leaders are paused most: longer than a takeover takes, so that a deposed one wakes up in the middle of its work.
    if (what < 0.25) {
      const kind = random.next() < 0.7 ? "pauseInWrite" : "crashInWrite";
      const writes = 1 + Math.floor(random.next() * 8);
      incidents.push({ kind, atMs, forMs, machine: kindOf(pick(random, leaders)), writes });
      // The next leader may be one that hears late of what this one did last.
      if (random.next() < 0.7) {
        const lagMs = Math.round(2_000 + random.next() * 8_000);
        const late = random.next() < 0.5 ? apiservers : [pick(random, apiservers)];
        for (const machine of late) incidents.push({ kind: "lag", atMs, forMs: forMs + 3_000, machine, lagMs });
      }
    } else if (what < 0.37)
      incidents.push({ kind: "pause", atMs, forMs, machine: pick(random, what < 0.3 ? leaders : everybody) });
    else if (what < 0.41) incidents.push({ kind: "busDown", atMs, forMs, machine: "bus" });
    else if (what < 0.6) incidents.push({ kind: "crash", atMs, forMs, machine: pick(random, everybody) });
    else if (what < 0.65) {
      // Long enough for the node to be taken for lost, and it comes back.
      const lostMs = Math.min(untilMs - atMs, Math.round(45_000 + random.next() * 30_000));
      incidents.push({ kind: "crash", atMs, forMs: lostMs, machine: pick(random, nodes) });
    } else if (what < 0.75) {
      const lagMs = Math.round(100 + random.next() * 4_000);
      if (random.next() < 0.7) incidents.push({ kind: "lag", atMs, forMs, machine: pick(random, apiservers), lagMs });
      else incidents.push({ kind: "memberLag", atMs, forMs, machine: memberOf(random.next() * MEMBERS), lagMs });
    } else if (what < 0.8) {
      const behindMs = Math.min(untilMs - atMs, forMs + 5_000);
      incidents.push({ kind: "behind", atMs, forMs: behindMs, machine: pick(random, apiservers) });
    } else if (what < 0.88) {
      const resource = pick(random, RESOURCES);
      incidents.push({
        kind: "freeze",
        atMs,
        forMs,
        machine: pick(random, [...leaders, ...nodes, ...servants]),
        resource,
      });
    } else {
      const from = pick(random, [...apiservers, "bus"]);
      const machine = pick(random, [...leaders, ...nodes, ...servants]);
      incidents.push({ kind: "partition", atMs, forMs, machine, from });
    }
  }
  return incidents.sort((a, b) => a.atMs - b.atMs);
}

/** The faults of a plan. Crashes and pauses are the cluster's to carry out; the rest is answered here, and counted. */
export function plannedFaults(world: World, { weather, incidents, untilMs }: FaultPlan): Faults {
  const random = world.random.fork("faults");
  const streams = new Map<string, Random>();
  /** A stream for each pair: what one wire suffers does not shift another's luck. */
  const of = (name: string): Random => {
    let stream = streams.get(name);
    if (!stream) streams.set(name, (stream = random.fork(name)));
    return stream;
  };
  const now = (): Weather => (world.nowMs < untilMs ? weather : calm);
  const isCurrent = ({ atMs, forMs }: Incident): boolean => atMs <= world.nowMs && world.nowMs < atMs + forMs;
  const current = (kind: Incident["kind"], machine: string): Incident | undefined =>
    incidents.find((incident) => incident.kind === kind && incident.machine === machine && isCurrent(incident));
  const delay = (stream: Random): number => 0.2 + Math.round(stream.next() ** 3 * now().latencyMs * 1_000) / 1_000;
  /** Draws in any case: that one fault comes true shifts no other. */
  const happens = (stream: Random, fault: Exclude<keyof Weather, "latencyMs">): boolean => {
    const isSo = stream.next() < now()[fault];
    if (isSo) world.count(fault);
    return isSo;
  };
  const counted = (fault: string, isSo: boolean): boolean => {
    if (isSo) world.count(fault);
    return isSo;
  };
  const isFrozen = (machine: string, isAbout: (resource: string) => boolean): boolean =>
    incidents.some(
      (incident) =>
        incident.kind === "freeze" &&
        incident.machine === machine &&
        isCurrent(incident) &&
        counted("frozen", isAbout(incident.resource)),
    );

  const faults: Faults = {
    partitioned: (a, b) =>
      incidents.some(
        (incident) =>
          incident.kind === "partition" &&
          ((incident.machine === a && incident.from === b) || (incident.machine === b && incident.from === a)) &&
          counted("partitioned", isCurrent(incident)),
      ),

    request(client, server, path) {
      const stream = of(`request ${client} ${server}`);
      const isApart = (): boolean => faults.partitioned(client, server);
      const isWatch = path.includes("watch=true");
      return {
        outMs: delay(stream),
        backMs: delay(stream),
        requestLost: happens(stream, "requestLost") || isApart(),
        replyLost: happens(stream, "replyLost"),
        chunkMs: () => delay(stream),
        chunk: () => {
          const isCut = happens(stream, "streamCut");
          if (isApart() || (isWatch && isFrozen(client, (resource) => path.includes(`/${resource}?`)))) return "silent";
          return isCut ? "cut" : "carried";
        },
      };
    },

    message(from, to, subject) {
      const stream = of(`message ${from} ${to}`);
      const lost = happens(stream, "messageLost");
      const copies = happens(stream, "messageDoubled") ? 2 : 1;
      const late = happens(stream, "messageLate");
      if (lost || faults.partitioned(from, "bus") || faults.partitioned(to, "bus")) return [];
      if (isFrozen(to, (resource) => subject.split(".").includes(resource))) return [];
      return Array.from({ length: copies }, (_, copy) => ({
        delayMs: delay(stream) + (late || copy > 0 ? Math.round(stream.next() * 3_000) : 0),
        inOrder: !late && copy === 0,
      }));
    },

    subscribeMs: () => Math.round(of("subscribe").next() ** 4 * 200),

    store(machine) {
      const stream = of(`store ${machine}`);
      const lagOf = (kind: "lag" | "memberLag", who: string): number => {
        const incident = current(kind, who);
        return incident && "lagMs" in incident && counted(kind, true) ? stream.next() * incident.lagMs : 0;
      };
      return {
        ...noFaults,
        call: (call) => {
          const luck = stream.next();
          const { storeReplyLost, storeRefused } = now();
          const ends: readonly [CallFate["end"], number][] = [
            ["requestLost", storeReplyLost / 2],
            ["replyLost", storeReplyLost],
            ["refused", storeReplyLost + storeRefused],
          ];
          const end = ends.find(([, below]) => luck < below)?.[0] ?? "answered";
          if (end === "replyLost") world.count(call === "txn" ? "committedUnanswered" : "storeReplyLost");
          else if (end !== "answered") world.count(end === "refused" ? "storeRefused" : "storeRequestLost");
          return { outMs: delay(stream), backMs: delay(stream), end };
        },
        watchLagMs: (member) => {
          const behind = current("behind", machine);
          if (behind && counted("behind", true)) return behind.atMs + behind.forMs - world.nowMs;
          return delay(stream) + lagOf("lag", machine) + lagOf("memberLag", memberOf(member));
        },
        breaksWatch: () => happens(stream, "storeWatchBreaks"),
        losesLease: () => happens(stream, "leaseLost"),
      };
    },
  };
  return faults;
}

function memberOf(index: number): string {
  return `store-${Math.floor(index) + 1}`;
}

function pick<T>(random: Random, items: readonly T[]): T {
  return items[Math.floor(random.next() * items.length)] as T;
}

/** `scheduler` of `scheduler-2`. */
export function kindOf(machine: string): string {
  return machine.replace(/-\d+$/, "");
}
