/** Faults of the lab's network as one nftables table on the bridge: a pure function of the faults that last. */
import type { LabMachine } from "./layout.ts";

export type NetworkFault = Partition | Loss;

export interface Partition {
  readonly fault: "partition";
  readonly machine: string;
  /** Names of those it cannot talk to; `host` is the machine that started the lab. */
  readonly from: readonly string[];
  /** What is lost: all, only what it hears, or only what it says. */
  readonly direction: "both" | "in" | "out";
}

export interface Loss {
  readonly fault: "loss";
  readonly machine: string;
  readonly percent: number;
}

export const FAULT_TABLE = "labfaults";

/** Commands for `nft -f`: the table as it should be, whatever it was. */
export function faultTable(
  faults: readonly NetworkFault[],
  addressOf: (name: string) => string,
  table = FAULT_TABLE,
): string {
  const rules = faults.flatMap((fault) => rulesOf(fault, addressOf));
  return `add table bridge ${table}
delete table bridge ${table}
table bridge ${table} {
  chain forward {
    type filter hook forward priority 0
${rules.map((rule) => `    ${rule}\n`).join("")}  }
}
`;
}

function rulesOf(fault: NetworkFault, addressOf: (name: string) => string): readonly string[] {
  const own = addressOf(fault.machine);
  switch (fault.fault) {
    case "loss":
      return ["saddr", "daddr"].map((side) => `ip ${side} ${own} numgen random mod 100 < ${fault.percent} drop`);
    case "partition":
      return fault.from.map(addressOf).flatMap((other) => cut(own, other, fault.direction));
  }
}

/** Addresses are looked for as well as found: without ARP nothing of a machine is heard at all. */
function cut(own: string, other: string, direction: Partition["direction"]): readonly string[] {
  const drop = (from: string, to: string): string[] => [
    `ip saddr ${from} ip daddr ${to} drop`,
    ...(direction === "both" ? [`arp saddr ip ${from} arp daddr ip ${to} drop`] : []),
  ];
  return [...(direction === "in" ? [] : drop(own, other)), ...(direction === "out" ? [] : drop(other, own))];
}

/** All machines of the lab but this one: what a partition cuts a machine off from unless told otherwise. */
export function everybodyElse(machines: readonly LabMachine[], name: string): readonly string[] {
  return machines.map((machine) => machine.name).filter((other) => other !== name);
}
