/** Log lines as JSON, by pino: `{"level":"info","time":"…","service":"…","msg":"…","trace_id":"…","span_id":"…"}`. */
import type { Clock } from "@pilothouse/clock";
import { pino } from "pino";
import type { Logger as PinoLogger } from "pino";
import type { LogFields, Logger } from "./index.ts";
import { LineBuffer } from "./line-buffer.ts";

export type LogLevel = "debug" | "info" | "warn" | "error";

export interface JsonLoggerOptions {
  readonly clock: Clock;
  /** Fields of each line: service, instance. */
  readonly base: Readonly<Record<string, string>>;
  readonly level?: LogLevel;
  /** Takes whole lines. Default: standard output. */
  readonly write?: (lines: string) => void;
}

export interface JsonLogger {
  readonly log: Logger;
  /** Writes what still waits. The owner calls it before the process ends. */
  readonly flush: () => void;
}

/** Keys whose values never reach a log, at the top of a line and one level below. */
const SECRET_KEYS: ReadonlySet<string> = new Set([
  "authorization",
  "token",
  "password",
  "data",
  "stringData",
  "secret",
  "cookie",
  "privateKey",
]);

/** Warnings and errors are written at once, with all before them, so that a crash loses none; other lines wait a moment. */
export function jsonLogger({ clock, base, level = "info", write }: JsonLoggerOptions): JsonLogger {
  const buffer = new LineBuffer({ clock, write: write ?? standardOutput() });
  const lines = pino(
    {
      level,
      base,
      timestamp: () => `,"time":"${new Date(clock.now()).toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
    },
    buffer,
  );
  const flush = (): void => buffer.flush();
  return { log: portOf(lines, flush), flush };
}

function standardOutput(): (lines: string) => void {
  const output = pino.destination({ dest: 1, sync: true });
  return (lines) => void output.write(lines);
}

function portOf(lines: PinoLogger, flush: () => void): Logger {
  return {
    debug: (message, fields) => lines.debug(lineOf(fields), message),
    info: (message, fields) => lines.info(lineOf(fields), message),
    warn: (message, fields) => {
      lines.warn(lineOf(fields), message);
      flush();
    },
    error: (message, fields) => {
      lines.error(lineOf(fields), message);
      flush();
    },
    with: (fields) => portOf(lines.child(lineOf(fields)), flush),
  };
}

function lineOf({ error, trace, ...fields }: LogFields = {}): Record<string, unknown> {
  const line = withoutSecrets(fields, isPlainObject);
  if (trace) {
    line["trace_id"] = trace.traceId;
    line["span_id"] = trace.spanId;
  }
  if (error !== undefined) line["error"] = errorOf(error);
  return line;
}

/** `looksInto` says of which values the keys are looked at as well. */
function withoutSecrets(
  fields: Readonly<Record<string, unknown>>,
  looksInto: (value: unknown) => value is Readonly<Record<string, unknown>>,
): Record<string, unknown> {
  const shown: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(fields)) {
    if (SECRET_KEYS.has(key)) shown[key] = "[redacted]";
    else shown[key] = looksInto(value) ? withoutSecrets(value, isNothing) : value;
  }
  return shown;
}

function isPlainObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype;
}

function isNothing(_value: unknown): _value is never {
  return false;
}

function errorOf(error: unknown): unknown {
  if (!(error instanceof Error)) return String(error);
  return { type: error.name, message: error.message, stack: error.stack };
}
