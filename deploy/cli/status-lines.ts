/** What `pilot status` says, a line for each part, and how it is printed. Pure. */
export interface StatusLine {
  readonly name: string;
  readonly well: boolean;
  readonly what: string;
  /** What to do when it is unwell. */
  readonly help?: string;
}

export function renderStatus(lines: readonly StatusLine[]): string {
  return lines
    .map(
      ({ name, well, what, help }) =>
        `  ${well ? "✔" : "✘"} ${name.padEnd(24)} ${what}${!well && help ? `\n      try: ${help}` : ""}\n`,
    )
    .join("");
}

/** For programs: `{ well, parts: [{ name, well, what, help }] }`. */
export function statusJson(lines: readonly StatusLine[]): string {
  const parts = lines.map(({ help, ...line }) => (line.well || help === undefined ? line : { ...line, help }));
  return `${JSON.stringify({ well: lines.every(({ well }) => well), parts }, undefined, 2)}\n`;
}
