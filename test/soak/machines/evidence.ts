/**
 * What containers of the soak left on the disks of their machines: lines in files below one folder, read past every machine, so that
 * also one that is off or cut off tells all it did.
 */
import { readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import type { LabMachine } from "../../../deploy/lab/layout.ts";
import type { IdentityRun } from "../checkers/identities.ts";
import type { DoneWork } from "../checkers/jobs.ts";

/** On every machine; a namespace has a folder of its own in it. */
export const EVIDENCE = "/var/lib/pilothouse-soak";
/** Where a container finds its namespace's folder. */
export const EVIDENCE_MOUNT = "/evidence";

/** A container that lives on: its time, twice a second, in a file of this run. It does not end when it is asked to. */
export const BEAT_SCRIPT = `
read -r run < /proc/sys/kernel/random/uuid
file=${EVIDENCE_MOUNT}/beat,$POD_NAME,$POD_UID,$run
while :; do
  read -r up _ < /proc/uptime
  echo "$up" >> $file
  sleep 0.5
done
`;

/** Work of a few seconds, one try in eight of which fails. It succeeds only where its being done is written down. */
export const WORK_SCRIPT = `
read -r luck < /proc/sys/kernel/random/uuid
case $luck in
  [01]*) sleep 1; exit 1 ;;
  [2-9]*) sleep 1 ;;
  *) sleep 4 ;;
esac
echo done > "${EVIDENCE_MOUNT}/done,$JOB_NAME,$POD_UID,$JOB_COMPLETION_INDEX" || exit 1
[ -s "${EVIDENCE_MOUNT}/done,$JOB_NAME,$POD_UID,$JOB_COMPLETION_INDEX" ]
`;

export interface Evidence {
  readonly runs: readonly IdentityRun[];
  readonly done: readonly DoneWork[];
}

export async function readEvidence(machines: readonly LabMachine[], namespace: string): Promise<Evidence> {
  const runs: IdentityRun[] = [];
  const done: DoneWork[] = [];
  for (const machine of machines) {
    const folder = onDisk(machine, namespace);
    for (const name of await readdir(folder).catch(() => [])) {
      const [what, of = "", podUid = "", rest = ""] = name.split(",");
      const text = await readFile(join(folder, name), "utf8");
      if (what === "done" && text !== "") done.push({ job: of, podUid, index: rest });
      const beats = what === "beat" ? beatsOf(text) : [];
      const [fromMs, untilMs] = [beats[0], beats.at(-1)];
      if (fromMs === undefined || untilMs === undefined) continue;
      runs.push({ identity: of, podUid, run: rest, machine: machine.name, fromMs, untilMs });
    }
  }
  return { runs, done };
}

export async function removeEvidence(machines: readonly LabMachine[], namespace: string): Promise<void> {
  for (const machine of machines) await rm(onDisk(machine, namespace), { recursive: true, force: true });
}

/** Of `/proc/uptime`, in milliseconds. A line that a full disk or the plug cut off tells nothing. */
export function beatsOf(text: string): number[] {
  return text.split("\n").flatMap((line) => (/^\d+\.\d\d$/.test(line) ? [Math.round(Number(line) * 1_000)] : []));
}

function onDisk({ diskMount }: LabMachine, namespace: string): string {
  return join(diskMount, "upper", EVIDENCE, namespace);
}
