/**
 * From changes of Services and EndpointSlices to the kernel: gather what came within one turn of the event loop, plan, apply.
 *
 * While a transaction is on its way the next one gathers, so under load each carries more. A refused one is followed by the
 * whole table (somebody may have changed it under us); until that is in, the kernel keeps what it had.
 */
import type { Service } from "@pilothouse/api/types/core-v1";
import type { EndpointSlice } from "@pilothouse/api/types/discovery-v1";
import { sleep, type Clock } from "@pilothouse/clock";
import type { PacketFilter } from "@pilothouse/packet-filter";
import { span, type Counter, type Histogram, type Telemetry, type TraceContext } from "@pilothouse/telemetry";
import { Rules } from "../core/diff.ts";
import { ServiceIndex, type HealthCheck } from "../core/model.ts";
import type { RulesetOptions, UdpFlow } from "../core/ruleset.ts";

/** What else of the node the proxy needs. */
export interface NodeNetwork {
  /** Makes the ranges safe: what is for pods or Services never leaves by the uplink. Returns what this kernel lacks. */
  prepare(options: RulesetOptions): Promise<readonly string[]>;
  /** Makes the kernel forget UDP connections, so that their next packet finds a new endpoint. */
  forgetUdp(flows: readonly UdpFlow[]): Promise<void>;
}

export interface ProgramPorts {
  readonly filter: PacketFilter;
  readonly network: NodeNetwork;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  /** Told which services (`namespace/name`) are in the kernel as they were told. */
  readonly programmed?: (services: readonly string[]) => void;
}

export interface ProgramOptions extends RulesetOptions {
  readonly table: string;
  readonly nodeName: string;
}

interface Cause {
  readonly trace: TraceContext | undefined;
  /** When the first change came that is not yet in the kernel. */
  readonly sinceMs: number;
}

const RETRY_MS = 1_000;
const LATENCY_BUCKETS_SECONDS = [0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 5, 30];
const MAX_LINKS = 16;

export class Program {
  readonly #ports: ProgramPorts;
  readonly #index: ServiceIndex;
  readonly #rules: Rules;
  readonly #latency: Histogram;
  readonly #refusals: Counter;
  /** Services to be looked at again, with what caused it. */
  #dirty = new Map<string, Cause>();
  #wake: (() => void) | undefined;
  #busy = false;
  #needsWhole = true;
  #failure: string | undefined = "the rules are not in the kernel yet";

  constructor(ports: ProgramPorts, options: ProgramOptions) {
    this.#ports = ports;
    this.#index = new ServiceIndex(options.nodeName);
    this.#rules = new Rules(options.table, options);
    const { metrics } = ports.telemetry;
    this.#latency = metrics.histogram(
      "proxy_network_programming_duration_seconds",
      "From hearing of a change to its rules being in the kernel.",
      LATENCY_BUCKETS_SECONDS,
    );
    this.#refusals = metrics.counter("proxy_refused_transactions_total", "Transactions that the kernel refused.");
  }

  serviceChanged(type: "added" | "updated" | "deleted", service: Service, trace: TraceContext | undefined): void {
    this.#touch(type === "deleted" ? this.#index.removeService(service) : this.#index.setService(service), trace);
  }

  sliceChanged(type: "added" | "updated" | "deleted", slice: EndpointSlice, trace: TraceContext | undefined): void {
    this.#touch(type === "deleted" ? this.#index.removeSlice(slice) : this.#index.setSlice(slice), trace);
  }

  /** What load balancers may ask of a service (`namespace/name`), by all that was told. */
  healthCheck(service: string): HealthCheck | undefined {
    return this.#index.healthCheck(service);
  }

  /** The zone of this node, as its Node object says. */
  zoneChanged(zone: string | undefined, trace: TraceContext | undefined): void {
    this.#touch(this.#index.setZone(zone), trace);
  }

  /** Why the kernel is not where it should be; undefined when it is. */
  problem(): string | undefined {
    return this.#failure;
  }

  /** True when all that was told is in the kernel. */
  upToDate(): boolean {
    return this.#dirty.size === 0 && !this.#busy && this.#failure === undefined;
  }

  /** Applies everything once, then every change, until the signal aborts. Call it when all that exists has been told. */
  async run(signal: AbortSignal): Promise<void> {
    signal.addEventListener("abort", () => this.#wake?.(), { once: true });
    while (!signal.aborted) {
      this.#busy = true;
      await this.#ports.clock.turn();
      try {
        await this.#programOnce();
      } catch (error) {
        if (signal.aborted) return;
        this.#failure = error instanceof Error ? error.message : String(error);
        this.#needsWhole = true;
        this.#refusals.add();
        this.#ports.telemetry.log.error("the kernel refused the rules", { error });
        await sleep(this.#ports.clock, RETRY_MS, signal).catch(() => undefined);
        continue;
      }
      this.#busy = false;
      if (this.#dirty.size === 0 && !signal.aborted) await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  #touch(services: readonly string[], trace: TraceContext | undefined): void {
    const sinceMs = this.#ports.clock.monotonicMs();
    for (const service of services) if (!this.#dirty.has(service)) this.#dirty.set(service, { trace, sinceMs });
    this.#wake?.();
  }

  async #programOnce(): Promise<void> {
    const causes = this.#dirty;
    this.#dirty = new Map();
    for (const service of causes.keys()) this.#rules.put(service, this.#index.ports(service));
    const whole = this.#needsWhole;
    const { commands, forget } = whole ? this.#rules.whole() : this.#rules.change();
    if (commands.length > 0) await this.#apply(causes, whole, () => this.#ports.filter.apply(commands));
    this.#rules.applied();
    this.#ports.programmed?.([...causes.keys()]);
    this.#needsWhole = false;
    this.#failure = undefined;
    if (forget.length > 0) await this.#forget(forget);
  }

  async #forget(flows: readonly UdpFlow[]): Promise<void> {
    try {
      await this.#ports.network.forgetUdp(flows);
    } catch (error) {
      this.#ports.telemetry.log.warn("UDP connections to endpoints that went could not be ended", { error });
    }
  }

  async #apply(causes: ReadonlyMap<string, Cause>, whole: boolean, apply: () => Promise<void>): Promise<void> {
    const { clock, telemetry } = this.#ports;
    const [parent, ...links] = [...causes.values()].flatMap(({ trace }) => (trace ? [trace] : []));
    const [firstService = ""] = causes.keys();
    const attributes = { services: causes.size, service: firstService, whole };
    await span(telemetry.tracer, "program", { parent, links: links.slice(0, MAX_LINKS), attributes }, apply);
    const nowMs = clock.monotonicMs();
    for (const { sinceMs } of causes.values()) this.#latency.observe((nowMs - sinceMs) / 1_000);
  }
}
