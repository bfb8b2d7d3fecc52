/**
 * Keeps a cluster's processes running: starts them, writes their pid files, restarts what ended (with back-off), and takes
 * over processes that an earlier supervisor left behind. SIGHUP: read the list again and restart what changed. SIGTERM: stop
 * all in opposite order. SIGUSR1: leave without stopping anything (`down` stops them itself, in its own order).
 *
 * It is a program of its own (`dist/supervisor/main.mjs <layout root>`); its only input is `processes.json`.
 */
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { closeSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { MARK_CLUSTER, MARK_PROCESS, MARK_VERSION, isAlive, markedProcesses } from "./marked-processes.ts";
import type { ProcessSpec } from "./processes.ts";

export interface SupervisedCluster {
  readonly id: string;
  readonly run: string;
  readonly logs: string;
  readonly specs: readonly ProcessSpec[];
}

const FIRST_BACKOFF_MS = 100;
const LONGEST_BACKOFF_MS = 5_000;
/** A process that ran this long begins again with the first back-off. */
const STEADY_MS = 10_000;
/** Adopted processes are nobody's children, so their end is not told: this is how often one looks. */
const ADOPTED_LOOK_MS = 500;
const STOP_PATIENCE_MS = 8_000;

interface Supervised {
  spec: ProcessSpec;
  pid: number | undefined;
  startedMs: number;
  backoffMs: number;
  timer: NodeJS.Timeout | undefined;
}

export class Supervisor {
  readonly #cluster: SupervisedCluster;
  readonly #processes = new Map<string, Supervised>();
  readonly #log: (line: string) => void;
  #stopping = false;

  constructor(cluster: SupervisedCluster, log: (line: string) => void) {
    this.#cluster = cluster;
    this.#log = log;
    mkdirSync(cluster.run, { recursive: true });
    mkdirSync(cluster.logs, { recursive: true });
    for (const spec of cluster.specs) this.#begin(spec);
  }

  /** Takes a new list: starts what is new, restarts what changed; what is not named any more is left to `down`. */
  update(specs: readonly ProcessSpec[]): void {
    for (const spec of specs) {
      const known = this.#processes.get(spec.name);
      if (!known) this.#begin(spec);
      else if (versionOf(known.spec) !== versionOf(spec)) {
        known.spec = spec;
        known.backoffMs = FIRST_BACKOFF_MS;
        if (known.pid !== undefined) process.kill(known.pid, "SIGTERM");
      }
    }
  }

  /** Stops all, last started first. */
  async stop(): Promise<void> {
    this.#stopping = true;
    for (const supervised of [...this.#processes.values()].reverse()) {
      clearTimeout(supervised.timer);
      if (supervised.pid !== undefined) await stopProcess(supervised.pid);
      rmSync(this.#pidFile(supervised.spec), { force: true });
    }
  }

  #begin(spec: ProcessSpec): void {
    const supervised: Supervised = {
      spec,
      pid: undefined,
      startedMs: 0,
      backoffMs: FIRST_BACKOFF_MS,
      timer: undefined,
    };
    this.#processes.set(spec.name, supervised);
    const left = markedProcesses(this.#cluster.id).find(({ name }) => name === spec.name);
    if (!left) this.#start(supervised);
    else if (left.version === versionOf(spec)) this.#adopt(supervised, left.pid);
    else void stopProcess(left.pid).then(() => this.#start(supervised));
  }

  #start(supervised: Supervised): void {
    if (this.#stopping) return;
    const { spec } = supervised;
    const log = openSync(join(this.#cluster.logs, `${spec.name}.log`), "a");
    const child = spawn(spec.command, spec.args, {
      detached: true,
      stdio: ["ignore", log, log],
      env: { ...inheritedEnv(), ...spec.env, ...marks(this.#cluster.id, spec) },
    });
    closeSync(log);
    supervised.startedMs = performance.now();
    supervised.pid = child.pid;
    let ended = false;
    const onEnd = (how: string): void => {
      if (ended) return;
      ended = true;
      this.#ended(supervised, how);
    };
    child.on("error", (error) => onEnd(error.message));
    child.on("exit", (code, signal) => onEnd(signal ? `signal ${signal}` : `exit code ${code}`));
    if (child.pid !== undefined) {
      writeFileSync(this.#pidFile(spec), `${child.pid}\n`);
      this.#log(`${spec.name}: started as ${child.pid}`);
    }
  }

  #adopt(supervised: Supervised, pid: number): void {
    this.#log(`${supervised.spec.name}: found running as ${pid}`);
    supervised.pid = pid;
    supervised.startedMs = performance.now();
    writeFileSync(this.#pidFile(supervised.spec), `${pid}\n`);
    const look = (): void => {
      if (isAlive(pid)) supervised.timer = setTimeout(look, ADOPTED_LOOK_MS);
      else this.#ended(supervised, "end unseen");
    };
    look();
  }

  #ended(supervised: Supervised, how: string): void {
    supervised.pid = undefined;
    rmSync(this.#pidFile(supervised.spec), { force: true });
    if (this.#stopping) return;
    if (performance.now() - supervised.startedMs > STEADY_MS) supervised.backoffMs = FIRST_BACKOFF_MS;
    this.#log(`${supervised.spec.name}: ended (${how}), again in ${supervised.backoffMs} ms`);
    supervised.timer = setTimeout(() => this.#start(supervised), supervised.backoffMs);
    supervised.backoffMs = Math.min(supervised.backoffMs * 2, LONGEST_BACKOFF_MS);
  }

  #pidFile(spec: ProcessSpec): string {
    return join(this.#cluster.run, `${spec.name}.pid`);
  }
}

/** TERM, and KILL when that is not obeyed in time. */
export async function stopProcess(pid: number, patienceMs = STOP_PATIENCE_MS): Promise<void> {
  const signal = (name: NodeJS.Signals): void => {
    try {
      process.kill(pid, name);
    } catch {
      // It has ended by itself.
    }
  };
  signal("SIGTERM");
  for (let waitedMs = 0; isAlive(pid); waitedMs += 20) {
    if (waitedMs > patienceMs) signal("SIGKILL");
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** What tells one running instance of a process from what it should be now. */
export function versionOf(spec: ProcessSpec): string {
  return createHash("sha256").update(JSON.stringify(spec)).digest("hex").slice(0, 16);
}

function marks(id: string, spec: ProcessSpec): Record<string, string> {
  return { [MARK_CLUSTER]: id, [MARK_PROCESS]: spec.name, [MARK_VERSION]: versionOf(spec) };
}

function inheritedEnv(): Record<string, string> {
  const { PATH = "/usr/sbin:/usr/bin:/sbin:/bin", HOME = "/root", LANG = "C.UTF-8", ...rest } = process.env;
  const passedOn = Object.entries(rest).filter(
    ([name, value]) => /^(OTEL_|HTTPS?_PROXY|NO_PROXY)/i.test(name) && value !== undefined,
  );
  return { PATH, HOME, LANG, ...(Object.fromEntries(passedOn) as Record<string, string>) };
}

function main(root: string): void {
  const read = (): SupervisedCluster =>
    JSON.parse(readFileSync(join(root, "processes.json"), "utf8")) as SupervisedCluster;
  const cluster = read();
  const log = (line: string): void => void process.stdout.write(`${new Date().toISOString()} ${line}\n`);
  const supervisor = new Supervisor(cluster, log);
  const pidFile = join(cluster.run, "supervisor.pid");
  writeFileSync(pidFile, `${process.pid}\n`);
  const leave = (): void => {
    rmSync(pidFile, { force: true });
    process.exit(0);
  };
  process.on("SIGHUP", () => supervisor.update(read().specs));
  process.on("SIGUSR1", leave);
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => void supervisor.stop().then(leave));
}

if (process.argv[2] !== undefined && process.env["PILOTHOUSE_SUPERVISOR"] === "1") main(process.argv[2]);
