/**
 * Answers load balancers that ask whether this node has endpoints of a Service (healthCheckNodePort): where only local endpoints are
 * used, a node without them is no use to them. One port for each Service, opened and closed as Services come and go.
 */
import type { Logger } from "@pilothouse/telemetry";
import type { HealthCheck } from "../core/model.ts";

export interface HealthAnswer {
  readonly status: 200 | 503;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export interface HealthDoor {
  /** Answers every request on this port of the node until what it returns is called. Rejects when the port is taken. */
  open(port: number, answer: () => HealthAnswer): Promise<() => Promise<void>>;
}

export interface HealthCheckPorts {
  readonly door: HealthDoor;
  readonly log: Logger;
  /** Why the kernel is not where it should be; undefined when it is. */
  readonly problem: () => string | undefined;
}

interface Opened {
  check: HealthCheck;
  readonly close: () => Promise<void>;
}

export class HealthChecks {
  readonly #ports: HealthCheckPorts;
  readonly #wanted = new Map<string, HealthCheck>();
  readonly #opened = new Map<string, Opened>();

  constructor(ports: HealthCheckPorts) {
    this.#ports = ports;
  }

  /** `service` is `namespace/name`; undefined: it has none (any more). */
  set(service: string, check: HealthCheck | undefined): void {
    if (check) this.#wanted.set(service, check);
    else this.#wanted.delete(service);
  }

  /** Opens and closes what it must; what could not be opened is tried again the next time. */
  async sync(): Promise<void> {
    for (const [service, { check, close }] of this.#opened) {
      if (this.#wanted.get(service)?.port === check.port) continue;
      this.#opened.delete(service);
      await close();
    }
    for (const [service, check] of this.#wanted) {
      const opened = this.#opened.get(service);
      if (opened) opened.check = check;
      else await this.#open(service, check);
    }
  }

  async close(): Promise<void> {
    this.#wanted.clear();
    await this.sync();
  }

  async #open(service: string, check: HealthCheck): Promise<void> {
    const opened: Omit<Opened, "close"> = { check };
    try {
      const close = await this.#ports.door.open(check.port, () =>
        healthAnswer(service, (this.#opened.get(service) ?? opened).check.localEndpoints, this.#ports.problem()),
      );
      this.#opened.set(service, { ...opened, close });
    } catch (error) {
      this.#ports.log.warn("a Service's health check has no port", { service, port: check.port, error });
    }
  }
}

/** Upstream's answer: 200 where there are local endpoints and the rules lead to them. */
export function healthAnswer(service: string, localEndpoints: number, problem: string | undefined): HealthAnswer {
  const [namespace = "", name = ""] = service.split("/");
  const serviceProxyHealthy = problem === undefined;
  return {
    status: localEndpoints > 0 && serviceProxyHealthy ? 200 : 503,
    headers: {
      "content-type": "application/json",
      "x-content-type-options": "nosniff",
      "x-load-balancing-endpoint-weight": String(localEndpoints),
    },
    body: JSON.stringify({ service: { namespace, name }, localEndpoints, serviceProxyHealthy }, undefined, "\t"),
  };
}
