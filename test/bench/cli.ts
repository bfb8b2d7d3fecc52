/** `npm run bench [-- names…] [--json]`: the floor first, then what was named; without names all that needs no whole cluster. */
import { parseArgs } from "node:util";
import { api } from "./api.ts";
import { sectionLines, type Figure, type Section } from "./figures.ts";
import { floor } from "./floor.ts";
import { idle } from "./idle.ts";
import { pod } from "./pod.ts";
import { machineFacts } from "./processes.ts";
import { tracing } from "./tracing.ts";

const BENCHMARKS: Readonly<Record<string, () => Promise<Section | readonly Section[]>>> = {
  floor,
  api,
  tracing,
  idle,
  pod,
};

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { json: { type: "boolean", default: false } },
});
const unknown = positionals.filter((name) => !Object.hasOwn(BENCHMARKS, name));
if (unknown.length > 0) {
  process.stderr.write(`no such benchmark: ${unknown.join(", ")}; there are ${Object.keys(BENCHMARKS).join(", ")}\n`);
  process.exit(2);
}
const asked = new Set(["floor", ...(positionals.length > 0 ? positionals : Object.keys(BENCHMARKS))]);

const machine = machineFacts();
print(Object.entries(machine).map(([name, value]) => `  ${name.padEnd(12)} ${value}`));
const sections: Section[] = [];
let floors: readonly Figure[] = [];
for (const [name, run] of Object.entries(BENCHMARKS)) {
  if (!asked.has(name)) continue;
  const found = [await run()].flat();
  if (name === "floor") floors = found.flatMap(({ figures }) => figures);
  sections.push(...found);
  for (const section of found) print(sectionLines(section, floors));
}
if (values.json) process.stdout.write(`${JSON.stringify({ machine, sections }, undefined, 2)}\n`);

function print(lines: readonly string[]): void {
  if (!values.json) process.stdout.write(`${lines.join("\n")}\n`);
}
