/** Rules for probes and lifecycle hooks. */
import type { Lifecycle, LifecycleHandler, Probe } from "@pilothouse/api/types/core-v1";
import { checkHttpHeaderName } from "@pilothouse/selectors/names";
import { forbidden, invalid, invalidEach, notNegative, notSupported, required } from "../field-errors.ts";
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

/** Probes, unlike hooks, never sleep: how long the pod has to end is nothing to them. */
export function* probeRules(probe: Probe | undefined, path: string, use: ProbeUse): FieldErrors {
  if (!probe) return;
  yield* handlerRules(probe, undefined, path);
  for (const count of COUNTS) yield* notNegative(`${path}.${count}`, probe[count]);
  const graceSeconds = probe.terminationGracePeriodSeconds;
  const at = `${path}.terminationGracePeriodSeconds`;
  if (graceSeconds !== undefined && graceSeconds <= 0) yield invalid(at, graceSeconds, "must be greater than 0");
  if (use === "readinessProbe") {
    if (graceSeconds !== undefined) yield invalid(at, graceSeconds, "must not be set for readinessProbes");
  } else if (probe.successThreshold !== 1) {
    yield invalid(`${path}.successThreshold`, probe.successThreshold, "must be 1");
  }
}

export function* lifecycleRules(
  lifecycle: Lifecycle | undefined,
  graceSeconds: number | undefined,
  path: string,
): FieldErrors {
  if (lifecycle?.postStart) yield* handlerRules(lifecycle.postStart, graceSeconds, `${path}.postStart`);
  if (lifecycle?.preStop) yield* handlerRules(lifecycle.preStop, graceSeconds, `${path}.preStop`);
}

/** Only the first handler is judged: that there are others is error enough. */
function* handlerRules(handler: Handler, graceSeconds: number | undefined, path: string): FieldErrors {
  const [first, ...others] = HANDLERS.filter((kind) => handler[kind]);
  if (!first) yield required(path, "must specify a handler type");
  else yield* firstHandlerRules({ [first]: handler[first] }, graceSeconds, `${path}.${first}`);
  for (const kind of others) yield forbidden(`${path}.${kind}`, "may not specify more than 1 handler type");
}

function* firstHandlerRules(
  { exec, httpGet, tcpSocket, grpc, sleep }: Handler,
  graceSeconds: number | undefined,
  path: string,
): FieldErrors {
  if (exec && (exec.command ?? []).length === 0) yield required(`${path}.command`);
  if (httpGet) {
    const { scheme = "" } = httpGet;
    if (!httpGet.path) yield required(`${path}.path`);
    yield* portRules(httpGet.port, `${path}.port`);
    if (scheme !== "HTTP" && scheme !== "HTTPS") yield notSupported(`${path}.scheme`, scheme, ["HTTP", "HTTPS"]);
    for (const { name } of httpGet.httpHeaders ?? []) {
      yield* invalidEach(`${path}.httpHeaders`, name ?? "", checkHttpHeaderName(name ?? ""));
    }
  }
  if (tcpSocket) yield* portRules(tcpSocket.port, `${path}.port`);
  if (grpc) yield* portRules(grpc.port, `${path}.port`);
  const seconds = sleep?.seconds ?? 0;
  if (sleep && graceSeconds !== undefined && (seconds < 0 || seconds > graceSeconds)) {
    yield invalid(path, seconds, `must be non-negative and less than terminationGracePeriodSeconds (${graceSeconds})`);
  }
}
