/** Files that are whole or not there, whatever is interrupted: written beside, brought to the disk, renamed. */
import {
  chmodSync,
  closeSync,
  existsSync,
  fchmodSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";

const ENTERED_BY_ALL = 0o755;

/** Replaces `path`; its permissions are right from its first byte on, whatever the process' umask takes away from what it makes. */
export function writeDurably(path: string, text: string, mode: number): void {
  const beside = join(dirname(path), `.${basename(path)}.writing`);
  rmSync(beside, { force: true });
  const file = openSync(beside, "wx", mode);
  try {
    fchmodSync(file, mode);
    writeFileSync(file, text);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  renameDurably(beside, path);
}

/** Makes the folder where it is missing, and lets everybody enter it, whatever the process' umask. */
export function openFolder(path: string): void {
  mkdirSync(path, { recursive: true });
  if ((statSync(path).mode & 0o777) !== ENTERED_BY_ALL) chmodSync(path, ENTERED_BY_ALL);
}

export function renameDurably(from: string, to: string): void {
  renameSync(from, to);
  syncDirectory(dirname(to));
}

export function removeDurably(path: string): void {
  rmSync(path, { force: true, recursive: true });
  syncDirectory(dirname(path));
}

/** The file's text; undefined if it is not there. */
export function readIfThere(path: string): string | undefined {
  return existsSync(path) ? readFileSync(path, "utf8") : undefined;
}

export function syncDirectory(path: string): void {
  const directory = openSync(path, "r");
  try {
    fsyncSync(directory);
  } finally {
    closeSync(directory);
  }
}
