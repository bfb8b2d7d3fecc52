/**
 * What the main.ts of every service has in common: command line, clock, bus, telemetry, health port, signals, and an orderly end.
 *
 * Promises: SIGTERM and SIGINT close the scope (last opened first) and end with 0; a failure of a background task is logged;
 * an uncaught error is logged and ends the process with 1, for the supervisor to start it again.
 * Certificates, keys and authorities are used anew when their files change (docs/certificates.md).
 * Does not promise: that a dependency is there. Services start without etcd, NATS or the API and wait for them.
 */
import { createServer } from "node:http";
import { hostname } from "node:os";
import type { Bus } from "@pilothouse/bus";
import { natsBus, type NatsBus, type NatsTls } from "@pilothouse/bus-nats";
import type { TimeAndChance } from "@pilothouse/clock";
import { systemTimeAndChance } from "@pilothouse/clock/system";
import type { Settings, Values } from "@pilothouse/config";
import { configFromCommandLine } from "@pilothouse/config/main-args";
import { Scope } from "@pilothouse/lifecycle";
import type { Telemetry } from "@pilothouse/telemetry";
import { otelTelemetry } from "@pilothouse/telemetry/otel";
import { readTls, watchTls, type TlsPaths, type TlsPorts, type TlsTexts } from "./tls-files.ts";

/** Settings that every service has. */
export const commonSettings = {
  "nats-servers": { type: "list", help: "host:port of each NATS server.", default: ["127.0.0.1:4222"] },
  "nats-ca-file": {
    type: "string",
    help: "Authority that signed the NATS servers' certificates; without it no TLS is spoken.",
  },
  "nats-cert-file": { type: "string", help: "Client certificate for NATS." },
  "nats-key-file": { type: "string", help: "Key of the client certificate for NATS." },
  "health-address": { type: "string", help: "Where /healthz and /metrics are served.", default: "127.0.0.1" },
  "health-port": { type: "port", help: "Port of /healthz and /metrics; 0 for none.", default: 0 },
  "log-level": { type: "string", help: "How much to log.", default: "info", oneOf: ["debug", "info", "warn", "error"] },
  "otlp-endpoint": { type: "string", help: "OpenTelemetry collector (OTLP over HTTP) that gets the spans." },
} as const satisfies Settings;

export interface ProcessPorts extends TimeAndChance {
  readonly bus: Bus;
  readonly telemetry: Telemetry;
  /** Closed at the end; owns everything the service opens. */
  readonly scope: Scope;
  /** Of this incarnation: another start of the same process has another one. The health port tells it under /identity. */
  readonly identity: string;
  /** `host:port` of the health port; undefined when there is none. */
  readonly healthAddress: string | undefined;
}

export interface Health {
  /** Resolves to what is unwell; empty when all is well. */
  readonly problems: () => Promise<readonly string[]> | readonly string[];
}

export interface ServiceProcess<S extends Settings> {
  /** `apiserver`, `scheduler`, … */
  readonly name: string;
  readonly description: string;
  readonly settings: S;
  /** Which of several processes of this service it is, for logs and spans. */
  readonly instance: (values: Values<S & typeof commonSettings>) => string;
  readonly start: (values: Values<S & typeof commonSettings>, ports: ProcessPorts) => Promise<Health>;
}

const CLOSE_PATIENCE_MS = 7_000;

/** Runs a service until a signal ends it. For main.ts only. */
export async function runProcess<S extends Settings>(service: ServiceProcess<S>): Promise<void> {
  const settings: S & typeof commonSettings = { ...service.settings, ...commonSettings };
  const values = configFromCommandLine(service.name, service.description, settings);
  const common = values as unknown as Values<typeof commonSettings>;
  const { clock, random, ids } = systemTimeAndChance;
  // Until the logger stands, a failure has nowhere to go but standard error.
  let report = (task: string, error: unknown): void => void process.stderr.write(`${task}: ${String(error)}\n`);
  const scope = new Scope(service.name, (task, error) => report(task, error));
  const bus = openBus(service.name, common, (error) => report("nats", error));
  const instance = service.instance(values);
  const identity = `${instance}_${ids.uuid()}`;
  const telemetry = await otelTelemetry({
    service: service.name,
    instance,
    host: hostname(),
    clock,
    random,
    scope,
    bus,
    logLevel: common["log-level"] as "debug" | "info" | "warn" | "error",
    otlpEndpoint: common["otlp-endpoint"] ?? process.env["OTEL_EXPORTER_OTLP_ENDPOINT"],
  });
  process.on("exit", () => telemetry.flush());
  report = (task, error) => telemetry.log.error(`${task} failed`, { error });
  scope.defer(() => bus.close());
  followBusFiles(bus, common, { clock, scope, telemetry });
  endOnSignals(scope, telemetry);
  const { "health-address": address, "health-port": port } = common;
  const healthAddress = port === 0 ? undefined : `${address}:${port}`;
  const health = await service.start(values, {
    ...systemTimeAndChance,
    bus,
    telemetry,
    scope,
    identity,
    healthAddress,
  });
  if (port !== 0) await serveHealth(address, port, identity, health, telemetry, scope);
  telemetry.log.info(`${service.name} started`);
}

function openBus(name: string, common: Values<typeof commonSettings>, onError: (error: unknown) => void): NatsBus {
  const paths = busTls(common);
  const tls = paths ? { tls: natsTls(readTls(paths)) } : {};
  return natsBus({ servers: common["nats-servers"], name, onError, ...tls });
}

/** Telemetry speaks over the bus: the bus is there first, and its files are followed once there is a log. */
function followBusFiles(bus: NatsBus, common: Values<typeof commonSettings>, ports: TlsPorts): void {
  const paths = busTls(common);
  if (paths) watchTls("nats-client", paths, ports).follow((texts) => bus.renew(natsTls(texts)));
}

function busTls(common: Values<typeof commonSettings>): TlsPaths | undefined {
  const { "nats-ca-file": ca, "nats-cert-file": certificate, "nats-key-file": key } = common;
  if (ca === undefined) return undefined;
  return certificate && key ? { ca, certificate, key } : { ca, certificate: undefined, key: undefined };
}

function natsTls({ ca = "", ...own }: TlsTexts): NatsTls {
  return { ca, ...own };
}

function endOnSignals(scope: Scope, { log }: Telemetry): void {
  const end = (signal: string): void => {
    log.info(`ending on ${signal}`);
    const impatient = setTimeout(() => process.exit(1), CLOSE_PATIENCE_MS);
    impatient.unref();
    void scope.close().then(() => process.exit(0));
  };
  process.once("SIGTERM", () => end("SIGTERM"));
  process.once("SIGINT", () => end("SIGINT"));
  const die = (error: unknown): void => {
    log.error("uncaught error", { error });
    process.exit(1);
  };
  process.on("uncaughtException", die);
  process.on("unhandledRejection", die);
}

/** /healthz, /livez, /readyz, /identity and /metrics over plain HTTP on a local address. */
async function serveHealth(
  address: string,
  port: number,
  identity: string,
  health: Health,
  telemetry: Telemetry,
  scope: Scope,
): Promise<void> {
  const answer = async (path: string): Promise<{ status: number; body: string }> => {
    if (path === "/metrics") return { status: 200, body: await telemetry.metrics.expose() };
    if (path === "/identity") return { status: 200, body: identity };
    if (path === "/livez") return { status: 200, body: "ok" };
    if (path !== "/healthz" && path !== "/readyz") return { status: 404, body: "not found\n" };
    const problems = await health.problems();
    return problems.length === 0 ? { status: 200, body: "ok" } : { status: 500, body: `${problems.join("\n")}\n` };
  };
  const server = createServer((request, response) => {
    answer((request.url ?? "/").split("?")[0] as string)
      .catch((error: unknown) => ({ status: 500, body: `${String(error)}\n` }))
      .then(({ status, body }) => response.writeHead(status, { "content-type": "text/plain; version=0.0.4" }).end(body))
      .catch(() => response.destroy());
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, address, resolve);
  });
  scope.defer(() => {
    server.closeAllConnections();
    return new Promise<void>((resolve) => server.close(() => resolve()));
  });
}
