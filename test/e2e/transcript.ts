/** Transcripts of a terminal: what a user types and what is printed, kept as text that reads like it, and tried again on a cluster. */

export interface Step {
  /** Where its command stands in the file, from 1 on. */
  readonly line: number;
  /** For `sh`; may have further lines. */
  readonly command: string;
  /** The oldest minor version of kubectl that has this, by a line `#: from 1.28` before it. */
  readonly fromMinor: number;
  /** What it prints to both outputs, and `[exit 1]` where that is not 0; as `normal` has it. */
  readonly prints: string;
}

/**
 * Reads a transcript: `$ ` begins a command, `> ` goes on with it, `#: ` is a remark, and all else is what was printed. What stands
 * before the first command is an introduction.
 */
export function stepsOf(transcript: string): readonly Step[] {
  const steps: { line: number; command: string; fromMinor: number; prints: string }[] = [];
  let fromMinor = 0;
  for (const [index, text] of transcript.replace(/\n$/, "").split("\n").entries()) {
    const last = steps.at(-1);
    if (text.startsWith("$ ")) {
      steps.push({ line: index + 1, command: text.slice(2), fromMinor, prints: "" });
      fromMinor = 0;
    } else if (text.startsWith("#: ")) {
      fromMinor = Number(/^#: from 1\.(\d+)/.exec(text)?.[1] ?? fromMinor);
    } else if (last && last.prints === "" && text.startsWith("> ")) {
      last.command += `\n${text.slice(2)}`;
    } else if (last) {
      last.prints += `${text}\n`;
    }
  }
  return steps;
}

/** The transcript with each step's output in the place of what stands there; `outputs` by the lines of the commands. */
export function rewritten(transcript: string, outputs: ReadonlyMap<number, string>): string {
  const steps = stepsOf(transcript);
  const kept: string[] = [];
  let step: Step | undefined;
  for (const [index, text] of transcript.replace(/\n$/, "").split("\n").entries()) {
    const begins = steps.find(({ line }) => line === index + 1);
    if (begins) step = begins;
    const isCommand =
      begins !== undefined || (step !== undefined && index + 1 < step.line + step.command.split("\n").length);
    const isRemark = text.startsWith("#: ") || step === undefined;
    const output = step && outputs.get(step.line);
    if (isCommand || isRemark || output === undefined) kept.push(text);
    if (isCommand && step && output !== undefined && index + 1 === step.line + step.command.split("\n").length - 1)
      kept.push(
        ...output
          .replace(/\n$/, "")
          .split("\n")
          .slice(output === "" ? 1 : 0),
      );
  }
  return `${kept.join("\n")}\n`;
}

/** Kubernetes' alphabet for made names: no vowels, nothing that is easily mistaken. */
const MADE = "[bcdfghjklmnpqrstvwxz2456789]";

/** The same text for each run: times, ages, addresses and made names as words, columns one space apart. */
export function normal(text: string): string {
  return text
    .replace(/\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b/g, "UID")
    .replace(/\b(containerd:\/\/|sha256:)[0-9a-f]{64}\b/g, "$1HEX")
    .replace(/\b[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d [+-]\d{4}\b/g, "TIME")
    .replace(/\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z/g, "TIME")
    .replace(new RegExp(`-${MADE}{6,10}-${MADE}{5}\\b`, "g"), "-HASH-ID")
    .replace(new RegExp(`([-=])${MADE}{6,10}\\b`, "g"), "$1HASH")
    .replace(new RegExp(`-${MADE}{5}\\b`, "g"), "-ID")
    .replace(/\b\d+\.\d+\.\d+\.\d+\b/g, "IP")
    .replace(/\b(\d+[smhd])+\b/g, "AGE")
    .replace(/[ \t]+/g, " ")
    .replace(/ $/gm, "");
}
