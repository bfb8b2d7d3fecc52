/** Reads log files: from their last lines on, and as they grow. */
import { watch } from "node:fs";
import { constants, open, type FileHandle } from "node:fs/promises";
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
  // No link, and no pipe that would never open: the runtime writes plain files.
  await using file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  if (!(await file.stat()).isFile()) throw new Error(`${path} is no file`);
  let offset = tailLines === undefined ? 0 : await tailOffset(file, tailLines);
  const growth = new AbortController();
  let grown = Promise.withResolvers<void>();
  const watcher = growing ? watch(path, { signal: growth.signal }, () => grown.resolve()) : undefined;
  watcher?.on("error", () => {});
  try {
    for (let last = false; !signal.aborted;) {
      grown = Promise.withResolvers();
      for (let chunk = await readAt(file, offset); chunk.length > 0; chunk = await readAt(file, offset)) {
        offset += chunk.length;
        yield chunk;
        if (signal.aborted) return;
      }
      if (!growing || last) return;
      last = !(await growing());
      if (!last) await Promise.race([grown.promise, sleep(clock, LOOK_AGAIN_MS, signal).catch(() => {})]);
    }
  } finally {
    growth.abort();
  }
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
