/**
 * What can be done to a machine of the lab, and how each is undone: a row a fault. Faults that last are kept in `.lab/faults.json`;
 * the commands look there and in the kernel, so that it does not matter which of them was killed half-way.
 */
import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { cgroupHierarchies } from "../cluster/host.ts";
import { HOST_ADDRESS, type LabLayout, type LabMachine } from "./layout.ts";
import { isOn, pause, powerOff, powerOn, thaw } from "./machine.ts";
import { everybodyElse, faultTable, type NetworkFault, type Partition } from "./network-faults.ts";
import { feed, run } from "./shell.ts";

export interface Lab {
  readonly layout: LabLayout;
  readonly machines: readonly LabMachine[];
}

/** What the command line may say beside the fault's and the machine's name. */
export interface FaultOptions {
  readonly from?: readonly string[];
  readonly direction?: Partition["direction"];
  readonly percent?: number;
  readonly bytesPerSecond?: number;
}

export interface FaultRow {
  readonly name: string;
  readonly what: string;
  readonly apply: (lab: Lab, machine: LabMachine, options: FaultOptions) => Promise<void>;
  /** Absent: it does not last. */
  readonly undo?: (lab: Lab, machine: LabMachine) => Promise<void>;
  /** Whether the machine suffers from it now. */
  readonly lasts?: (lab: Lab, machine: LabMachine) => boolean;
}

const DEFAULT_LOSS_PERCENT = 20;
const DEFAULT_SLOW_DISK_BYTES_PER_SECOND = 256 * 1_024;
const FILLER = "upper/var/lib/lab-filler";

export const FAULTS: readonly FaultRow[] = [
  {
    name: "power-off",
    what: "the plug is pulled: nothing in the machine says goodbye",
    apply: (_lab, machine) => powerOff(machine),
    undo: ({ layout }, machine) => powerOn(layout, machine),
    lasts: (_lab, machine) => !isOn(machine),
  },
  {
    name: "reboot",
    what: "the plug is pulled and put back",
    async apply({ layout }, machine) {
      await powerOff(machine);
      await powerOn(layout, machine);
    },
  },
  {
    name: "pause",
    what: "every process stands still; connections stay open",
    apply: async (_lab, machine) => pause(machine),
    undo: async (_lab, machine) => thaw(machine),
    lasts: (_lab, machine) => isPaused(machine),
  },
  {
    name: "partition",
    what: "nothing passes between it and the others (--from NAME,…; --direction in|out loses one way only)",
    async apply(lab, machine, { from = everybodyElse(lab.machines, machine.name), direction = "both" }) {
      changeNetwork(lab, machine, "partition", { fault: "partition", machine: machine.name, from, direction });
    },
    undo: async (lab, machine) => changeNetwork(lab, machine, "partition", undefined),
    lasts: (lab, machine) => hasNetworkFault(lab, machine, "partition"),
  },
  {
    name: "loss",
    what: `packets to and from it are lost (--percent N, default ${DEFAULT_LOSS_PERCENT})`,
    async apply(lab, machine, { percent = DEFAULT_LOSS_PERCENT }) {
      changeNetwork(lab, machine, "loss", { fault: "loss", machine: machine.name, percent });
    },
    undo: async (lab, machine) => changeNetwork(lab, machine, "loss", undefined),
    lasts: (lab, machine) => hasNetworkFault(lab, machine, "loss"),
  },
  {
    name: "full-disk",
    what: "its disk has no byte left",
    apply: (_lab, machine) => fillDisk(machine),
    undo: async (_lab, { diskMount }) => rmSync(join(diskMount, FILLER), { force: true }),
    lasts: (_lab, { diskMount }) => existsSync(join(diskMount, FILLER)),
  },
  {
    name: "slow-disk",
    what: `its disk writes this many bytes a second (--bytes-per-second N, default ${DEFAULT_SLOW_DISK_BYTES_PER_SECOND})`,
    apply: async (_lab, machine, { bytesPerSecond = DEFAULT_SLOW_DISK_BYTES_PER_SECOND }) =>
      throttleDisk(machine, bytesPerSecond),
    undo: async (_lab, machine) => throttleDisk(machine, 0),
    lasts: (_lab, machine) => isThrottled(machine),
  },
];

/** All faults that last, a line each. */
export function lastingFaults(lab: Lab): readonly string[] {
  return lab.machines.flatMap((machine) =>
    FAULTS.filter(({ lasts }) => lasts?.(lab, machine)).map(({ name }) => `${name} ${machine.name}`),
  );
}

function hasNetworkFault({ layout }: Lab, { name }: LabMachine, fault: NetworkFault["fault"]): boolean {
  return networkFaults(layout).some((it) => it.machine === name && it.fault === fault);
}

/** Writes the list before the kernel's table: a list that is ahead is made true by the next change. */
function changeNetwork(
  { layout, machines }: Lab,
  { name }: LabMachine,
  kind: NetworkFault["fault"],
  wanted: NetworkFault | undefined,
): void {
  const others = networkFaults(layout).filter(({ machine, fault }) => machine !== name || fault !== kind);
  const faults = wanted ? [...others, wanted] : others;
  writeFileSync(layout.faults, `${JSON.stringify(faults, undefined, 2)}\n`);
  const addresses = new Map([...machines.map((it) => [it.name, it.address] as const), ["host", HOST_ADDRESS]]);
  feed(
    faultTable(faults, (machine) => addressOf(addresses, machine)),
    layout.netns,
    "nft",
    "-f",
    "-",
  );
}

function addressOf(addresses: ReadonlyMap<string, string>, machine: string): string {
  const address = addresses.get(machine);
  if (address === undefined)
    throw new Error(`there is no machine ${machine}; there are ${[...addresses.keys()].join(", ")}`);
  return address;
}

function networkFaults({ faults }: LabLayout): readonly NetworkFault[] {
  return existsSync(faults) ? (JSON.parse(readFileSync(faults, "utf8")) as NetworkFault[]) : [];
}

function isPaused({ cgroup }: LabMachine): boolean {
  const says = (file: string, frozen: RegExp): boolean => existsSync(file) && frozen.test(readFileSync(file, "utf8"));
  return (
    says(join("/sys/fs/cgroup/freezer", cgroup, "freezer.state"), /FROZEN|FREEZING/) ||
    says(join("/sys/fs/cgroup", cgroup, "cgroup.freeze"), /1/)
  );
}

/** Takes what is free in ever smaller pieces: fallocate is all or nothing. The disk's file on the host stays sparse. */
async function fillDisk({ diskMount }: LabMachine): Promise<void> {
  const filler = join(diskMount, FILLER);
  for (let pieceBytes = 2 ** 33, filledBytes = 0; pieceBytes >= 4_096;) {
    try {
      await run("fallocate", "--offset", String(filledBytes), "--length", String(pieceBytes), filler);
      filledBytes += pieceBytes;
    } catch {
      pieceBytes /= 2;
    }
  }
}

/** 0 takes the limit away. */
function throttleDisk(machine: LabMachine, bytesPerSecond: number): void {
  const device = deviceOf(machine);
  for (const folder of cgroupHierarchies().map((hierarchy) => join(hierarchy, machine.cgroup))) {
    const [v1, v2] = [join(folder, "blkio.throttle.write_bps_device"), join(folder, "io.max")];
    if (existsSync(v1)) writeFileSync(v1, `${device} ${bytesPerSecond}`);
    else if (existsSync(v2)) writeFileSync(v2, `${device} wbps=${bytesPerSecond === 0 ? "max" : bytesPerSecond}`);
  }
}

function isThrottled(machine: LabMachine): boolean {
  const files = ["blkio.throttle.write_bps_device", "io.max"];
  return cgroupHierarchies()
    .flatMap((hierarchy) => files.map((file) => join(hierarchy, machine.cgroup, file)))
    .some((file) => existsSync(file) && readFileSync(file, "utf8").trim() !== "");
}

/** `major:minor` of the loop device that the machine's disk is. */
function deviceOf({ diskMount }: LabMachine): string {
  const { dev } = statSync(diskMount);
  return `${(dev >> 8) & 0xfff}:${dev & 0xff}`;
}
