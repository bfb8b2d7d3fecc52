/** Reads log files: from their last lines on, and as they grow. */
import { watch } from "node:fs";
import { constants, lstat, open, type FileHandle } from "node:fs/promises";
import { sleep, type Clock } from "@pilothouse/clock";
import type { LogFiles, LogReading } from "../flows/ports.ts";

const CHUNK_BYTES = 64 * 1024;
/** The kernel tells of growth; this is for the end of a container that wrote nothing more. */
const LOOK_AGAIN_MS = 500;
const NEWLINE = 10;

export function logFiles(clock: Clock): LogFiles {
  return { read: (reading) => readLog(clock, reading) };
}

async function* readLog(clock: Clock, reading: LogReading): AsyncGenerator<Uint8Array> {
  const { path, tailLines, growing, signal } = reading;
  let log = await OpenLog.open(path);
  try {
    if (tailLines !== undefined) await log.toTail(tailLines);
    for (let last = false; !signal.aborted;) {
      const news = growing ? log.news() : undefined;
      for (let chunk = await log.next(); chunk.length > 0; chunk = await log.next()) {
        yield chunk;
        if (signal.aborted) return;
      }
      if (!growing) return;
      if (await log.isMoved()) {
        // It was put aside, and may have been written to until this moment; then the new one goes on.
        for (let chunk = await log.next(); chunk.length > 0; chunk = await log.next()) yield chunk;
        const next = await OpenLog.open(path).catch(unlessMissing);
        if (next) {
          await log.close();
          log = next;
          continue;
        }
      }
      if (last) return;
      last = !(await growing());
      if (!last) await Promise.race([news, sleep(clock, LOOK_AGAIN_MS, signal).catch(() => {})]);
    }
  } finally {
    await log.close();
  }
}

/** One log file, read on from where it was left. */
class OpenLog {
  readonly #path: string;
  readonly #file: FileHandle;
  readonly #watching = new AbortController();
  #isWatched = false;
  #grown = Promise.withResolvers<void>();
  #offset = 0;

  private constructor(path: string, file: FileHandle) {
    this.#path = path;
    this.#file = file;
  }

  /** Rejects for what is no plain file: the runtime writes nothing else, and a link or a pipe is somebody's trick. */
  static async open(path: string): Promise<OpenLog> {
    const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    if ((await file.stat()).isFile()) return new OpenLog(path, file);
    await file.close();
    throw new Error(`${path} is no file`);
  }

  async toTail(lines: number): Promise<void> {
    this.#offset = await tailOffset(this.#file, lines);
  }

  /** Empty at the end, as far as it is written. */
  async next(): Promise<Uint8Array> {
    const chunk = await readAt(this.#file, this.#offset);
    this.#offset += chunk.length;
    return chunk;
  }

  /** Resolves when something happens to the file from now on. */
  news(): Promise<void> {
    this.#grown = Promise.withResolvers();
    if (!this.#isWatched) {
      this.#isWatched = true;
      // Perhaps it is gone by now: then it is looked at again all the same.
      try {
        watch(this.#path, { signal: this.#watching.signal }, () => this.#grown.resolve()).on("error", () => {});
      } catch {
        this.#isWatched = false;
      }
    }
    return this.#grown.promise;
  }

  /** True when its name leads elsewhere, or nowhere. */
  async isMoved(): Promise<boolean> {
    const [own, named] = await Promise.all([this.#file.stat(), lstat(this.#path).catch(unlessMissing)]);
    return named?.ino !== own.ino;
  }

  async close(): Promise<void> {
    this.#watching.abort();
    await this.#file.close();
  }
}

function unlessMissing(error: unknown): undefined {
  if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  return undefined;
}

async function readAt(file: FileHandle, offset: number): Promise<Uint8Array> {
  const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(CHUNK_BYTES), 0, CHUNK_BYTES, offset);
  return buffer.subarray(0, bytesRead);
}

/** Where the last `lines` lines begin. */
async function tailOffset(file: FileHandle, lines: number): Promise<number> {
  const { size } = await file.stat();
  if (lines === 0) return size;
  let found = 0;
  for (let end = size; end > 0;) {
    const start = Math.max(0, end - CHUNK_BYTES);
    const { buffer } = await file.read(Buffer.alloc(end - start), 0, end - start, start);
    for (let at = buffer.length - 1; at >= 0; at--) {
      // The newline that ends the last line begins no other.
      if (buffer[at] !== NEWLINE || start + at === size - 1) continue;
      found++;
      if (found === lines) return start + at + 1;
    }
    end = start;
  }
  return 0;
}
