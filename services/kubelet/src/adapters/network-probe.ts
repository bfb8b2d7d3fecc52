/** Probes over the network, with the outcomes and words of upstream's. */
import { Agent as HttpAgent, request as httpRequest } from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import { connect } from "node:net";
import type { Clock } from "@pilothouse/clock";
import type { HttpProbe, NetworkProbe, ProbeOutcome } from "../flows/ports.ts";

export function networkProbe(clock: Clock): NetworkProbe {
  // A connection of its own for each probe, and certificates are not asked for: what is probed is whether it answers.
  const agents = {
    HTTP: new HttpAgent({ keepAlive: false }),
    HTTPS: new HttpsAgent({ keepAlive: false, rejectUnauthorized: false }),
  };
  return {
    http: (probe) => httpProbe(clock, probe, agents[probe.scheme]),
    tcp: (host, port, timeoutMs) => tcpProbe(clock, host, port, timeoutMs),
  };
}

function httpProbe(clock: Clock, probe: HttpProbe, agent: HttpAgent): Promise<ProbeOutcome> {
  return new Promise((resolve) => {
    const { scheme, host, port, path, timeoutMs } = probe;
    const url = `${scheme.toLowerCase()}://${host}:${port}${path.startsWith("/") ? path : `/${path}`}`;
    const headers: Record<string, string> = { "user-agent": "kube-probe/1.36", accept: "*/*", connection: "close" };
    for (const { name, value } of probe.headers) headers[name.toLowerCase()] = value;
    const send = scheme === "HTTPS" ? httpsRequest : httpRequest;
    const request = send(url, { agent, headers }, (response) => {
      timer.cancel();
      response.resume();
      const code = response.statusCode ?? 0;
      const ok = code >= 200 && code < 400;
      resolve({ ok, detail: ok ? "" : `HTTP probe failed with statuscode: ${code}` });
      response.destroy();
    });
    const timer = clock.setTimer(timeoutMs, () => {
      const why = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)";
      request.destroy(new Error(why));
    });
    request.on("error", (error) => {
      timer.cancel();
      resolve({ ok: false, detail: `Get "${url}": ${error.message}` });
    });
    request.end();
  });
}

function tcpProbe(clock: Clock, host: string, port: number, timeoutMs: number): Promise<ProbeOutcome> {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    const end = (outcome: ProbeOutcome): void => {
      timer.cancel();
      socket.destroy();
      resolve(outcome);
    };
    const timer = clock.setTimer(timeoutMs, () => end({ ok: false, detail: `dial tcp ${host}:${port}: i/o timeout` }));
    socket.on("connect", () => end({ ok: true, detail: "" }));
    socket.on("error", (error) => end({ ok: false, detail: `dial tcp ${host}:${port}: ${error.message}` }));
  });
}
