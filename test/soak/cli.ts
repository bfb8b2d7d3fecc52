/**
 * `npm run soak -- --minutes N [--fault-every S] [--seed X] [--kubeconfig FILE] [--no-faults] [--break-quorum]`
 *
 * On a provisioned lab. Ends with a report in .cache/soak/<seed>/ and 0 if every promise was kept.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { seededRandom } from "@pilothouse/clock/seeded";
import { systemClock } from "@pilothouse/clock/system";
import { readLab, thisLab } from "../../deploy/lab/lab.ts";
import { verdictOf } from "./finding.ts";
import { planSoak } from "./plan/plan.ts";
import { reportHtml } from "./report/html.ts";
import { summaryOf } from "./report/summary.ts";
import { runSoak } from "./run.ts";
import { accessOf } from "./workload/access.ts";

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "10" },
    "fault-every": { type: "string", default: "45" },
    seed: { type: "string", default: String(systemClock.now()) },
    kubeconfig: { type: "string" },
    "no-faults": { type: "boolean", default: false },
    "break-quorum": { type: "boolean", default: false },
  },
});
const minutes = Number(values.minutes);
const faultEveryS = Number(values["fault-every"]);
if (!(minutes > 0) || !(faultEveryS > 0)) {
  process.stderr.write("--minutes and --fault-every (seconds) are numbers above 0\n");
  process.exit(2);
}

const lab = readLab(thisLab());
const kubeconfig = values.kubeconfig ?? lab?.layout.adminConf;
if (kubeconfig === undefined) {
  process.stderr.write(
    "There is no lab in this clone: make and provision one (npm run lab), or name a --kubeconfig.\n",
  );
  process.exit(2);
}
const lastsMs = minutes * 60_000;
const random = seededRandom(values.seed);
const machines = values["no-faults"] ? [] : (lab?.machines ?? []);
const plan = planSoak(random.fork("faults"), {
  machines,
  lastsMs,
  faultEveryMs: faultEveryS * 1_000,
  breaksQuorum: values["break-quorum"],
});
const directory = join(import.meta.dirname, "../../.cache/soak", values.seed);
const early = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => early.abort());

const startMs = systemClock.monotonicMs();
const tell = (line: string): void =>
  void process.stdout.write(`  ${((systemClock.monotonicMs() - startMs) / 1_000).toFixed(0).padStart(6)} s  ${line}\n`);
const access = accessOf(kubeconfig, systemClock);
tell(`seed ${values.seed}`);
const outcome = await runSoak({
  access,
  lab,
  clock: systemClock,
  random: random.fork("workload"),
  seed: values.seed,
  lastsMs,
  plan,
  directory,
  tell,
  signal: early.signal,
});
await access.close();
mkdirSync(directory, { recursive: true });
writeFileSync(join(directory, "report.json"), JSON.stringify(outcome));
writeFileSync(join(directory, "summary.json"), JSON.stringify(summaryOf(outcome)));
writeFileSync(join(directory, "report.html"), reportHtml(outcome));
for (const [part, figures] of Object.entries(outcome.figures)) {
  const texts = Object.entries(figures).map(([name, value]) => `${name} ${Number(value.toFixed(2))}`);
  process.stdout.write(`  ${part}: ${texts.join("; ")}\n`);
}
for (const { checker, message } of outcome.findings) process.stdout.write(`  ✘ ${checker}: ${message}\n`);
process.stdout.write(
  `\n  ${(outcome.lastedMs / 60_000).toFixed(1)} minutes, ${outcome.faults.length} faults: ${verdictOf(outcome.findings)}\n`,
);
process.stdout.write(`  ${join(directory, "report.html")}\n`);
process.exit(outcome.findings.length === 0 ? 0 : 1);
