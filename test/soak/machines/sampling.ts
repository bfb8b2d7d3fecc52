/** Samples memory and handles of every unit of ours on each machine, one ssh connection a machine. */
import { sleep, type Clock } from "@pilothouse/clock";
import type { Lab, LabMachine } from "../../../deploy/lab/layout.ts";
import type { ProcessSample } from "../checkers/slopes.ts";
import { runThere } from "./ssh.ts";

const EVERY_S = 10;
const RETRY_MS = 5_000;

/** A line a unit: its name, its pid, resident kilobytes, open handles. */
export const SAMPLING_SCRIPT = `
while :; do
  for unit in /etc/systemd/system/pilothouse-*.service; do
    name=$(basename $unit .service)
    pid=$(systemctl show --property=MainPID --value $name)
    [ "\${pid:-0}" -gt 0 ] || continue
    rss=$(sed -n 's/^VmRSS:[^0-9]*\\([0-9]*\\).*/\\1/p' /proc/$pid/status 2>/dev/null)
    [ -n "$rss" ] && echo "\${name#pilothouse-} $pid $rss $(ls /proc/$pid/fd | wc -l)"
  done
  sleep ${EVERY_S}
done
`;

/** Until the signal; a machine that cannot be reached is asked again. */
export async function sampleProcesses(
  { layout, machines }: Lab,
  clock: Clock,
  startMs: number,
  signal: AbortSignal,
): Promise<ProcessSample[]> {
  const samples: ProcessSample[] = [];
  await Promise.all(
    machines.map(async (machine) => {
      while (!signal.aborted) {
        const onLine = (line: string): void => {
          const sample = sampleOf(machine, line, clock.monotonicMs() - startMs);
          if (sample) samples.push(sample);
        };
        await runThere(layout, machine, SAMPLING_SCRIPT, onLine, signal);
        await sleep(clock, RETRY_MS, signal).catch(() => undefined);
      }
    }),
  );
  return samples;
}

export function sampleOf(
  { name: machine }: Pick<LabMachine, "name">,
  line: string,
  atMs: number,
): ProcessSample | undefined {
  const match = /^([a-z-]+) (\d+) (\d+) (\d+)$/.exec(line);
  if (!match) return undefined;
  const [, process = "", pid, kilobytes, handles] = match;
  return { machine, process, pid: Number(pid), atMs, rssBytes: Number(kilobytes) * 1_024, handles: Number(handles) };
}
