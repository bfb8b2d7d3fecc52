/**
 * A part of a volume for a container, whatever links the pod puts there meanwhile.
 *
 * The way down is walked from one open folder to the next and follows no link; what is reached is bound to a place of the
 * kubelet's own by its open file, not by its name, and that place is what the runtime gets. Between looking and mounting
 * there is no name left that somebody could turn elsewhere.
 */
import { execFile } from "node:child_process";
import { constants, mkdir, open, realpath, rm, rmdir, writeFile, type FileHandle } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

/** Linux's O_PATH, which Node does not name: a handle on a place, of whatever kind, that opens nothing. */
const O_PATH = 0o10000000;

/** The subPath leads out of its volume, or through a link that was put there just now. */
export class LeavesVolume extends Error {
  override readonly name = "LeavesVolume";
}

/** Binds the part to `target`, making folders that are missing. Throws LeavesVolume. */
export async function bindSubPath(volumePath: string, subPath: string, target: string): Promise<void> {
  const volume = await realpath(volumePath);
  const { known, missing } = await resolved(volume, subPath);
  await using part = await walk(volume, known, missing);
  await mkdir(dirname(target), { recursive: true, mode: 0o750 });
  // What an earlier binding was made on: empty, or it stays.
  await rmdir(target).catch(() => rm(target, { force: true }));
  if ((await part.stat()).isDirectory()) await mkdir(target, { recursive: true, mode: 0o750 });
  else await writeFile(target, "", { mode: 0o640 });
  await run("mount", ["--no-canonicalize", "--bind", `/proc/${process.pid}/fd/${part.fd}`, target]);
}

interface Way {
  /** Names from the volume down, after links within it were followed. */
  readonly known: readonly string[];
  /** Names below that are not there yet. */
  readonly missing: readonly string[];
}

/** Follows the links that are there, as far as they stay in the volume. */
async function resolved(volume: string, subPath: string): Promise<Way> {
  const names = subPath.split("/").filter((name) => name !== "" && name !== ".");
  if (subPath.startsWith("/") || names.includes("..")) throw new LeavesVolume(subPath);
  for (let count = names.length; count > 0; count--) {
    const real = await realpath(join(volume, ...names.slice(0, count))).catch(() => undefined);
    if (real === undefined) continue;
    if (real !== volume && !real.startsWith(`${volume}/`)) throw new LeavesVolume(subPath);
    const known = relative(volume, real).split("/");
    return { known: known.filter((name) => name !== ""), missing: names.slice(count) };
  }
  return { known: [], missing: names };
}

async function walk(volume: string, known: readonly string[], missing: readonly string[]): Promise<FileHandle> {
  let at = await open(volume, O_PATH | constants.O_DIRECTORY);
  for (const [index, name] of [...known, ...missing].entries()) {
    await using folder = at;
    const path = `/proc/self/fd/${folder.fd}/${name}`;
    if (index >= known.length) await mkdir(path, { mode: 0o755 }).catch(unlessThere);
    at = await open(path, O_PATH | constants.O_NOFOLLOW);
    if ((await at.stat()).isSymbolicLink()) {
      await at.close();
      throw new LeavesVolume(name);
    }
  }
  return at;
}

function unlessThere(error: unknown): void {
  if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
}
