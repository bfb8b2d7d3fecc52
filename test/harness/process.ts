import { spawn } from "node:child_process";
import { createWriteStream } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { systemClock } from "@pilothouse/clock/system";

export interface ProcessOptions {
  readonly command: string;
  readonly args: readonly string[];
  /** Where `output.log` is written; also the working directory. */
  readonly directory: string;
  readonly env?: Readonly<Record<string, string>>;
}

export interface TestProcess {
  readonly pid: number;
  /** Resolves with the exit code or the signal's name when the process is gone. */
  readonly ended: Promise<number | NodeJS.Signals>;
  running(): boolean;
  signal(signal: NodeJS.Signals): void;
  /** Asks it to end, kills it after 3 s, and waits until it is gone. */
  stop(): Promise<void>;
  /** All it has written to standard output and error. */
  output(): Promise<string>;
}

/** The environment variable by which a leak is known: it holds the pid of the test process. */
export const HARNESS_VARIABLE = "PILOTHOUSE_TEST_HARNESS";

const KILL_AFTER_MS = 3_000;

/** Starts a process that the kernel kills when the thread that started it dies. */
export function startProcess(options: ProcessOptions): TestProcess {
  const child = spawn("setpriv", ["--pdeathsig", "KILL", "--", options.command, ...options.args], {
    cwd: options.directory,
    env: { ...process.env, ...options.env, [HARNESS_VARIABLE]: String(process.pid) },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const logFile = join(options.directory, "output.log");
  const log = createWriteStream(logFile, { flags: "a" });
  log.on("error", () => undefined);
  child.stdout.pipe(log, { end: false });
  child.stderr.pipe(log, { end: false });
  let running = true;
  const ended = new Promise<number | NodeJS.Signals>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code, signal) => {
      running = false;
      log.end(() => resolve(code ?? signal ?? -1));
    });
  });
  const signal = (name: NodeJS.Signals): void => void (running && child.kill(name));
  return {
    pid: child.pid ?? -1,
    ended,
    running: () => running,
    signal,
    async stop() {
      signal("SIGCONT");
      signal("SIGTERM");
      const timer = systemClock.setTimer(KILL_AFTER_MS, () => signal("SIGKILL"));
      await ended;
      timer.cancel();
    },
    // The file is made with the first words.
    output: () => readFile(logFile, "utf8").catch(() => ""),
  };
}
