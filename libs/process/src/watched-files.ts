/**
 * Files that belong together (a certificate, its key, the authorities it is used with), read as one set and followed while the
 * process runs.
 *
 * Promises: whatever replaces a file is noticed, be it renamed over it, written in place, or a link that points elsewhere; users
 * get whole sets only: one that `read` refuses (a key that is not the certificate's) leaves the one before in use, is told in
 * the log once, and is tried again.
 * Does not promise: that every state in between is seen.
 */
import type { Clock, Timer } from "@pilothouse/clock";
import type { Scope } from "@pilothouse/lifecycle";
import type { Logger } from "@pilothouse/telemetry";
import type { Folders } from "./folders.ts";

export interface WatchedFilesOptions<T> {
  /** For the log. */
  readonly name: string;
  /** Makes the set from its files; throws when they do not go together. What it asks for is what is watched. */
  readonly read: (text: (path: string) => string) => T;
}

export interface WatchedFilesPorts {
  readonly clock: Clock;
  readonly scope: Scope;
  readonly log: Logger;
  readonly folders: Folders;
}

export interface WatchedFiles<T> {
  /** The set in use. */
  current(): T;
  /** Hands over the set in use, now, and each one that takes its place. */
  follow(use: (set: T) => void): void;
}

/** Who replaces two files of a set does it in two steps. */
const QUIET_MS = 100;
const RETRY_MS = 1_000;
/** A net: some file systems tell nothing, and a folder that was itself replaced tells nothing any more. */
const POLL_MS = 10_000;

/** Throws what the first reading throws. */
export function watchFiles<T>(options: WatchedFilesOptions<T>, ports: WatchedFilesPorts): WatchedFiles<T> {
  const files = new FollowedFiles(options, ports);
  ports.scope.defer(() => files.close());
  return files;
}

class FollowedFiles<T> implements WatchedFiles<T> {
  readonly #options: WatchedFilesOptions<T>;
  readonly #ports: WatchedFilesPorts;
  readonly #users: ((set: T) => void)[] = [];
  #texts: ReadonlyMap<string, string> = new Map();
  #set: T;
  /** Why the newest content is not in use; told once. */
  #refusal: string | undefined;
  #next: Timer;
  #watching: { close(): void } | undefined;
  #closed = false;

  constructor(options: WatchedFilesOptions<T>, ports: WatchedFilesPorts) {
    this.#options = options;
    this.#ports = ports;
    this.#set = this.#read();
    this.#watch();
    // For what happened between the reading and the watching.
    this.#next = this.#lookIn(QUIET_MS, "poll");
  }

  current(): T {
    return this.#set;
  }

  follow(use: (set: T) => void): void {
    this.#users.push(use);
    use(this.#set);
  }

  close(): void {
    this.#closed = true;
    this.#next.cancel();
    this.#watching?.close();
  }

  #lookIn(delayMs: number, why: "event" | "poll"): Timer {
    return this.#ports.clock.setTimer(delayMs, () => this.#look(why));
  }

  #watch(): void {
    this.#watching?.close();
    this.#watching = this.#ports.folders.watch([...this.#texts.keys()], () => {
      if (this.#closed) return;
      this.#next.cancel();
      this.#next = this.#lookIn(QUIET_MS, "event");
    });
  }

  #look(why: "event" | "poll"): void {
    const { name } = this.#options;
    const { log } = this.#ports;
    // Anew each time, and before the reading: links may lead elsewhere now, and a folder may be another.
    this.#watch();
    try {
      if (this.#hasChanged()) this.#renew(why);
      else if (this.#refusal !== undefined) log.info("files are again as they are in use", { name });
      this.#refusal = undefined;
    } catch (error) {
      const refusal = String(error);
      if (this.#refusal !== refusal)
        log.warn("changed files cannot be used: those before stay in use", { name, error });
      this.#refusal = refusal;
    }
    this.#next = this.#lookIn(this.#refusal === undefined ? POLL_MS : RETRY_MS, "poll");
  }

  #hasChanged(): boolean {
    const { folders } = this.#ports;
    return [...this.#texts].some(([path, text]) => folders.text(path) !== text);
  }

  #renew(why: "event" | "poll"): void {
    const { name } = this.#options;
    const { log } = this.#ports;
    this.#set = this.#read();
    this.#watch();
    log.info("files were read again", { name, files: [...this.#texts.keys()], noticedBy: why });
    for (const use of this.#users) {
      try {
        use(this.#set);
      } catch (error) {
        log.error("renewed files cannot be put to use", { name, error });
      }
    }
  }

  #read(): T {
    const texts = new Map<string, string>();
    const set = this.#options.read((path) => {
      const text = texts.get(path) ?? this.#ports.folders.text(path);
      texts.set(path, text);
      return text;
    });
    this.#texts = texts;
    return set;
  }
}
