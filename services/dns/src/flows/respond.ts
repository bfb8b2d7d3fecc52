/** From a query to its answer: the zone's own, or what other name servers say. */
import type { Clock } from "@pilothouse/clock";
import type { Telemetry } from "@pilothouse/telemetry";
import type { Packet } from "dns-packet";
import { answer, serverFailure } from "../core/answer.ts";
import type { Zone } from "../core/zone.ts";

/** Asks name servers that are not ours. */
export interface Upstream {
  /** The answer of the first server that gives one, as it came; rejects when none does. */
  ask(query: Uint8Array): Promise<Uint8Array>;
}

/** Gives the answer to a query, which it gets parsed and as it came; it never rejects. */
export type Responder = (query: Packet, message: Uint8Array) => Promise<Packet | Uint8Array>;

export interface RespondPorts {
  readonly upstream: Upstream;
  readonly telemetry: Telemetry;
  readonly clock: Clock;
}

const DURATION_BUCKETS_SECONDS = [0.0001, 0.0005, 0.001, 0.005, 0.05, 0.5, 2];

/** `serial` is the zone's version. */
export function responder({ upstream, telemetry, clock }: RespondPorts, zone: Zone, serial: () => number): Responder {
  const { metrics, log } = telemetry;
  const answered = metrics.counter("dns_responses_total", "Answers, by where they came from.", ["source"]);
  const duration = metrics.histogram("dns_request_duration_seconds", "Time to answer.", DURATION_BUCKETS_SECONDS, [
    "source",
  ]);
  const respond = async (query: Packet, message: Uint8Array): Promise<[source: string, Packet | Uint8Array]> => {
    try {
      const reply = answer(query, zone, serial());
      return reply.do === "answer" ? ["zone", reply.packet] : ["upstream", await upstream.ask(message)];
    } catch (error) {
      log.debug("no answer", { error });
      return ["nobody", serverFailure(query)];
    }
  };
  return async (query, message) => {
    const startedMs = clock.monotonicMs();
    const [source, reply] = await respond(query, message);
    answered.add({ source });
    duration.observe((clock.monotonicMs() - startedMs) / 1_000, { source });
    return reply;
  };
}
