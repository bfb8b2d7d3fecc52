/**
 * Configuration of a service: flags, and a YAML file whose keys are the flags' names.
 *
 * Purpose: one table of settings per service gives the parser, the `--help`, the validation and the TypeScript type.
 * Promises: a flag wins over the file, the file over the default; each error names its setting, what was given and what is
 * allowed, and all errors are reported together.
 * Does not promise: environment variables (they are read by nobody; what a process does is visible on its command line).
 */
import { Command, CommanderError, Option } from "commander";
import { parseDocument } from "yaml";

export type SettingType = "string" | "integer" | "port" | "boolean" | "list";

export interface Setting {
  readonly type: SettingType;
  readonly help: string;
  /** Absent: the setting may be left out, and is then undefined (or [] for a list, false for a boolean). */
  readonly default?: string | number | boolean | readonly string[];
  readonly required?: true;
  /** For integers. */
  readonly min?: number;
  readonly max?: number;
  /** For strings: the only values allowed. */
  readonly oneOf?: readonly string[];
}

export type Settings = Readonly<Record<string, Setting>>;

type ValueOf<S extends Setting> = S["type"] extends "list"
  ? readonly string[]
  : S["type"] extends "boolean"
    ? boolean
    : S["type"] extends "integer" | "port"
      ? number | Missing<S>
      : string | Missing<S>;
type Missing<S extends Setting> = S extends { default: unknown } | { required: true } ? never : undefined;

export type Values<S extends Settings> = { readonly [K in keyof S]: ValueOf<S[K]> };

export interface Source<S extends Settings> {
  /** The program's name, as `--help` shows it. */
  readonly name: string;
  readonly description: string;
  readonly settings: S;
  /** Without node and script. */
  readonly args: readonly string[];
  readFile(path: string): string;
}

/** `--help` was asked for; `text` is to be printed and the process to end with 0. */
export class HelpRequested extends Error {
  override readonly name = "HelpRequested";
  readonly text: string;
  constructor(text: string) {
    super("help requested");
    this.text = text;
  }
}

export class ConfigurationInvalid extends Error {
  override readonly name = "ConfigurationInvalid";
  readonly problems: readonly string[];
  constructor(program: string, problems: readonly string[]) {
    super(`${program}: ${problems.join("\n")}\nSee \`${program} --help\`.`);
    this.problems = problems;
  }
}

/** Reads flags and, where `--config` names one, the YAML file; throws HelpRequested or ConfigurationInvalid. */
export function loadConfig<S extends Settings>(source: Source<S>): Values<S> {
  const flags = parseFlags(source);
  const problems: string[] = [];
  const file = typeof flags["config"] === "string" ? readConfigFile(source, flags["config"], problems) : {};
  for (const key of Object.keys(file)) {
    if (!Object.hasOwn(source.settings, key)) problems.push(`configuration file: unknown key "${key}"`);
  }
  const values: Record<string, unknown> = {};
  for (const [key, setting] of Object.entries(source.settings)) {
    const origin = key in flags ? `--${key}` : `configuration file: ${key}`;
    const given = flags[key] ?? file[key];
    values[key] = given === undefined ? fallback(key, setting, problems) : coerce(origin, setting, given, problems);
  }
  if (problems.length > 0) throw new ConfigurationInvalid(source.name, problems);
  return values as Values<S>;
}

function parseFlags<S extends Settings>(source: Source<S>): Readonly<Record<string, unknown>> {
  let printed = "";
  const command = new Command(source.name)
    .description(source.description)
    .exitOverride()
    .allowExcessArguments(false)
    .configureOutput({ writeOut: (text) => (printed += text), writeErr: () => {} })
    .addOption(new Option("--config <file>", "YAML file whose keys are the flags below, without their dashes"));
  for (const [key, setting] of Object.entries(source.settings)) command.addOption(optionOf(key, setting));
  try {
    command.parse([...source.args], { from: "user" });
  } catch (error) {
    if (error instanceof CommanderError && error.code === "commander.helpDisplayed") throw new HelpRequested(printed);
    const message = error instanceof Error ? error.message.replace(/^error: /, "") : String(error);
    throw new ConfigurationInvalid(source.name, [message]);
  }
  const byAttribute = command.opts<Record<string, unknown>>();
  return Object.fromEntries(
    command.options
      .filter((option) => option.attributeName() in byAttribute)
      .map((option) => [option.name(), byAttribute[option.attributeName()]]),
  );
}

function optionOf(key: string, setting: Setting): Option {
  const shown =
    setting.default === undefined ? (setting.required ? " (required)" : "") : ` (default: ${String(setting.default)})`;
  const allowed = setting.oneOf ? ` (one of: ${setting.oneOf.join(", ")})` : "";
  const argument = setting.type === "boolean" ? "" : setting.type === "list" ? " <a,b,…>" : ` <${setting.type}>`;
  return new Option(`--${key}${argument}`, `${setting.help}${allowed}${shown}`);
}

function readConfigFile<S extends Settings>(
  source: Source<S>,
  path: string,
  problems: string[],
): Record<string, unknown> {
  let text: string;
  try {
    text = source.readFile(path);
  } catch (error) {
    problems.push(`--config: cannot read ${path}: ${error instanceof Error ? error.message : String(error)}`);
    return {};
  }
  const document = parseDocument(text, { uniqueKeys: true });
  for (const error of document.errors) problems.push(`configuration file ${path}: ${error.message}`);
  if (document.errors.length > 0) return {};
  const value: unknown = document.toJS({ maxAliasCount: 10 });
  if (value === null) return {};
  if (typeof value === "object" && !Array.isArray(value)) return value as Record<string, unknown>;
  problems.push(`configuration file ${path}: must be a mapping of settings`);
  return {};
}

function fallback(key: string, setting: Setting, problems: string[]): unknown {
  if (setting.required) problems.push(`--${key} is required: ${setting.help}`);
  if (setting.default !== undefined) return setting.default;
  return setting.type === "list" ? [] : setting.type === "boolean" ? false : undefined;
}

function coerce(origin: string, setting: Setting, given: unknown, problems: string[]): unknown {
  switch (setting.type) {
    case "string":
      return coerceString(origin, setting, given, problems);
    case "integer":
      return coerceInteger(
        origin,
        setting.min ?? Number.MIN_SAFE_INTEGER,
        setting.max ?? Number.MAX_SAFE_INTEGER,
        given,
        problems,
      );
    case "port":
      return coerceInteger(origin, 0, 65_535, given, problems);
    case "boolean":
      if (typeof given === "boolean") return given;
      problems.push(`${origin}: ${shown(given)} is not a boolean (true or false)`);
      return undefined;
    case "list":
      if (typeof given === "string") return given.split(",").filter((part) => part !== "");
      if (Array.isArray(given) && given.every((part) => typeof part === "string")) return given;
      problems.push(`${origin}: ${shown(given)} is not a list of strings`);
      return undefined;
  }
}

function coerceString(origin: string, setting: Setting, given: unknown, problems: string[]): unknown {
  if (typeof given !== "string") problems.push(`${origin}: ${shown(given)} is not a string`);
  else if (setting.oneOf && !setting.oneOf.includes(given)) {
    problems.push(`${origin}: ${shown(given)} is not one of ${setting.oneOf.join(", ")}`);
  }
  return given;
}

function coerceInteger(
  origin: string,
  min: number,
  max: number,
  given: unknown,
  problems: string[],
): number | undefined {
  const value = typeof given === "string" && /^-?\d+$/.test(given) ? Number(given) : given;
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= min && value <= max) return value;
  problems.push(`${origin}: ${shown(given)} is not a whole number from ${min} to ${max}`);
  return undefined;
}

function shown(value: unknown): string {
  return JSON.stringify(value);
}
