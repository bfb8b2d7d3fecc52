/** What goes wrong when, drawn from a seed: lanes of faults, one after the other in each, all lanes at the same time. */
import type { Random } from "@pilothouse/clock";

export interface FaultEvent {
  /** The faults of one lane never overlap. */
  readonly lane: number;
  readonly atMs: number;
  readonly forMs: number;
  readonly fault: Fault;
}

export type Fault =
  /** Between an apiserver and etcd, NATS, or its clients; `to`: the number of the member or server, absent: all of them. */
  | { readonly on: "edge"; readonly apiserver: number; readonly edge: Edge; readonly to?: number; readonly harm: Harm }
  /** `which`: the leader, or the member of that number. */
  | { readonly on: "etcd"; readonly which: "leader" | number; readonly harm: "kill" | "pause" }
  | { readonly on: "nats"; readonly which: number; readonly harm: "kill" | "pause" }
  | { readonly on: "apiserver"; readonly which: number; readonly harm: "kill" | "pause" };

export type Edge = "etcd" | "nats" | "door";
/**
 * `cut` and `halfOpen` are of a moment; the others last. `loseAnswers`: requests arrive, their answers do not, and then the
 * connections are reset. `trickle`: connections are reset after some kilobytes each.
 */
export type Harm = "cut" | "halfOpen" | "freeze" | "loseAnswers" | "delay" | "refuse" | "trickle";

const EDGES: readonly Edge[] = ["etcd", "etcd", "etcd", "door", "door", "nats"];
const HARMS: readonly Harm[] = ["cut", "halfOpen", "freeze", "loseAnswers", "delay", "refuse", "trickle"];
const KILL_OR_PAUSE = ["kill", "pause"] as const;
const APISERVERS = 3;
const MEMBERS = 3;
const NATS_SERVERS = 2;

type Draw = <T>(all: readonly T[]) => T;

interface Lane {
  readonly pauseMs: number;
  readonly lastsMs: number;
  readonly draw: (pick: Draw) => Fault;
}

const LANES: readonly Lane[] = [
  { pauseMs: 400, lastsMs: 1_200, draw: edgeFault },
  { pauseMs: 1_500, lastsMs: 3_000, draw: edgeFault },
  {
    pauseMs: 4_000,
    lastsMs: 2_500,
    draw: (pick) => ({ on: "etcd", which: pick(["leader", "leader", ...numbers(MEMBERS)]), harm: pick(KILL_OR_PAUSE) }),
  },
  {
    pauseMs: 4_000,
    lastsMs: 3_000,
    draw: (pick) => ({ on: "apiserver", which: pick(numbers(APISERVERS)), harm: pick(KILL_OR_PAUSE) }),
  },
  {
    pauseMs: 6_000,
    lastsMs: 2_000,
    draw: (pick) => ({ on: "nats", which: pick(numbers(NATS_SERVERS)), harm: pick(KILL_OR_PAUSE) }),
  },
];

/** In the order in which they begin; all are over by `untilMs`. */
export function planFaults(random: Random, untilMs: number): FaultEvent[] {
  return LANES.flatMap((_, lane) => laneOf(random.fork(`lane ${lane}`), lane, untilMs)).sort(
    (one, other) => one.atMs - other.atMs,
  );
}

export function describeFault({ atMs, forMs, fault }: FaultEvent): string {
  const where =
    fault.on === "edge"
      ? `apiserver ${fault.apiserver} – ${fault.edge}${fault.to === undefined ? "" : ` ${fault.to}`}`
      : `${fault.on} ${fault.which}`;
  return `${(atMs / 1_000).toFixed(1)} s: ${fault.harm} ${where} for ${(forMs / 1_000).toFixed(1)} s`;
}

function laneOf(random: Random, lane: number, untilMs: number): FaultEvent[] {
  const { pauseMs, lastsMs, draw } = LANES[lane] as Lane;
  const pick: Draw = (all) => all[Math.floor(random.next() * all.length)] as (typeof all)[number];
  const about = (ms: number): number => Math.round(ms * (0.4 + 1.2 * random.next()));
  const events: FaultEvent[] = [];
  for (let atMs = about(pauseMs); ;) {
    const event = { lane, atMs, forMs: about(lastsMs), fault: draw(pick) };
    if (atMs + event.forMs > untilMs) return events;
    events.push(event);
    atMs += event.forMs + about(pauseMs);
  }
}

function edgeFault(pick: Draw): Fault {
  const edge = pick(EDGES);
  const to = { etcd: [undefined, 0, 1, 2], nats: [undefined, 0, 1], door: [undefined] }[edge];
  const number = pick<number | undefined>(to);
  const fault = { on: "edge", apiserver: pick(numbers(APISERVERS)), edge, harm: pick(HARMS) } as const;
  return number === undefined ? fault : { ...fault, to: number };
}

function numbers(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i);
}
