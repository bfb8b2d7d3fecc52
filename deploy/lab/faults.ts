/**
 * What can be done to a machine of the lab, and how each is undone: a row a fault. Faults that last are kept in `.lab/faults.json`;
 * the commands look there and in the kernel, so that it does not matter which of them was killed half-way.
 */
import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { cgroupHierarchies } from "../cluster/host.ts";
import { baseDirectory } from "./base.ts";
import { delayPackets, isDelayed, undoDelay } from "./delay.ts";
import { isFlapping, startFlapping, stopFlapping } from "./flapping.ts";
import { HOST_ADDRESS, type Lab, type LabLayout, type LabMachine } from "./layout.ts";
import { isOn, pause, powerOff, powerOn, prepareMachine, removeMachine, thaw } from "./machine.ts";
import { everybodyElse, faultTable, type NetworkFault, type Partition } from "./network-faults.ts";
import { feed, run } from "./shell.ts";
import { continueUnits, hasStoppedUnit, hasWrongClock, offsetClock, rightClocks, signalUnit } from "./units.ts";

/** What the command line may say beside the fault's and the machine's name. */
export interface FaultOptions {
  readonly from?: readonly string[];
  readonly direction?: Partition["direction"];
  readonly percent?: number;
  readonly bytesPerSecond?: number;
  readonly delayMs?: number;
  readonly periodMs?: number;
  /** `etcd`, `apiserver`, …: the unit pilothouse-<process>. */
  readonly process?: string;
  readonly offsetS?: number;
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
const DEFAULT_DELAY_MS = 100;
const DEFAULT_PERIOD_MS = 2_000;
const DEFAULT_OFFSET_S = 3_600;
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
    name: "lose-disk",
    what: "its disk breaks: a bare machine stands in its place, under its name and address",
    async apply({ layout }, machine) {
      await powerOff(machine);
      await removeMachine(machine);
      await prepareMachine(machine, baseDirectory(layout.clone), readFileSync(`${layout.sshKey}.pub`, "utf8"));
      // It makes itself another key, as a new machine does.
      rmSync(join(layout.root, "known_hosts"), { force: true });
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
    apply: async (lab, machine, options) =>
      changeNetwork(lab, machine, "partition", partitionOf(lab, machine, options)),
    undo: async (lab, machine) => changeNetwork(lab, machine, "partition", undefined),
    lasts: (lab, machine) => hasNetworkFault(lab, machine, "partition"),
  },
  {
    name: "flapping",
    what: `a partition that comes and goes (--period-ms N, default ${DEFAULT_PERIOD_MS}; --from and --direction as above)`,
    apply: (lab, machine, { periodMs = DEFAULT_PERIOD_MS, ...options }) =>
      startFlapping(lab, machine, partitionOf(lab, machine, options), periodMs, addressesOf(lab)),
    undo: stopFlapping,
    lasts: isFlapping,
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
    name: "delay",
    what: `packets to and from it are late (--delay-ms N each way, default ${DEFAULT_DELAY_MS})`,
    apply: (lab, machine, { delayMs = DEFAULT_DELAY_MS }) => delayPackets(lab, machine, delayMs),
    undo: undoDelay,
    lasts: isDelayed,
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
  {
    name: "kill",
    what: "one process is killed (--process etcd|apiserver|…); systemd starts it again",
    apply: (_lab, machine, options) => signalUnit(machine, processOf(options), "SIGKILL"),
  },
  {
    name: "stop",
    what: "one process stands still (--process etcd|apiserver|…); its connections stay open",
    apply: (_lab, machine, options) => signalUnit(machine, processOf(options), "SIGSTOP"),
    undo: async (_lab, machine) => continueUnits(machine),
    lasts: (_lab, machine) => hasStoppedUnit(machine),
  },
  {
    name: "clock",
    what: `one process' wall clock is off: it is started anew, or if it was so before, it runs on (--process; --offset-s N, default ${DEFAULT_OFFSET_S})`,
    apply: (_lab, machine, options) => offsetClock(machine, processOf(options), options.offsetS ?? DEFAULT_OFFSET_S),
    undo: (_lab, machine) => rightClocks(machine),
    lasts: (_lab, machine) => hasWrongClock(machine),
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

function partitionOf({ machines }: Lab, { name }: LabMachine, options: FaultOptions): Partition {
  const { from = everybodyElse(machines, name), direction = "both" } = options;
  return { fault: "partition", machine: name, from, direction };
}

function processOf({ process }: FaultOptions): string {
  if (process === undefined)
    throw new Error("--process is wanted: etcd, nats, apiserver, kubelet, … (`systemctl list-units`).");
  return process;
}

/** Writes the list before the kernel's table: a list that is ahead is made true by the next change. */
function changeNetwork(
  lab: Lab,
  { name }: LabMachine,
  kind: NetworkFault["fault"],
  wanted: NetworkFault | undefined,
): void {
  const { layout } = lab;
  const others = networkFaults(layout).filter(({ machine, fault }) => machine !== name || fault !== kind);
  const faults = wanted ? [...others, wanted] : others;
  writeFileSync(layout.faults, `${JSON.stringify(faults, undefined, 2)}\n`);
  feed(faultTable(faults, addressesOf(lab)), layout.netns, "nft", "-f", "-");
}

function addressesOf({ machines }: Lab): (name: string) => string {
  const addresses = new Map([...machines.map((it) => [it.name, it.address] as const), ["host", HOST_ADDRESS]]);
  return (name) => {
    const address = addresses.get(name);
    if (address === undefined)
      throw new Error(`there is no machine ${name}; there are ${[...addresses.keys()].join(", ")}`);
    return address;
  };
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
