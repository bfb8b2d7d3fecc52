/**
 * containerd's events as the port's: pushed, over one stream that is opened again whenever it ends.
 *
 * The stream says nothing while nothing happens, so a dead one looks like a quiet one. Therefore we publish a beat of our own
 * through containerd every few seconds and expect to hear it on the stream.
 */
import { sleep, type Clock } from "@pilothouse/clock";
import type { RuntimeEvent } from "@pilothouse/runtime";
import type { Connection } from "./connection.ts";

const BEAT_TOPIC = "/pilothouse/beat";
const BEAT_MS = 10_000;
const SILENCE_MS = 25_000;
const REOPEN_MS = 500;
const FIRST_LOOK_MS = 2;
const LONGEST_WAIT_MS = 1_000;

interface Envelope {
  readonly topic: string;
  readonly event: { readonly value: Uint8Array } | null;
}

export class EventFeed {
  readonly #handlers = new Set<(event: RuntimeEvent) => void>();
  readonly #clock: Clock;
  readonly #connection: Connection;
  readonly #namespace: string;
  readonly #isOver: (containerId: string) => Promise<boolean>;
  #abort: AbortController | undefined;
  #running: Promise<void> = Promise.resolve();

  /** `isOver` asks the CRI whether it holds the container (or sandbox) to have ended; one that it does not know has. */
  constructor(
    clock: Clock,
    connection: Connection,
    namespace: string,
    isOver: (containerId: string) => Promise<boolean>,
  ) {
    this.#clock = clock;
    this.#isOver = isOver;
    this.#connection = connection;
    this.#namespace = namespace;
  }

  subscribe(handle: (event: RuntimeEvent) => void): () => void {
    this.#handlers.add(handle);
    if (!this.#abort) {
      this.#abort = new AbortController();
      this.#running = this.#follow(this.#abort.signal);
    }
    return () => void this.#handlers.delete(handle);
  }

  async close(): Promise<void> {
    this.#handlers.clear();
    this.#abort?.abort();
    await this.#running;
  }

  async #follow(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#readOneStream(signal);
      await sleep(this.#clock, REOPEN_MS, signal).catch(() => {});
    }
  }

  /** Resolves when the stream has ended, for whatever reason. */
  #readOneStream(signal: AbortSignal): Promise<void> {
    const ended = new AbortController();
    const filters = [
      `namespace==${this.#namespace},topic~="^/tasks/(start|exit|oom|delete)$"`,
      `topic=="${BEAT_TOPIC}"`,
    ];
    const stream = this.#connection.stream<Envelope>("events", "Subscribe", { filters });
    let heardAtMs = this.#clock.monotonicMs();
    let proven = false;
    stream.on("data", (envelope: Envelope) => {
      heardAtMs = this.#clock.monotonicMs();
      if (!proven) this.#emit({ kind: "resync" });
      proven = true;
      const event = this.#translate(envelope);
      if (event) void this.#tell(event, ended.signal);
    });
    // Errors only say that the stream is over, which `close` says too.
    stream.on("error", () => {});
    const beats = this.#beat(ended.signal, () => {
      if (this.#clock.monotonicMs() - heardAtMs > SILENCE_MS) stream.cancel();
    });
    const onAbort = (): void => stream.cancel();
    signal.addEventListener("abort", onAbort, { once: true });
    return new Promise((resolve) => {
      stream.on("close", () => {
        signal.removeEventListener("abort", onAbort);
        ended.abort();
        resolve(beats);
      });
    });
  }

  /** The first beat goes out at once: hearing it proves that the subscription stands, and is the moment to list. */
  async #beat(signal: AbortSignal, check: () => void): Promise<void> {
    let delayMs = 20;
    while (!signal.aborted) {
      const event = { typeUrl: "pilothouse.local/beat", value: new Uint8Array() };
      await this.#connection.call("events", "Publish", { topic: BEAT_TOPIC, event }, BEAT_MS).catch(() => {});
      await sleep(this.#clock, delayMs, signal).catch(() => {});
      delayMs = Math.min(delayMs * 10, BEAT_MS);
      check();
    }
  }

  #translate({ topic, event }: Envelope): RuntimeEvent | undefined {
    if (!event || topic === BEAT_TOPIC) return undefined;
    const { containerId, id } = this.#task(event.value);
    switch (topic) {
      case "/tasks/start":
        return { kind: "started", containerId };
      case "/tasks/exit":
        // The end of a command in a container is not the container's.
        return id === containerId ? { kind: "exited", containerId } : undefined;
      case "/tasks/oom":
        return { kind: "oom", containerId };
      case "/tasks/delete":
        return { kind: "deleted", containerId };
      default:
        return undefined;
    }
  }

  #task(bytes: Uint8Array): { readonly containerId: string; readonly id: string } {
    // Of all these events only the exit has more than the container's id in front.
    const { containerId, id } = this.#connection.decode("containerd.events.TaskExit", bytes);
    return { containerId: String(containerId), id: String(id) };
  }

  /**
   * TRAP: containerd's CRI plugin hears of an end from the same event as we do, and for a few milliseconds it still says that
   * the container runs, or has only been created; on a busy machine for longer. Nothing is told before it says otherwise:
   * who looked too early would not look again.
   */
  async #tell(event: RuntimeEvent, signal: AbortSignal): Promise<void> {
    if (event.kind === "exited") {
      let waitMs = FIRST_LOOK_MS;
      while (!signal.aborted && !(await this.#isOver(event.containerId).catch(() => true))) {
        await sleep(this.#clock, waitMs, signal).catch(() => {});
        waitMs = Math.min(2 * waitMs, LONGEST_WAIT_MS);
      }
    }
    this.#emit(event);
  }

  #emit(event: RuntimeEvent): void {
    for (const handle of this.#handlers) handle(event);
  }
}
