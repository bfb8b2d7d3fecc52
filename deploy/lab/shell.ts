/** Programs of the host that the lab is made with. */
import { execFile, execFileSync } from "node:child_process";
import { promisify } from "node:util";

const execute = promisify(execFile);

/** Standard output; rejects with what the program said on standard error. */
export async function run(command: string, ...args: readonly string[]): Promise<string> {
  const { stdout } = await execute(command, [...args], { maxBuffer: 16 * 2 ** 20 });
  return stdout;
}

/** For undoing: what is not there need not be removed. */
export async function runQuietly(command: string, ...args: readonly string[]): Promise<void> {
  await run(command, ...args).catch(() => {});
}

/** Feeds `text` to a program, in a network namespace where one is named. */
export function feed(text: string, netns: string | undefined, command: string, ...args: readonly string[]): void {
  const [program, ...rest] =
    netns === undefined ? [command, ...args] : ["nsenter", `--net=/run/netns/${netns}`, command, ...args];
  execFileSync(program, rest, { input: text, stdio: ["pipe", "ignore", "pipe"] });
}
