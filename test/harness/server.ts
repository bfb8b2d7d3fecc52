import { removeTestDirectory } from "./directory.ts";
import { startProcess, type ProcessOptions, type TestProcess } from "./process.ts";

/** A process of somebody else's that tests freeze, kill and start again: same ports, same data. */
export interface TestServer {
  readonly directory: string;
  pid(): number;
  /** Freezes the process; its connections stay open. */
  pause(): void;
  resume(): void;
  /** Kills it as a power cut would; the data stays for `start`. */
  kill(): Promise<void>;
  /** Starts it again on the same ports and data. */
  start(): Promise<void>;
  /** Ends it and removes its directory. */
  stop(): Promise<void>;
}

/** Resolves once `ready` does. A server that does not get so far is killed and its directory removed. */
export async function startServer(
  options: ProcessOptions,
  ready: (started: TestProcess) => Promise<void>,
): Promise<TestServer> {
  const { directory } = options;
  let current: TestProcess;
  const start = async (): Promise<void> => {
    current = startProcess(options);
    await ready(current);
  };
  const kill = async (): Promise<void> => {
    current.signal("SIGKILL");
    await current.ended;
  };
  const stop = async (): Promise<void> => {
    await kill();
    await removeTestDirectory(directory);
  };
  await start().catch(async (error: unknown) => {
    await stop();
    throw error;
  });
  return {
    directory,
    pid: () => current.pid,
    pause: () => current.signal("SIGSTOP"),
    resume: () => current.signal("SIGCONT"),
    kill,
    start,
    stop,
  };
}
