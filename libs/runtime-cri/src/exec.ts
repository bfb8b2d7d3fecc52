/**
 * Commands with open streams, through containerd's own tasks service and named pipes.
 *
 * Not through CRI's `Exec`, which answers with the URL of a streaming server: containerd 1.6 speaks only SPDY and the WebSocket
 * protocol v4 there, and v4 cannot close stdin alone, so `cat | kubectl exec -i` would never end. The tasks service has exactly what
 * is needed: CloseIO, ResizePty, Wait.
 *
 * TRAP: the shim keeps a writing end of stdin itself, so the command reads end of file only after CloseIO *and* after our own end
 * is closed. And a pipe without a writer reads as ended at once: we hold a writing end of stdout and stderr until the shim has its own.
 */
import { execFile } from "node:child_process";
import { closeSync, constants, openSync } from "node:fs";
import { mkdir, rm } from "node:fs/promises";
import { Socket } from "node:net";
import { join } from "node:path";
import { promisify } from "node:util";
import { sleep, type Clock, type Ids } from "@pilothouse/clock";
import type { ExecOptions, ExecSession } from "@pilothouse/runtime";
import type { Connection } from "./connection.ts";

const CALL_MS = 10_000;
/** After the command's end its output may be held open by a process it left behind; then we stop listening. */
const DRAIN_MS = 5_000;
const SIGKILL = 9;
const PROCESS_TYPE = "types.containerd.io/opencontainers/runtime-spec/1/Process";

export interface ExecPorts {
  readonly clock: Clock;
  readonly ids: Ids;
  readonly connection: Connection;
  /** Where the pipes live while commands run. */
  readonly pipesDir: string;
}

export async function startExec(ports: ExecPorts, containerId: string, options: ExecOptions): Promise<ExecSession> {
  const execId = ports.ids.uuid();
  const dir = join(ports.pipesDir, execId);
  const process = { containerId, execId };
  const spec = await processSpec(ports.connection, containerId, options);
  const pipes = await Pipes.make(dir, options);
  try {
    const request = { ...process, ...pipes.paths, terminal: options.tty, spec };
    await ports.connection.call("tasks", "Exec", request, CALL_MS);
    // Waited for before its start, so that a command that ends at once is not missed.
    const exited = ports.connection.call<{ exitStatus: number }>("tasks", "Wait", process, Number.POSITIVE_INFINITY);
    exited.catch(() => {});
    await ports.connection.call("tasks", "Start", process, CALL_MS);
    return session(ports, process, pipes, exited);
  } catch (error) {
    await pipes.close();
    await ports.connection.call("tasks", "DeleteProcess", process, CALL_MS).catch(() => {});
    throw error;
  }
}

function session(
  ports: ExecPorts,
  process: { readonly containerId: string; readonly execId: string },
  pipes: Pipes,
  exited: Promise<{ exitStatus: number }>,
): ExecSession {
  const call = (method: string, extra: object): Promise<unknown> =>
    ports.connection.call("tasks", method, { ...process, ...extra }, CALL_MS);
  const { stdin, stdout, stderr } = pipes.attach();
  let running = true;
  let ended: Promise<void> | undefined;
  const finish = (): Promise<void> => {
    ended ??= (async () => {
      if (running) await call("Kill", { signal: SIGKILL }).catch(() => {});
      await exited.catch(() => {});
      await call("DeleteProcess", {}).catch(() => {});
      await pipes.close();
    })();
    return ended;
  };
  const exit = (async () => {
    try {
      const { exitStatus } = await exited;
      running = false;
      const drained = Promise.all([untilEnded(stdout), untilEnded(stderr)]);
      await Promise.race([drained, sleep(ports.clock, DRAIN_MS)]);
      return exitStatus;
    } finally {
      running = false;
      stdin?.destroy();
    }
  })();
  exit.catch(() => {});
  return {
    stdout: stdout ?? nothing(),
    stderr: stderr ?? nothing(),
    exit,
    write: (bytes) => writeAll(stdin, bytes),
    closeStdin: async () => {
      await endOf(stdin);
      await call("CloseIO", { stdin: true });
    },
    resize: async (size) => {
      await call("ResizePty", size);
    },
    close: finish,
  };
}

interface Streams {
  readonly stdin: Socket | undefined;
  readonly stdout: Socket | undefined;
  readonly stderr: Socket | undefined;
}

/** The named pipes of one command; we keep both ends of each open until the shim has opened its own. */
class Pipes {
  readonly paths: { readonly stdin: string; readonly stdout: string; readonly stderr: string };
  readonly #dir: string;
  readonly #held: number[];
  #streams: Streams | undefined;

  private constructor(dir: string, paths: Pipes["paths"], held: number[]) {
    this.#dir = dir;
    this.paths = paths;
    this.#held = held;
  }

  static async make(dir: string, options: ExecOptions): Promise<Pipes> {
    await mkdir(dir, { recursive: true, mode: 0o700 });
    const path = (name: string, wanted: boolean): string => (wanted ? join(dir, name) : "");
    const paths = {
      stdin: path("stdin", options.stdin),
      // The shim wants stdout of a terminal even when nobody listens.
      stdout: path("stdout", options.stdout || options.tty),
      stderr: path("stderr", options.stderr && !options.tty),
    };
    const wanted = Object.values(paths).filter((it) => it !== "");
    if (wanted.length > 0) await promisify(execFile)("mkfifo", ["-m", "600", ...wanted]);
    return new Pipes(
      dir,
      paths,
      wanted.map((it) => openSync(it, constants.O_RDWR | constants.O_NONBLOCK)),
    );
  }

  attach(): Streams {
    const open = (path: string, flags: number, side: object): Socket | undefined => {
      if (path === "") return undefined;
      const socket = new Socket({ fd: openSync(path, flags | constants.O_NONBLOCK), ...side });
      socket.on("error", () => {});
      return socket;
    };
    this.#streams = {
      stdin: open(this.paths.stdin, constants.O_WRONLY, { readable: false, writable: true }),
      stdout: open(this.paths.stdout, constants.O_RDONLY, { readable: true, writable: false }),
      stderr: open(this.paths.stderr, constants.O_RDONLY, { readable: true, writable: false }),
    };
    this.#letGo();
    return this.#streams;
  }

  async close(): Promise<void> {
    this.#letGo();
    for (const stream of Object.values(this.#streams ?? {})) (stream as Socket | undefined)?.destroy();
    await rm(this.#dir, { recursive: true, force: true });
  }

  #letGo(): void {
    for (const fd of this.#held.splice(0)) closeSync(fd);
  }
}

/** The container's own process, with another command. */
async function processSpec(connection: Connection, containerId: string, options: ExecOptions): Promise<object> {
  const { container } = await connection.call<{ container: { spec: { value: Uint8Array } } }>(
    "containers",
    "Get",
    { id: containerId },
    CALL_MS,
  );
  const { process } = JSON.parse(new TextDecoder().decode(container.spec.value)) as {
    process: { env?: string[] } & Record<string, unknown>;
  };
  const spec = {
    ...process,
    args: options.command,
    terminal: options.tty,
    env: options.tty ? [...(process.env ?? []), "TERM=xterm"] : process.env,
  };
  return { typeUrl: PROCESS_TYPE, value: new TextEncoder().encode(JSON.stringify(spec)) };
}

function writeAll(stream: Socket | undefined, bytes: Uint8Array): Promise<void> {
  return new Promise((resolve) => {
    // A command that does not read its input any more is no error of the writer's.
    if (!stream || stream.destroyed || stream.writableEnded) resolve();
    else stream.write(bytes, () => resolve());
  });
}

function endOf(stream: Socket | undefined): Promise<void> {
  return new Promise((resolve) => {
    if (!stream || stream.destroyed) resolve();
    else stream.once("close", () => resolve()).end(() => stream.destroy());
  });
}

function untilEnded(stream: Socket | undefined): Promise<void> {
  return new Promise((resolve) => {
    if (!stream || stream.readableEnded || stream.destroyed) resolve();
    else stream.once("end", () => resolve()).once("close", () => resolve());
  });
}

async function* nothing(): AsyncIterable<Uint8Array> {
  // Ends at once.
}
