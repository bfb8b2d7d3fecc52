/** The apiserver as a process: flags, files, real ports, signals. */
import { readFileSync } from "node:fs";
import { natsBus } from "@pilothouse/bus-nats";
import { systemTimeAndChance } from "@pilothouse/clock/system";
import { configFromCommandLine } from "@pilothouse/config/main-args";
import { nodeCrypto } from "@pilothouse/crypto-node";
import { Scope } from "@pilothouse/lifecycle";
import { etcdStore } from "@pilothouse/store-etcd";
import type { Telemetry } from "@pilothouse/telemetry";
import { otelTelemetry } from "@pilothouse/telemetry/otel";
import { openDoor } from "./adapters/express-door.ts";
import { kubeletProxy } from "./adapters/kubelet-proxy.ts";
import { DEFAULT_ISSUER, DEFAULT_SERVICE_RANGE, start } from "./service.ts";

const SETTINGS = {
  name: { type: "string", required: true, help: "unique name of this apiserver: the name of its bus feed" },
  "bind-address": { type: "string", default: "0.0.0.0", help: "address to listen on" },
  "secure-port": { type: "port", default: 6443, help: "port of the HTTPS door" },
  "advertise-address": { type: "string", required: true, help: "address under which others reach this apiserver" },
  "tls-cert-file": { type: "string", required: true, help: "certificate of the HTTPS door" },
  "tls-private-key-file": { type: "string", required: true, help: "its key" },
  "client-ca-file": { type: "string", required: true, help: "authority of client certificates" },
  "etcd-servers": { type: "list", required: true, help: "etcd's client URLs, the preferred one first" },
  "etcd-cafile": { type: "string", help: "authority of etcd's certificate" },
  "etcd-certfile": { type: "string", help: "client certificate towards etcd" },
  "etcd-keyfile": { type: "string", help: "its key" },
  "nats-servers": { type: "list", required: true, help: "host:port of the NATS servers" },
  "nats-cafile": { type: "string", help: "authority of NATS' certificate" },
  "nats-certfile": { type: "string", help: "client certificate towards NATS" },
  "nats-keyfile": { type: "string", help: "its key" },
  "service-account-key-file": {
    type: "string",
    required: true,
    help: "RSA private key that signs and verifies the tokens of ServiceAccounts",
  },
  "service-account-issuer": { type: "string", default: DEFAULT_ISSUER, help: "issuer of these tokens" },
  "service-cluster-ip-range": { type: "string", default: DEFAULT_SERVICE_RANGE, help: "addresses of Services" },
  "kubelet-client-certificate": { type: "string", help: "client certificate towards kubelets" },
  "kubelet-client-key": { type: "string", help: "its key" },
  "kubelet-certificate-authority": {
    type: "string",
    help: "authority of kubelets' certificates (default: not verified)",
  },
  "max-requests-inflight": { type: "integer", default: 400, min: 1, help: "requests at once, watches aside" },
  "log-level": {
    type: "string",
    default: "info",
    oneOf: ["debug", "info", "warn", "error"],
    help: "the least severe lines that are written",
  },
  "otlp-endpoint": { type: "string", help: "collector of traces, e.g. http://collector:4318" },
} as const;

const STOP_GRACE_MS = 5_000;

async function main(): Promise<void> {
  const config = configFromCommandLine("pilothouse-apiserver", "The Kubernetes API over etcd.", SETTINGS);
  const time = systemTimeAndChance;
  const scope = new Scope("main", (task, error) => telemetry?.log.error("a background task failed", { task, error }));
  // Complaints of what is opened before there is a log are dropped.
  let telemetry: Telemetry | undefined;

  const etcdFiles = [config["etcd-cafile"], config["etcd-certfile"], config["etcd-keyfile"]] as const;
  const store = etcdStore({ endpoints: config["etcd-servers"], clock: time.clock, ...etcdTls(etcdFiles) });
  scope.defer(() => store.close());
  const bus = natsBus({
    servers: config["nats-servers"],
    name: `apiserver ${config.name}`,
    onError: (error) => telemetry?.log.warn("the bus complains", { error }),
    ...natsTls(config["nats-cafile"], config["nats-certfile"], config["nats-keyfile"]),
  });
  scope.defer(() => bus.close());
  telemetry = await otelTelemetry({
    service: "apiserver",
    instance: config.name,
    clock: time.clock,
    random: time.random,
    scope,
    bus,
    logLevel: config["log-level"] as "debug" | "info" | "warn" | "error",
    otlpEndpoint: config["otlp-endpoint"],
  });
  const { log } = telemetry;
  const kubelets = kubeletProxy({
    certificate: optionalFile(config["kubelet-client-certificate"]),
    key: optionalFile(config["kubelet-client-key"]),
    ca: optionalFile(config["kubelet-certificate-authority"]),
  });
  scope.defer(() => kubelets.close());

  const service = await start(
    {
      time,
      store,
      bus,
      crypto: await nodeCrypto({ privateKeyPem: fileText(config["service-account-key-file"]) }),
      telemetry,
      nodeProxy: kubelets,
    },
    {
      name: config.name,
      advertiseAddress: config["advertise-address"],
      securePort: config["secure-port"],
      serviceClusterIpRange: config["service-cluster-ip-range"],
      serviceAccountIssuer: config["service-account-issuer"],
      maxInFlight: config["max-requests-inflight"],
    },
  );
  const door = await openDoor({
    bindAddress: config["bind-address"],
    port: config["secure-port"],
    tls: {
      certificate: fileText(config["tls-cert-file"]),
      key: fileText(config["tls-private-key-file"]),
      clientCa: fileText(config["client-ca-file"]),
    },
    handler: service,
    kubelets,
    log,
    clock: time.clock,
  });
  log.info("serving", { address: config["bind-address"], port: door.port });

  const stop = async (signal: string): Promise<void> => {
    log.info("stopping", { signal });
    await Promise.all([service.close(), door.close(STOP_GRACE_MS)]);
    await scope.close();
    process.exit(0);
  };
  let isStopping = false;
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    process.on(signal, () => {
      // A second signal does not wait.
      if (isStopping) process.exit(1);
      isStopping = true;
      stop(signal).catch(fail);
    });
  }
}

function etcdTls([ca, cert, key]: readonly (string | undefined)[]) {
  if (ca === undefined || cert === undefined || key === undefined) return {};
  return { tls: { ca: readFileSync(ca), cert: readFileSync(cert), key: readFileSync(key) } };
}

function natsTls(ca: string | undefined, certificate: string | undefined, key: string | undefined) {
  if (ca === undefined) return {};
  return {
    tls: {
      ca: fileText(ca),
      ...(certificate === undefined ? {} : { certificate: fileText(certificate) }),
      ...(key === undefined ? {} : { key: fileText(key) }),
    },
  };
}

function optionalFile(path: string | undefined): string | undefined {
  return path === undefined ? undefined : fileText(path);
}

function fileText(path: string): string {
  return readFileSync(path, "utf8");
}

function fail(error: unknown): never {
  process.stderr.write(
    `pilothouse-apiserver: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`,
  );
  process.exit(1);
}

main().catch(fail);
