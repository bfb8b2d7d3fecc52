/**
 * From changes of Nodes to the routes of their pods: gather what came within one turn, plan on all of them, apply what differs.
 *
 * What is in the kernel is read each time, so that a restart, or somebody who removes a route, costs nothing but the next look.
 */
import type { Node } from "@pilothouse/api/types/core-v1";
import { sleep, type Clock } from "@pilothouse/clock";
import type { Informer } from "@pilothouse/informer";
import { span, type Telemetry, type TraceContext } from "@pilothouse/telemetry";
import {
  planPodRoutes,
  podCidrOf,
  routeChanges,
  type PodNetworkMode,
  type PodRoute,
  type RouteChanges,
} from "../core/pod-routes.ts";

/** The routes to other nodes' pods, in the kernel. */
export interface RouteTable {
  /** CIDRs of this node's own links. */
  links(): Promise<readonly string[]>;
  /** The routes that are ours. */
  read(): Promise<readonly PodRoute[]>;
  /** `own` is this node's address and its share of the pods' range: its end of the tunnel, where one is needed. */
  change(changes: RouteChanges, own: OwnShare): Promise<void>;
}

export interface OwnShare {
  readonly nodeAddress: string;
  readonly podCidr: string | undefined;
}

export interface RouteOptions {
  readonly nodeName: string;
  readonly mode: PodNetworkMode;
}

const RETRY_MS = 1_000;
/** How often the kernel is looked at although nothing was heard: a net under what somebody else does to it. */
const LOOK_AGAIN_MS = 60_000;

export class PodRoutes {
  readonly #ports: { readonly table: RouteTable; readonly clock: Clock; readonly telemetry: Telemetry };
  readonly #options: RouteOptions;
  #cause: TraceContext | undefined;
  #isDirty = true;
  #wake: (() => void) | undefined;
  #failure: string | undefined;
  /** What the kernel was last brought to; undefined: look. */
  #applied: readonly PodRoute[] | undefined;

  constructor(
    ports: { readonly table: RouteTable; readonly clock: Clock; readonly telemetry: Telemetry },
    options: RouteOptions,
  ) {
    this.#ports = ports;
    this.#options = options;
  }

  /** A node came, changed or went. */
  changed(trace: TraceContext | undefined): void {
    this.#cause ??= trace;
    this.#isDirty = true;
    this.#wake?.();
  }

  /** Why the routes are not as they should be; undefined when they are. */
  problem(): string | undefined {
    return this.#failure;
  }

  /** Keeps the routes true until the signal aborts. Call it when all nodes have been told. */
  async run(nodes: Pick<Informer<Node>, "list">, signal: AbortSignal): Promise<void> {
    const { clock, telemetry } = this.#ports;
    while (!signal.aborted) {
      await clock.turn();
      try {
        await this.#routeOnce(nodes.list());
        this.#failure = undefined;
        if (!this.#isDirty) await this.#changeOr(LOOK_AGAIN_MS, signal);
      } catch (error) {
        if (signal.aborted) return;
        this.#failure = error instanceof Error ? error.message : String(error);
        this.#applied = undefined;
        telemetry.log.error("the routes to other nodes' pods could not be made", { error });
        await sleep(clock, RETRY_MS, signal).catch(() => undefined);
      }
    }
  }

  async #routeOnce(nodes: readonly Node[]): Promise<void> {
    const { table, telemetry } = this.#ports;
    const parent = this.#cause;
    this.#cause = undefined;
    this.#isDirty = false;
    const wanted = planPodRoutes(nodes, { ...this.#options, links: await table.links() });
    if (this.#applied && isNothing(routeChanges(wanted, this.#applied))) return;
    const changes = routeChanges(wanted, await table.read());
    this.#applied = wanted;
    if (isNothing(changes)) return;
    const own = nodes.find(({ metadata }) => metadata.name === this.#options.nodeName);
    const nodeAddress = own?.status?.addresses?.find(({ type }) => type === "InternalIP")?.address;
    if (own === undefined || nodeAddress === undefined) throw new Error("this node's own address is not known yet");
    const attributes = { put: changes.put.length, removed: changes.remove.length };
    const change = (): Promise<void> => table.change(changes, { nodeAddress, podCidr: podCidrOf(own) });
    await span(telemetry.tracer, "proxy.route", { parent, attributes }, change);
  }

  #changeOr(delayMs: number, signal: AbortSignal): Promise<void> {
    const { clock } = this.#ports;
    return new Promise((resolve) => {
      const settle = (): void => {
        timer.cancel();
        signal.removeEventListener("abort", settle);
        this.#wake = undefined;
        resolve();
      };
      const timer = clock.setTimer(delayMs, () => {
        this.#applied = undefined;
        settle();
      });
      this.#wake = settle;
      signal.addEventListener("abort", settle, { once: true });
    });
  }
}

function isNothing({ put, remove }: RouteChanges): boolean {
  return put.length + remove.length === 0;
}
