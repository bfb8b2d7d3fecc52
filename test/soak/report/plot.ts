/** Plots over time as SVG text: lines and bars over one time axis, faults as bands behind them. Pure. */

export interface Series {
  readonly name: string;
  /** A gap where y is undefined. */
  readonly points: readonly { readonly x: number; readonly y: number | undefined }[];
}

export interface Band {
  readonly fromMs: number;
  readonly untilMs: number;
  readonly text: string;
}

export interface Bar extends Band {
  readonly row: string;
  readonly label: string;
}

export interface PlotOptions {
  readonly title: string;
  readonly lastedMs: number;
  readonly bands: readonly Band[];
  readonly unit: string;
  /** Default: from 0 to the greatest value. */
  readonly range?: readonly [number, number];
  /** In powers of ten from 1 on, where usual and worst are far apart. */
  readonly isLogarithmic?: boolean;
}

const WIDTH = 1_100;
const HEIGHT = 190;
/** For the longest name of a row. */
const LEFT = 120;
const RIGHT = 150;
const TOP = 26;
const BOTTOM = 24;
const ROW = 22;
const COLORS = [
  "#1f77b4",
  "#d62728",
  "#2ca02c",
  "#9467bd",
  "#ff7f0e",
  "#17becf",
  "#8c564b",
  "#e377c2",
  "#7f7f7f",
  "#bcbd22",
  "#000000",
  "#ff9da7",
];
const TICKS = 5;

export function linePlot(series: readonly Series[], options: PlotOptions): string {
  const { unit } = options;
  const [least, most] = options.range ?? rangeOf(series, options);
  const rise = options.isLogarithmic ? (value: number): number => Math.log10(Math.max(1, value)) : Number;
  const x = scaleX(options);
  const y = (value: number): number =>
    TOP + (HEIGHT - TOP - BOTTOM) * (1 - (rise(value) - rise(least)) / (rise(most) - rise(least)));
  const marks = options.isLogarithmic
    ? Array.from({ length: Math.round(rise(most)) + 1 }, (_, i) => 10 ** i)
    : Array.from({ length: 4 }, (_, i) => least + ((most - least) * i) / 3);
  const ticks = marks.map(
    (value) =>
      `<line class="grid" x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${at(y(value))}" y2="${at(y(value))}"/>` +
      `<text class="tick" x="${LEFT - 6}" y="${at(y(value) + 4)}" text-anchor="end">${short(value)} ${escapeText(unit)}</text>`,
  );
  const lines = series.map(({ name, points }, i) => {
    const color = COLORS[i % COLORS.length] as string;
    const path = pathOf(points, x, (value) => y(Math.min(most, Math.max(least, value))));
    return (
      `<path class="line" stroke="${color}" d="${path}"><title>${escapeText(name)}</title></path>` +
      `<text class="legend" fill="${color}" x="${WIDTH - RIGHT + 8}" y="${TOP + 10 + 15 * i}">${escapeText(name)}</text>`
    );
  });
  return frame(options, Math.max(HEIGHT, TOP + 15 * series.length + BOTTOM), [...ticks, ...lines]);
}

function rangeOf(series: readonly Series[], { isLogarithmic }: PlotOptions): readonly [number, number] {
  const greatest = series
    .flatMap(({ points }) => points.map(({ y = 0 }) => y))
    .reduce((one, other) => Math.max(one, other), 0);
  if (isLogarithmic) return [1, 10 ** Math.max(1, Math.ceil(Math.log10(greatest || 1)))];
  return [0, greatest || 1];
}

/** A row for each name, with what it was when. */
export function barPlot(bars: readonly Bar[], options: Omit<PlotOptions, "unit" | "range" | "isLogarithmic">): string {
  const rows = [...new Set(bars.map(({ row }) => row))];
  const labels = [...new Set(bars.map(({ label }) => label))];
  const x = scaleX(options);
  const parts = bars.map(({ row, label, text, fromMs, untilMs }) => {
    const top = TOP + ROW * rows.indexOf(row);
    const color = COLORS[labels.indexOf(label) % COLORS.length] as string;
    const width = Math.max(1, x(untilMs) - x(fromMs));
    return (
      `<rect fill="${color}" x="${at(x(fromMs))}" y="${top + 3}" width="${at(width)}" height="${ROW - 6}">` +
      `<title>${escapeText(text)}</title></rect>`
    );
  });
  const names = rows.map(
    (row, i) =>
      `<text class="tick" x="${LEFT - 6}" y="${TOP + ROW * i + 15}" text-anchor="end">${escapeText(row)}</text>`,
  );
  const legend = labels.map(
    (label, i) =>
      `<text class="legend" fill="${COLORS[i % COLORS.length] as string}" x="${WIDTH - RIGHT + 8}" y="${TOP + 12 + 15 * i}">${escapeText(label)}</text>`,
  );
  const height = TOP + BOTTOM + Math.max(ROW * rows.length, 15 * labels.length);
  return frame(options, height, [...parts, ...names, ...legend]);
}

export function escapeText(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
}

function frame(
  options: Pick<PlotOptions, "title" | "bands" | "lastedMs">,
  height: number,
  parts: readonly string[],
): string {
  const x = scaleX(options);
  const bands = options.bands.map(
    ({ fromMs, untilMs, text }) =>
      `<rect class="band" x="${at(x(fromMs))}" y="${TOP}" width="${at(Math.max(1.5, x(untilMs) - x(fromMs)))}" ` +
      `height="${height - TOP - BOTTOM}"><title>${escapeText(text)}</title></rect>`,
  );
  const times = Array.from({ length: TICKS + 1 }, (_, i) => (options.lastedMs * i) / TICKS).map(
    (ms) => `<text class="tick" x="${at(x(ms))}" y="${height - 6}" text-anchor="middle">${timeText(ms)}</text>`,
  );
  return (
    `<svg viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="${escapeText(options.title)}">` +
    `<text class="title" x="${LEFT}" y="16">${escapeText(options.title)}</text>` +
    [...bands, ...parts, ...times].join("") +
    "</svg>"
  );
}

function scaleX({ lastedMs }: Pick<PlotOptions, "lastedMs">): (ms: number) => number {
  return (ms) => LEFT + ((WIDTH - LEFT - RIGHT) * Math.min(Math.max(ms, 0), lastedMs)) / Math.max(1, lastedMs);
}

function pathOf(points: Series["points"], x: (ms: number) => number, y: (value: number) => number): string {
  let isDrawing = false;
  let path = "";
  for (const point of points) {
    if (point.y !== undefined) path += `${isDrawing ? "L" : "M"}${at(x(point.x))} ${at(y(point.y))}`;
    isDrawing = point.y !== undefined;
  }
  return path;
}

function at(value: number): string {
  return String(Math.round(value * 10) / 10);
}

function short(value: number): string {
  return value >= 1_000 ? `${Math.round(value)}` : String(Number(value.toPrecision(3)));
}

function timeText(ms: number): string {
  const seconds = Math.round(ms / 1_000);
  const [hours, minutes] = [Math.floor(seconds / 3_600), Math.floor((seconds % 3_600) / 60)];
  const two = (value: number): string => String(value).padStart(2, "0");
  return `${hours > 0 ? `${hours}:${two(minutes)}` : minutes}:${two(seconds % 60)}`;
}
