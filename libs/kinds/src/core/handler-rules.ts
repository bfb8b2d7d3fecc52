/** Rules for probes and lifecycle hooks. */
import type { Lifecycle, LifecycleHandler, Probe } from "@pilothouse/api/types/core-v1";
import { checkHttpHeaderName } from "@pilothouse/selectors/names";
import { forbidden, invalid, invalidEach, notNegative, oneOf, required } from "../field-errors.ts";
import type { FieldErrors } from "../field-errors.ts";
import { portRules } from "../port-rules.ts";

type ProbeUse = "livenessProbe" | "readinessProbe" | "startupProbe";
type Handler = LifecycleHandler & Pick<Probe, "grpc">;

const HANDLERS = ["exec", "httpGet", "tcpSocket", "grpc", "sleep"] as const;

const COUNTS = [
  "initialDelaySeconds",
  "timeoutSeconds",
  "periodSeconds",
  "successThreshold",
  "failureThreshold",
] as const;

export function* probeRules(probe: Probe | undefined, path: string, use: ProbeUse): FieldErrors {
  if (!probe) return;
  yield* handlerRules(probe, path);
  for (const count of COUNTS) yield* notNegative(`${path}.${count}`, probe[count]);

  const graceSeconds = probe.terminationGracePeriodSeconds;
  if (use === "readinessProbe") {
    if (graceSeconds !== undefined) {
      yield invalid(`${path}.terminationGracePeriodSeconds`, graceSeconds, "must not be set for readinessProbes");
    }
    return;
  }
  if (graceSeconds !== undefined && graceSeconds <= 0) {
    yield invalid(`${path}.terminationGracePeriodSeconds`, graceSeconds, "must be greater than 0");
  }
  if (probe.successThreshold !== 1) yield invalid(`${path}.successThreshold`, probe.successThreshold, "must be 1");
}

export function* lifecycleRules(lifecycle: Lifecycle | undefined, path: string): FieldErrors {
  if (lifecycle?.postStart) yield* handlerRules(lifecycle.postStart, `${path}.postStart`);
  if (lifecycle?.preStop) yield* handlerRules(lifecycle.preStop, `${path}.preStop`);
}

function* handlerRules(handler: Handler, path: string): FieldErrors {
  const [first, ...others] = HANDLERS.filter((kind) => handler[kind]);
  if (!first) yield required(path, "must specify a handler type");
  for (const kind of others) yield forbidden(`${path}.${kind}`, "may not specify more than 1 handler type");

  const { exec, httpGet, tcpSocket, grpc, sleep } = handler;
  if (exec && (exec.command ?? []).length === 0) yield required(`${path}.exec.command`);
  if (httpGet) {
    if (!httpGet.path) yield required(`${path}.httpGet.path`);
    yield* portRules(httpGet.port, `${path}.httpGet.port`);
    yield* oneOf(`${path}.httpGet.scheme`, httpGet.scheme, ["HTTP", "HTTPS"]);
    for (const { name } of httpGet.httpHeaders ?? []) {
      yield* invalidEach(`${path}.httpGet.httpHeaders`, name, checkHttpHeaderName(name ?? ""));
    }
  }
  if (tcpSocket) yield* portRules(tcpSocket.port, `${path}.tcpSocket.port`);
  if (grpc) yield* portRules(grpc.port, `${path}.grpc.port`);
  if (sleep && (sleep.seconds ?? 0) < 0) yield invalid(`${path}.sleep.seconds`, sleep.seconds, "must be non-negative");
}
