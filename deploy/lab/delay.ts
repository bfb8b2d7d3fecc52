/** Packets that come late: the machine's link is led through a relay (delay-relay.py) that lets each frame wait. */
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { endHelpers, hasHelper, startHelper } from "./helpers.ts";
import type { Lab, LabLayout, LabMachine } from "./layout.ts";
import { run } from "./shell.ts";

const RELAY = join(import.meta.dirname, "delay-relay.py");
const READY_WITHIN_MS = 10_000;

export async function delayPackets({ layout }: Lab, machine: LabMachine, delayMs: number): Promise<void> {
  if (!existsSync("/dev/net/tun"))
    throw new Error("This kernel has no tun device, which the delay needs (/dev/net/tun).");
  await undoDelay({ layout }, machine);
  const port = linkOf(layout, portOf(machine))?.ifname;
  if (port === undefined) throw new Error(`${machine.name} is off.`);
  await startHelper(layout, machine, "delay", "python3", RELAY, port, tapOf(machine), layout.bridge, String(delayMs));
  const startedMs = performance.now();
  while (linkOf(layout, tapOf(machine))?.master !== layout.bridge) {
    if (!hasHelper(layout, machine, "delay") || performance.now() - startedMs > READY_WITHIN_MS)
      throw new Error(`The relay of ${machine.name} did not start; try: python3 ${RELAY}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** The relay's device goes with it; the machine's own link takes its place again. */
export async function undoDelay({ layout }: Pick<Lab, "layout">, machine: LabMachine): Promise<void> {
  await endHelpers(layout, machine, "delay");
  // A machine that is off has no link; it gets one on the bridge when it is switched on.
  if (linkOf(layout, portOf(machine)))
    await run("ip", "-n", layout.netns, "link", "set", "dev", portOf(machine), "master", layout.bridge);
}

/** Also where the relay was killed: its machine is cut off until the link is back on the bridge. */
export function isDelayed({ layout }: Lab, machine: LabMachine): boolean {
  if (hasHelper(layout, machine, "delay")) return true;
  const link = linkOf(layout, portOf(machine));
  return link !== undefined && link.master !== layout.bridge;
}

/** Its second name: the first, by which sockets know it, is too short to say whose it is. */
function portOf({ container }: LabMachine): string {
  return `vb-${container}`;
}

/** At most the 15 bytes of an interface's name. */
function tapOf({ name }: LabMachine): string {
  return `delay-${name}`;
}

interface Link {
  readonly ifname: string;
  readonly master?: string;
}

function linkOf({ netns }: LabLayout, name: string): Link | undefined {
  try {
    const text = execFileSync("ip", ["-n", netns, "-j", "link", "show", "dev", name], {
      stdio: ["ignore", "pipe", "ignore"],
    });
    return (JSON.parse(text.toString()) as Link[])[0];
  } catch {
    return undefined; // There is none.
  }
}
