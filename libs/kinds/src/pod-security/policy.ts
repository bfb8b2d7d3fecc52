/** Which level of pod security a namespace asks for, by its labels; and what of a pod does not meet it. Pure. */
import type { FieldError } from "@pilothouse/errors";
import { invalid } from "../field-errors.ts";
import { baselineChecks } from "./baseline.ts";
import type { Check, Checked, Finding } from "./check.ts";
import { restrictedChecks } from "./restricted.ts";

export type Level = "privileged" | "baseline" | "restricted";

export interface LevelVersion {
  readonly level: Level;
  /** Minor version; undefined is the latest. */
  readonly minor: number | undefined;
}

export interface Policy {
  readonly enforce: LevelVersion;
  /** What is told to whoever writes, and let through. */
  readonly warn: LevelVersion;
}

const PREFIX = "pod-security.kubernetes.io/";
const LEVELS: readonly Level[] = ["privileged", "baseline", "restricted"];
const DEFAULT: LevelVersion = { level: "privileged", minor: undefined };

/** A wrong label of `enforce` asks for the most, a wrong one of `warn` for nothing. */
export function policyOf(labels: Readonly<Record<string, string>> | undefined): Policy {
  const said = (mode: string, otherwise: LevelVersion, onError: Level): LevelVersion => {
    const level = labels?.[`${PREFIX}${mode}`];
    const version = labels?.[`${PREFIX}${mode}-version`];
    return {
      level: level === undefined ? otherwise.level : (levelOf(level) ?? onError),
      minor: version === undefined ? otherwise.minor : minorOf(version),
    };
  };
  const enforce = said("enforce", DEFAULT, "restricted");
  // Whoever writes a workload hears what its pods would be refused for, unless another level is to be told of.
  return { enforce, warn: said("warn", enforce, "privileged") };
}

/** Labels of pod security that say nothing. */
export function labelProblems(labels: Readonly<Record<string, string>> | undefined): FieldError[] {
  return ["enforce", "audit", "warn"].flatMap((mode) => {
    const [level, version] = [`${PREFIX}${mode}`, `${PREFIX}${mode}-version`];
    const problems: FieldError[] = [];
    const given = labels?.[level];
    if (given !== undefined && !levelOf(given)) {
      problems.push(invalid(`metadata.labels[${level}]`, given, `must be one of ${LEVELS.join(", ")}`));
    }
    const asked = labels?.[version];
    if (asked !== undefined && asked !== "latest" && minorOf(asked) === undefined) {
      problems.push(invalid(`metadata.labels[${version}]`, asked, 'must be "latest" or "v1.x"'));
    }
    return problems;
  });
}

/** `restricted:latest`, `baseline:v1.25` */
export function nameOf({ level, minor }: LevelVersion): string {
  return `${level}:${minor === undefined ? "latest" : `v1.${minor}`}`;
}

export function isStricter(one: Level, than: Level): boolean {
  return LEVELS.indexOf(one) > LEVELS.indexOf(than);
}

/** Empty: the pod meets it. */
export function findingsOf(pod: Checked, { level, minor = Infinity }: LevelVersion): readonly Finding[] {
  if (level === "privileged") return [];
  if (level === "baseline") return found(pod, baselineChecks, minor);
  const restricted = restrictedChecks.filter((check) => versionFor(check, minor) !== undefined);
  const overridden = restricted.flatMap(({ overrides = [] }) => overrides);
  const baseline = baselineChecks.filter(({ id }) => !overridden.includes(id));
  return [...found(pod, baseline, minor), ...found(pod, restricted, minor)];
}

/** `host namespaces (hostNetwork=true), …` */
export function detailsOf(findings: readonly Finding[]): string {
  return findings.map(({ reason, detail }) => `${reason} (${detail})`).join(", ");
}

function found(pod: Checked, checks: readonly Check[], minor: number): Finding[] {
  return checks.map((check) => versionFor(check, minor)?.find(pod)).filter((finding) => finding !== undefined);
}

function versionFor({ versions }: Check, minor: number) {
  return versions.findLast(({ sinceMinor }) => sinceMinor <= minor);
}

function levelOf(text: string): Level | undefined {
  return LEVELS.find((level) => level === text);
}

function minorOf(text: string): number | undefined {
  const [, minor] = /^v1\.([0-9]|[1-9][0-9]*)$/.exec(text) ?? [];
  return minor === undefined ? undefined : Number(minor);
}
