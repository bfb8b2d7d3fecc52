/** `npm run lab:fault -- <fault> <machine>`, `-- undo <fault> <machine>`, `-- undo all`, `-- list`. */
import { parseArgs } from "node:util";
import { ExplainedError } from "../cluster/errors.ts";
import { runCommand, step } from "../cluster/steps.ts";
import { FAULTS, lastingFaults, type FaultOptions, type FaultRow } from "../lab/faults.ts";
import { findMachine, requireLab, thisLab } from "../lab/lab.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    from: { type: "string" },
    direction: { type: "string" },
    percent: { type: "string" },
    "bytes-per-second": { type: "string" },
    "delay-ms": { type: "string" },
    "period-ms": { type: "string" },
    process: { type: "string" },
    "offset-s": { type: "string" },
  },
});

await runCommand(async () => {
  const lab = requireLab(thisLab());
  const [first, second, third] = positionals;
  if (first === undefined || first === "list") return list();
  if (first === "undo" && second === "all") {
    for (const line of lastingFaults(lab)) {
      const [fault, machine] = line.split(" ");
      await undo(fault, machine);
    }
    return;
  }
  if (first === "undo") return undo(second, third);
  const fault = findFault(first);
  const machine = findMachine(lab, second);
  await step(`${fault.name} ${machine.name}`, "PH-204", () => fault.apply(lab, machine, faultOptions()));

  function list(): void {
    const lasting = lastingFaults(lab);
    const rows = FAULTS.map(({ name, what }) => `  ${name.padEnd(12)} ${what}`);
    process.stdout.write(`${rows.join("\n")}\n\n  now: ${lasting.length === 0 ? "none" : lasting.join(", ")}\n`);
  }

  async function undo(name: string | undefined, machineName: string | undefined): Promise<void> {
    const fault = findFault(name);
    const machine = findMachine(lab, machineName);
    const { undo: heal } = fault;
    if (!heal) throw new ExplainedError("PH-204", `${fault.name} does not last: there is nothing to undo.`);
    await step(`undo ${fault.name} ${machine.name}`, "PH-204", () => heal(lab, machine));
  }
});

function findFault(name: string | undefined): FaultRow {
  const found = FAULTS.find((row) => row.name === name);
  if (found) return found;
  throw new ExplainedError("PH-204", `There is no fault ${name ?? "without a name"}.`, {
    next: `Name one of ${FAULTS.map((row) => row.name).join(", ")}; \`npm run lab:fault -- list\` explains them.`,
  });
}

function faultOptions(): FaultOptions {
  const { from, direction, percent, process: processName, "bytes-per-second": bytesPerSecond } = values;
  const { "delay-ms": delayMs, "period-ms": periodMs, "offset-s": offsetS } = values;
  if (direction !== undefined && direction !== "in" && direction !== "out" && direction !== "both")
    throw new ExplainedError("PH-204", `--direction ${direction}: in, out or both is wanted.`);
  return {
    ...(from === undefined ? {} : { from: from.split(",") }),
    ...(direction === undefined ? {} : { direction }),
    ...(percent === undefined ? {} : { percent: wholeNumber("percent", percent) }),
    ...(bytesPerSecond === undefined ? {} : { bytesPerSecond: wholeNumber("bytes-per-second", bytesPerSecond) }),
    ...(delayMs === undefined ? {} : { delayMs: wholeNumber("delay-ms", delayMs) }),
    ...(periodMs === undefined ? {} : { periodMs: wholeNumber("period-ms", periodMs) }),
    ...(processName === undefined ? {} : { process: processName }),
    ...(offsetS === undefined ? {} : { offsetS: offsetOf(offsetS) }),
  };
}

function wholeNumber(name: string, text: string): number {
  const value = Number(text);
  if (Number.isInteger(value) && value > 0) return value;
  throw new ExplainedError("PH-204", `--${name} ${text}: a whole number above 0 is wanted.`);
}

/** A wall clock may as well be late. */
function offsetOf(text: string): number {
  const value = Number(text);
  if (Number.isInteger(value) && value !== 0) return value;
  throw new ExplainedError(
    "PH-204",
    `--offset-s ${text}: a whole number of seconds is wanted (\`--offset-s=-60\` for late).`,
  );
}
