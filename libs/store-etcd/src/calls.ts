/** Unary calls over several endpoints. */
import type { ChannelCredentials } from "@grpc/grpc-js";
import { sleep } from "@pilothouse/clock";
import type { Clock } from "@pilothouse/clock";
import { StoreUnavailable } from "@pilothouse/store";
import { Connection } from "./connection.ts";
import type { UnaryCall } from "./connection.ts";
import { EndpointChoice } from "./endpoints.ts";
import { isAnswerTooLarge } from "./errors.ts";

export interface CallLimits {
  readonly deadlineMs: number;
  /** True if a second try can do no harm. */
  readonly repeatable: boolean;
}

/** A member that is silent for so long gets no second chance within a call, if there are others. */
const ATTEMPT_MS = 1_500;
const PAUSE_MS = 50;
/** A member that does not take the new certificate yet is used with the old one in the meantime. */
const MOVE_AGAIN_MS = 1_000;

export class Calls {
  readonly #endpoints: readonly string[];
  #channel: ChannelCredentials;
  readonly #clock: Clock;
  readonly #connections: Connection[];
  readonly #choice: EndpointChoice;
  readonly #closing = new AbortController();

  constructor(endpoints: readonly string[], channel: ChannelCredentials, clock: Clock) {
    this.#endpoints = endpoints;
    this.#channel = channel;
    this.#clock = clock;
    this.#choice = new EndpointChoice(endpoints.length);
    this.#connections = endpoints.map((endpoint) => new Connection(endpoint, channel, clock));
  }

  /** Tries endpoints until one answers, the deadline is over, or the outcome is unknown and must stay so (C3). */
  run<Answer>(call: UnaryCall, limits: CallLimits): Promise<Answer> {
    return this.attempt(call.service, limits, call.signal, (connection, deadlineMs) =>
      connection.unary<Answer>(call, deadlineMs),
    );
  }

  /** The same for any work on a connection that is ready. */
  async attempt<Answer>(
    service: UnaryCall["service"],
    { deadlineMs, repeatable }: CallLimits,
    signal: AbortSignal | undefined,
    work: (connection: Connection, deadlineMs: number) => Promise<Answer>,
  ): Promise<Answer> {
    signal?.throwIfAborted();
    const endMs = this.#clock.monotonicMs() + deadlineMs;
    let last: number | undefined;
    for (let tries = 1; ; tries++) {
      if (this.#closing.signal.aborted) throw new StoreUnavailable("the store is closed", "none");
      const endpoint = this.#choice.pick(this.#clock.monotonicMs(), last);
      const connection = this.#connections[endpoint] as Connection;
      const leftMs = Math.max(1, endMs - this.#clock.monotonicMs());
      const connectMs = this.#endpoints.length > 1 ? Math.min(leftMs, ATTEMPT_MS) : leftMs;
      try {
        await connection.ready(service, connectMs);
        const answer = await work(connection, repeatable ? connectMs : leftMs);
        this.#choice.worked(endpoint);
        return answer;
      } catch (error) {
        if (!(error instanceof StoreUnavailable) || isAnswerTooLarge(error)) throw error;
        this.#choice.failed(endpoint, this.#clock.monotonicMs());
        this.#renew(endpoint, connection);
        const over = this.#clock.monotonicMs() + PAUSE_MS >= endMs;
        if (over || (error.outcome === "unknown" && !repeatable)) throw error;
        last = endpoint;
      }
      if (tries % this.#endpoints.length === 0) await sleep(this.#clock, PAUSE_MS, signal);
    }
  }

  /** Moves over to new credentials, a connection at a time, each when the new one stands: no call is lost to it. */
  renew(channel: ChannelCredentials): void {
    this.#channel = channel;
    for (const endpoint of this.#endpoints.keys()) void this.#moveOver(endpoint, channel);
  }

  async #moveOver(endpoint: number, channel: ChannelCredentials): Promise<void> {
    const isNews = (): boolean => this.#channel === channel && !this.#closing.signal.aborted;
    while (isNews()) {
      const old = this.#connections[endpoint] as Connection;
      const connection = new Connection(this.#endpoints[endpoint] as string, channel, this.#clock);
      const stands = await connection.ready("KV", ATTEMPT_MS).then(
        () => true,
        () => false,
      );
      // A call that failed may have dialled in the meantime, with the new credentials already.
      if (stands && isNews() && this.#connections[endpoint] === old) {
        this.#connections[endpoint] = connection;
        this.#finish(old);
        return;
      }
      connection.close();
      if (this.#connections[endpoint] !== old) return;
      await sleep(this.#clock, MOVE_AGAIN_MS, this.#closing.signal).catch(() => undefined);
    }
  }

  /** Whoever has just chosen this connection has its time to begin. */
  #finish(old: Connection): void {
    const timer = this.#clock.setTimer(ATTEMPT_MS, () => old.close());
    this.#closing.signal.addEventListener(
      "abort",
      () => {
        timer.cancel();
        old.close();
      },
      { once: true },
    );
  }

  close(): void {
    this.#closing.abort();
    for (const connection of this.#connections) connection.close();
  }

  /** Dials anew: the old connection may be one that stays open and silent. */
  #renew(endpoint: number, failed: Connection): void {
    if (this.#connections[endpoint] !== failed || this.#closing.signal.aborted) return;
    failed.close();
    this.#connections[endpoint] = new Connection(this.#endpoints[endpoint] as string, this.#channel, this.#clock);
  }
}
