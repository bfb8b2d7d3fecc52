/** Log lines as JSON, by pino: `{"level":"info","time":"…","service":"…","msg":"…","trace_id":"…","span_id":"…"}`. */
import type { Clock } from "@pilothouse/clock";
import { pino } from "pino";
import type { DestinationStream, Logger as PinoLogger } from "pino";
import type { LogFields, Logger } from "./index.ts";

export type LogLevel = "debug" | "info" | "warn" | "error";

export interface JsonLoggerOptions {
  readonly clock: Clock;
  /** Fields of each line: service, instance. */
  readonly base: Readonly<Record<string, string>>;
  readonly level?: LogLevel;
  /** Default: standard output, written at once, so that a crash loses no line. */
  readonly destination?: DestinationStream;
}

/** Keys whose values never reach a log, at the top of a line and one level below. */
const SECRET_KEYS = ["authorization", "token", "password", "data", "stringData", "secret", "cookie", "privateKey"];

export function jsonLogger({ clock, base, level = "info", destination }: JsonLoggerOptions): Logger {
  const lines = pino(
    {
      level,
      base,
      timestamp: () => `,"time":"${new Date(clock.now()).toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths: SECRET_KEYS.flatMap((key) => [key, `*.${key}`]), censor: "[redacted]" },
    },
    destination ?? pino.destination({ dest: 1, sync: true }),
  );
  return portOf(lines);
}

function portOf(lines: PinoLogger): Logger {
  return {
    debug: (message, fields) => lines.debug(lineOf(fields), message),
    info: (message, fields) => lines.info(lineOf(fields), message),
    warn: (message, fields) => lines.warn(lineOf(fields), message),
    error: (message, fields) => lines.error(lineOf(fields), message),
    with: (fields) => portOf(lines.child(lineOf(fields))),
  };
}

function lineOf({ error, trace, ...fields }: LogFields = {}): Record<string, unknown> {
  return {
    ...fields,
    ...(trace ? { trace_id: trace.traceId, span_id: trace.spanId } : {}),
    ...(error === undefined ? {} : { error: errorOf(error) }),
  };
}

function errorOf(error: unknown): unknown {
  if (!(error instanceof Error)) return String(error);
  return { type: error.name, message: error.message, stack: error.stack };
}
