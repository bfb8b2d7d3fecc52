/** What became of each of upstream's names. */
import type { Behaviour } from "./behaviour.ts";

export type Outcome =
  | { readonly kind: "holds"; readonly seconds: number }
  | { readonly kind: "fails"; readonly seconds: number; readonly why: string }
  /** The cluster has too little of something to tell. */
  | { readonly kind: "too small"; readonly seconds: number; readonly why: string };

/** Files of upstream's suite, with the names of their tests. */
export type Upstream = Readonly<Record<string, readonly string[]>>;

/** What needs a part of Kubernetes that Pilothouse does not serve yet, by upstream's file. */
const WAITING: readonly (readonly [files: RegExp, for_: string])[] = [
  [/^apimachinery\/(crd_|custom_resource_)/, "custom resources"],
  [/^apimachinery\/webhook/, "admission webhooks"],
  [/^apimachinery\/(validating|mutating)admissionpolicy/, "admission policies"],
  [/^apimachinery\/aggregator/, "aggregation"],
  [/^apimachinery\/flowcontrol/, "flow control"],
];

export interface Line {
  readonly file: string;
  readonly name: string;
  readonly outcome: Outcome | { readonly kind: "waits"; readonly for: string } | { readonly kind: "not written" };
}

/** A line for each of upstream's names, in its order. */
export function reportLines(upstream: Upstream, outcomes: ReadonlyMap<string, Outcome>): readonly Line[] {
  return Object.entries(upstream).flatMap(([file, names]) =>
    names.map((name) => ({ file, name, outcome: outcomes.get(name) ?? untried(file, name) })),
  );
}

function untried(file: string, name: string): Line["outcome"] {
  if (/CRD|custom resource|CustomResource/.test(name)) return { kind: "waits", for: "custom resources" };
  const waits = WAITING.find(([files]) => files.test(file));
  return waits ? { kind: "waits", for: waits[1] } : { kind: "not written" };
}

export const MARKS: Readonly<Record<Line["outcome"]["kind"], string>> = {
  holds: "✔",
  fails: "✘",
  "too small": "–",
  waits: "…",
  "not written": " ",
};

export function printed(lines: readonly Line[]): string {
  const out: string[] = [];
  let file = "";
  for (const line of lines) {
    if (line.file !== file) out.push("", (file = line.file));
    out.push(`  ${MARKS[line.outcome.kind]} ${line.name}${remark(line.outcome)}`);
  }
  return [...out, "", summary(lines)].join("\n");
}

function remark(outcome: Line["outcome"]): string {
  if (outcome.kind === "fails") return `\n      ${outcome.why.split("\n").slice(0, 6).join("\n      ")}`;
  if (outcome.kind === "too small") return ` (not on this cluster: ${outcome.why})`;
  if (outcome.kind === "waits") return ` (waits for ${outcome.for})`;
  return outcome.kind === "holds" ? ` ${outcome.seconds.toFixed(1)} s` : " (no behaviour written yet)";
}

export function summary(lines: readonly Line[]): string {
  const count = (kind: Line["outcome"]["kind"]): number => lines.filter(({ outcome }) => outcome.kind === kind).length;
  return `${lines.length} names: ${count("holds")} hold, ${count("fails")} fail, ${count("too small")} ask for a larger cluster, ${count("waits")} wait for parts that are not served yet, ${count("not written")} have no behaviour written`;
}

/** Behaviours whose names upstream does not have, or that are written twice. */
export function unknownOrDoubled(upstream: Upstream, behaviours: readonly Behaviour[]): readonly string[] {
  const names = new Set(Object.values(upstream).flat());
  const seen = new Set<string>();
  return behaviours.flatMap(({ name }) => {
    if (names.has(name) && !seen.has(name)) {
      seen.add(name);
      return [];
    }
    return [name];
  });
}
