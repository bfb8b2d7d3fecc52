/** This clone's cluster: its layout, and what was chosen for it. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { ExplainedError } from "./errors.ts";
import { layoutOf, type ClusterChoices, type Layout } from "./layout.ts";

/** The layout of this clone's cluster; `PILOTHOUSE_ROOT` puts its data elsewhere (tests run clusters of their own). */
export function thisLayout(): Layout {
  return layoutOf(dirname(dirname(import.meta.dirname)), process.env["PILOTHOUSE_ROOT"]);
}

export function readChoices(layout: Layout): ClusterChoices | undefined {
  if (!existsSync(layout.choicesFile)) return undefined;
  return JSON.parse(readFileSync(layout.choicesFile, "utf8")) as ClusterChoices;
}

export function writeChoices(layout: Layout, choices: ClusterChoices): void {
  mkdirSync(layout.root, { recursive: true });
  writeFileSync(layout.choicesFile, `${JSON.stringify(choices, undefined, 2)}\n`);
}

/** The choices of a cluster that was brought up; throws PH-160 when there is none. */
export function requireChoices(layout: Layout): ClusterChoices {
  const choices = readChoices(layout);
  if (!choices) throw new ExplainedError("PH-160", "There is no cluster in this clone.");
  return choices;
}
