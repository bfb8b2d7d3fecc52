/** Asks a pod's running containers how they are, and says so when a verdict changes. */
import type { Container, Pod, Probe } from "@pilothouse/api/types/core-v1";
import { sleep, type Clock, type Random } from "@pilothouse/clock";
import type { Scope } from "@pilothouse/lifecycle";
import { ExecTimeout, type Runtime } from "@pilothouse/runtime";
import {
  initialState,
  observe,
  probeKinds,
  probeOf,
  type ProbeKind,
  type ProbeState,
  type Verdicts,
} from "../core/probes.ts";
import type { RuntimeContainer } from "../core/pod-runtime.ts";
import type { EventRecorder } from "./events.ts";
import type { ProbeResults } from "./probe-results.ts";
import type { NetworkProbe, ProbeOutcome } from "./ports.ts";

export interface ProberPorts {
  readonly runtime: Runtime;
  readonly network: NetworkProbe;
  readonly clock: Clock;
  readonly random: Random;
  readonly events: EventRecorder;
  readonly probeResults: ProbeResults;
}

/** What a handler (of a probe or a hook) is carried out against. */
export interface Target {
  readonly containerId: string;
  readonly container: Container;
  readonly podIp: string;
}

/** The probes of one pod. */
export class Prober {
  readonly #ports: ProberPorts;
  readonly #scope: Scope;
  readonly #changed: () => void;
  readonly #states = new Map<string, Map<ProbeKind, ProbeState>>();
  readonly #loops = new Map<string, Scope>();
  #ending = false;

  constructor(ports: ProberPorts, scope: Scope, changed: () => void) {
    this.#ports = ports;
    this.#scope = scope;
    this.#changed = changed;
  }

  verdicts(): ReadonlyMap<string, Verdicts> {
    return new Map(
      [...this.#states].map(([id, states]) => [
        id,
        Object.fromEntries([...states].map(([kind, it]) => [kind, it.verdict])),
      ]),
    );
  }

  /** Probes exactly these from now on. Of a pod that is `ending` only the readiness is still asked. */
  watch(pod: Pod, running: readonly RuntimeContainer[], podIp: string, ending = false): void {
    this.#ending = ending;
    const wanted = new Map(running.map((it) => [it.id, it]));
    for (const [id, loop] of this.#loops) {
      if (wanted.has(id)) continue;
      void loop.close();
      this.#loops.delete(id);
      this.#states.delete(id);
    }
    for (const [id, { name, startedAtMs }] of wanted) {
      const container = [...pod.spec.containers, ...(pod.spec.initContainers ?? [])].find((it) => it.name === name);
      if (!container || this.#loops.has(id) || !probeKinds.some((kind) => probeOf(container, kind))) continue;
      const loop = this.#scope.child(`probes ${name}`);
      this.#loops.set(id, loop);
      const states = new Map<ProbeKind, ProbeState>();
      this.#states.set(id, states);
      const target = { containerId: id, container, podIp };
      for (const kind of probeKinds) {
        const probe = probeOf(container, kind);
        if (!probe) continue;
        states.set(kind, initialState(kind));
        loop.run(kind, (signal) => this.#loop(pod, target, kind, probe, startedAtMs, signal));
      }
    }
  }

  async #loop(
    pod: Pod,
    target: Target,
    kind: ProbeKind,
    probe: Probe,
    startedAtMs: number,
    signal: AbortSignal,
  ): Promise<void> {
    const { clock, random } = this.#ports;
    const periodMs = (probe.periodSeconds ?? 10) * 1000;
    const ageMs = Math.max(0, clock.now() - startedAtMs);
    // After a restart of ours many containers are probed again at once: not all in the same moment.
    const spreadMs = ageMs > periodMs ? random.next() * periodMs : 0;
    await sleep(clock, Math.max(spreadMs, (probe.initialDelaySeconds ?? 0) * 1000 - ageMs), signal);
    for (;;) {
      const states = this.#states.get(target.containerId);
      const startup = states?.get("startup");
      const due = kind === "startup" ? startup?.verdict === "unknown" : !startup || startup.verdict === "success";
      if ((kind === "startup" && !due) || (this.#ending && kind !== "readiness")) return;
      if (due) await this.#probeOnce(pod, target, kind, probe, signal);
      // Right after the start others wait for this probe's success; then look more often.
      await sleep(clock, due ? periodMs : Math.min(periodMs, 500), signal);
    }
  }

  async #probeOnce(pod: Pod, target: Target, kind: ProbeKind, probe: Probe, signal: AbortSignal): Promise<void> {
    const outcome = await runHandler(this.#ports, target, probe, (probe.timeoutSeconds ?? 1) * 1000);
    const states = this.#states.get(target.containerId);
    const before = states?.get(kind);
    if (signal.aborted || !states || !before) return;
    if (outcome.errored) {
      const message = `${titleOf(kind)} probe errored and resulted in unknown state: ${outcome.detail}`;
      this.#ports.events.pod(pod, "Warning", "Unhealthy", message, target.container.name);
      return;
    }
    this.#ports.probeResults.count(pod, target.container.name, kind, outcome.ok);
    const after = observe(before, probe, outcome.ok);
    states.set(kind, after);
    if (outcome.warning !== undefined) {
      const message = `${titleOf(kind)} probe warning: ${outcome.warning}`;
      this.#ports.events.pod(pod, "Warning", "ProbeWarning", message, target.container.name);
    }
    if (!outcome.ok) {
      const message = `${titleOf(kind)} probe failed: ${outcome.detail}`;
      this.#ports.events.pod(pod, "Warning", "Unhealthy", message, target.container.name);
    }
    if (after.verdict !== before.verdict) this.#changed();
  }
}

function titleOf(kind: ProbeKind): string {
  return `${kind[0]?.toUpperCase()}${kind.slice(1)}`;
}

/** Carries out an exec, httpGet, tcpSocket or grpc handler. Never throws. */
export async function runHandler(
  ports: Pick<ProberPorts, "runtime" | "network">,
  { containerId, container, podIp }: Target,
  handler: Pick<Probe, "exec" | "httpGet" | "tcpSocket" | "grpc">,
  timeoutMs: number,
): Promise<ProbeOutcome> {
  try {
    if (handler.exec) {
      const result = await ports.runtime.execSync(containerId, handler.exec.command ?? [], timeoutMs);
      const output = new TextDecoder().decode(result.stdout) + new TextDecoder().decode(result.stderr);
      return { ok: result.exitCode === 0, detail: output.slice(0, 1024) };
    }
    if (handler.httpGet) {
      const { scheme, host, port, path, httpHeaders = [] } = handler.httpGet;
      return await ports.network.http({
        scheme: scheme === "HTTPS" ? "HTTPS" : "HTTP",
        host: host ? host : podIp,
        port: portNumber(container, port),
        path: path ?? "/",
        headers: httpHeaders.map(({ name, value }) => ({ name, value })),
        timeoutMs,
      });
    }
    if (handler.tcpSocket) {
      const { host, port } = handler.tcpSocket;
      return await ports.network.tcp(host ? host : podIp, portNumber(container, port), timeoutMs);
    }
    if (handler.grpc) {
      const { port, service = "" } = handler.grpc;
      return await ports.network.grpc({ host: podIp, port, service, timeoutMs });
    }
    return { ok: true, detail: "" };
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    return error instanceof ExecTimeout ? { ok: false, detail } : { ok: false, errored: true, detail };
  }
}

function portNumber(container: Container, port: number | string): number {
  const named = (container.ports ?? []).find((it) => it.name === port);
  const number = named?.containerPort ?? Number(port);
  if (!Number.isInteger(number) || number < 1 || number > 65_535) throw new Error(`couldn't find port: ${port}`);
  return number;
}
