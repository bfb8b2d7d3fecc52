/**
 * Ownership of everything that is opened.
 *
 * Purpose: a `Scope` owns timers, subscriptions, sockets, child scopes and background tasks; closing it closes them all,
 * last opened first, and waits for them.
 * Promises: a cleanup runs exactly once, also when added after the close; a task that throws is reported to `onFailure`, never lost.
 * Does not promise: that a task which ignores its signal ends.
 */
export interface Disposer {
  (): void | Promise<void>;
}

export class Scope {
  readonly name: string;
  readonly #abort = new AbortController();
  readonly #cleanups: Disposer[] = [];
  readonly #tasks = new Set<Promise<void>>();
  readonly #onFailure: (task: string, error: unknown) => void;
  #closing: Promise<void> | undefined;

  constructor(name: string, onFailure: (task: string, error: unknown) => void) {
    this.name = name;
    this.#onFailure = onFailure;
  }

  /** Aborts when the scope begins to close. */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  get closed(): boolean {
    return this.#closing !== undefined;
  }

  /** Registers what must run at close, and returns it. On a closed scope it runs at once. */
  defer(cleanup: Disposer): void {
    if (this.#closing) void this.#dispose(cleanup);
    else this.#cleanups.push(cleanup);
  }

  /** A scope that closes with this one (and may close earlier by itself). */
  child(name: string): Scope {
    const child = new Scope(`${this.name}/${name}`, this.#onFailure);
    this.defer(() => child.close());
    return child;
  }

  /** Runs a background task that should end when the signal aborts. Its failure goes to `onFailure`; aborts are no failures. */
  run(task: string, work: (signal: AbortSignal) => Promise<void>): void {
    if (this.#closing) return;
    const running = work(this.signal)
      .catch((error: unknown) => {
        if (!this.signal.aborted) this.#onFailure(`${this.name}/${task}`, error);
      })
      .finally(() => this.#tasks.delete(running));
    this.#tasks.add(running);
  }

  /** Aborts the signal, runs the cleanups last first, waits for the tasks. The same promise for every caller. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    await Promise.resolve();
    this.#abort.abort(new ScopeClosed(this.name));
    for (let cleanup = this.#cleanups.pop(); cleanup; cleanup = this.#cleanups.pop()) await this.#dispose(cleanup);
    await Promise.all(this.#tasks);
  }

  async #dispose(cleanup: Disposer): Promise<void> {
    try {
      await cleanup();
    } catch (error) {
      this.#onFailure(`${this.name}/close`, error);
    }
  }
}

export class ScopeClosed extends Error {
  override readonly name = "ScopeClosed";
  constructor(scope: string) {
    super(`${scope} is closed`);
  }
}
