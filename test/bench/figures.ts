/**
 * Figures: what one benchmark run found, and how it is told.
 *
 * Promises: a figure is the median of its runs; beside it stand its aim and its multiple of the floor of the same run, where
 * it has them. Does not promise: a verdict. Machines differ; nothing here fails because something was slow.
 */
export interface Figure {
  readonly name: string;
  readonly value: number;
  readonly unit: "µs" | "ms" | "s" | "MB" | "%" | "objects/s" | "bytes/byte" | "";
  /** What issue or design ask for. */
  readonly aim?: { readonly atMost: number } | { readonly atLeast: number };
  /** Name of the floor's figure that this one is a multiple of. */
  readonly floor?: string;
  /** All runs, in their order; the value is their median. */
  readonly runs?: readonly number[];
}

export interface Section {
  readonly title: string;
  readonly figures: readonly Figure[];
  /** Where the figures come from, what disturbed them. */
  readonly notes?: readonly string[];
}

/** One figure of each name, with the median of its values over several runs of the same measurements. */
export function medianFigures(runs: readonly (readonly Figure[])[]): readonly Figure[] {
  const names = [...new Set(runs.flat().map(({ name }) => name))];
  return names.flatMap((name) => {
    const same = runs.flat().filter((figure) => figure.name === name);
    const values = same.map(({ value }) => value);
    return same.slice(0, 1).map((figure) => ({ ...figure, value: median(values), runs: values }));
  });
}

/** The lines of a section; `floors` are the figures of `floor` in this same run. */
export function sectionLines({ title, figures, notes = [] }: Section, floors: readonly Figure[]): readonly string[] {
  const rows = figures.map((figure) => [
    figure.name,
    number(figure.value),
    figure.unit,
    aimText(figure),
    floorText(figure, floors),
    figure.runs && figure.runs.length > 1 ? figure.runs.map(number).join(" / ") : "",
  ]);
  const head = ["", "median", "", "aim", "of the floor", "runs"];
  return [`\n  ${title}`, ...table([head, ...rows]), ...notes.map((note) => `  ${note}`)];
}

export function median(values: readonly number[]): number {
  return percentile(values, 50);
}

/** The nearest rank; NaN without values. */
export function percentile(values: readonly number[], percent: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil((sorted.length * percent) / 100) - 1)] ?? Number.NaN;
}

function aimText({ aim, value }: Figure): string {
  if (aim === undefined) return "";
  const [sign, bound, isMet] =
    "atMost" in aim ? ["≤", aim.atMost, value <= aim.atMost] : ["≥", aim.atLeast, value >= aim.atLeast];
  return `${sign} ${number(bound)} ${isMet ? "✔" : "✘"}`;
}

function floorText({ floor, value }: Figure, floors: readonly Figure[]): string {
  const base = floors.find(({ name }) => name === floor);
  return base ? `${(value / base.value).toFixed(1)} × ${base.name}` : "";
}

function number(value: number): string {
  if (!Number.isFinite(value)) return "–";
  if (Math.abs(value) >= 1000) return Math.round(value).toLocaleString("en-US");
  return value.toFixed(Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2);
}

function table(rows: readonly (readonly string[])[]): readonly string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const isText = (column: number): boolean => column !== 1;
  return rows.map((row) =>
    `    ${row.map((cell, i) => (isText(i) ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0))).join("  ")}`.trimEnd(),
  );
}
