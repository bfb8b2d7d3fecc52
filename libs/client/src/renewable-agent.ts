/** Kept-alive connections whose identity and authorities may change: requests from then on go over new connections. */
import { Agent, type AgentOptions } from "node:https";

/** PEM texts; `ca` may hold several certificates. */
export interface ConnectionIdentity {
  readonly ca?: string | undefined;
  readonly certificate?: string | undefined;
  readonly key?: string | undefined;
}

/** Adapter. What is under way on an old connection ends in its own time, and the connection with it. */
export class RenewableAgent {
  readonly #options: AgentOptions;
  readonly #old = new Set<Agent>();
  #identity: ConnectionIdentity;
  #agent: Agent;
  #retired = new AbortController();

  constructor(options: AgentOptions, identity: ConnectionIdentity) {
    this.#options = options;
    this.#identity = identity;
    this.#agent = new Agent({ ...options, ...tlsOptions(identity) });
  }

  /** For the next request. */
  get agent(): Agent {
    return this.#agent;
  }

  /** Aborts when `agent` is the one for new requests no more: what may be ended on it should be. */
  get retired(): AbortSignal {
    return this.#retired.signal;
  }

  /** The same identity changes nothing. */
  renew(identity: ConnectionIdentity): void {
    const { ca, certificate, key } = this.#identity;
    if (ca === identity.ca && certificate === identity.certificate && key === identity.key) return;
    const next = new Agent({ ...this.#options, ...tlsOptions(identity) });
    const [agent, retired] = [this.#agent, this.#retired];
    this.#identity = identity;
    this.#agent = next;
    this.#retired = new AbortController();
    retireConnections(agent);
    this.#keepUntilEmpty(agent);
    retired.abort();
  }

  destroy(): void {
    this.#agent.destroy();
    for (const agent of this.#old) agent.destroy();
  }

  /** Only to destroy it, if it comes to that; those that have emptied since the last renewal are forgotten. */
  #keepUntilEmpty(agent: Agent): void {
    for (const old of this.#old) if (Object.keys(old.sockets).length === 0) this.#old.delete(old);
    this.#old.add(agent);
  }
}

export function tlsOptions({ ca, certificate, key }: ConnectionIdentity): { ca?: string; cert?: string; key?: string } {
  return {
    ...(ca === undefined ? {} : { ca }),
    ...(certificate === undefined ? {} : { cert: certificate }),
    ...(key === undefined ? {} : { key }),
  };
}

function retireConnections(agent: Agent): void {
  // What is freed from now on is closed instead of kept.
  agent.maxFreeSockets = 0;
  for (const sockets of Object.values(agent.freeSockets)) for (const socket of sockets ?? []) socket.destroy();
}
