/** Probes over the network, with the outcomes and words of upstream's. */
import { Agent as HttpAgent, request as httpRequest } from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import { connect } from "node:net";
import type { Clock } from "@pilothouse/clock";
import type { HttpProbe, NetworkProbe, ProbeOutcome } from "../flows/ports.ts";
import { dialError } from "./dial-error.ts";
import { grpcProbe } from "./grpc-health.ts";

const MAX_REDIRECTS = 10;

export function networkProbe(clock: Clock): NetworkProbe {
  // A connection of its own for each probe, and certificates are not asked for: what is probed is whether it answers.
  const agents: Agents = {
    "http:": new HttpAgent({ keepAlive: false }),
    "https:": new HttpsAgent({ keepAlive: false, rejectUnauthorized: false }),
  };
  return {
    http: (probe) => httpProbe(clock, probe, agents),
    tcp: (host, port, timeoutMs) => tcpProbe(clock, host, port, timeoutMs),
    grpc: (probe) => grpcProbe(clock, probe),
  };
}

interface Agents {
  readonly "http:": HttpAgent;
  readonly "https:": HttpsAgent;
}

/** What one request came to: an answer, or where to ask instead. */
interface Answer {
  readonly code: number;
  readonly location: string | undefined;
}

/** Redirects are followed on the same host; one that leads elsewhere is a success that is told of. */
async function httpProbe(clock: Clock, probe: HttpProbe, agents: Agents): Promise<ProbeOutcome> {
  const { scheme, host, port, path } = probe;
  const first = urlOf(
    `${scheme.toLowerCase()}://${bracketed(host)}:${port}${path.startsWith("/") ? path : `/${path}`}`,
  );
  if (!first) return { ok: false, detail: `Get "${path}": invalid URL` };
  const endsAtMs = clock.monotonicMs() + probe.timeoutMs;
  let url = first;
  for (let hops = 0; ; hops++) {
    const leftMs = endsAtMs - clock.monotonicMs();
    let answer: Answer;
    try {
      answer = await ask(clock, url, probe, agents, leftMs);
    } catch (error) {
      return { ok: false, detail: `Get "${url.href}": ${dialError(error, addressOf(url))}` };
    }
    const { code, location } = answer;
    const next = location === undefined ? undefined : urlOf(location, url);
    if (code < 200 || code >= 400) return { ok: false, detail: `HTTP probe failed with statuscode: ${code}` };
    if (!next || (next.protocol !== "http:" && next.protocol !== "https:")) return { ok: true, detail: "" };
    if (next.hostname !== first.hostname)
      return { ok: true, detail: "", warning: "Probe terminated redirects, Response body: " };
    if (hops + 1 >= MAX_REDIRECTS)
      return { ok: false, detail: `Get "${next.href}": stopped after ${MAX_REDIRECTS} redirects` };
    url = next;
  }
}

function ask(clock: Clock, url: URL, probe: HttpProbe, agents: Agents, leftMs: number): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const headers: Record<string, string> = { "user-agent": "kube-probe/1.36", accept: "*/*", connection: "close" };
    for (const { name, value } of probe.headers) {
      // An empty value takes the header away, as upstream has it.
      if (value === "" && name.toLowerCase() in headers) delete headers[name.toLowerCase()];
      else headers[name.toLowerCase()] = value;
    }
    const send = url.protocol === "https:" ? httpsRequest : httpRequest;
    const request = send(url, { agent: agents[url.protocol as keyof Agents], headers }, (response) => {
      timer.cancel();
      const code = response.statusCode ?? 0;
      const isRedirect = [301, 302, 303, 307, 308].includes(code);
      response.resume();
      resolve({ code, location: isRedirect ? response.headers.location : undefined });
      response.destroy();
    });
    const timer = clock.setTimer(Math.max(0, leftMs), () => {
      request.destroy(new Error("context deadline exceeded (Client.Timeout exceeded while awaiting headers)"));
    });
    request.on("error", (error) => {
      timer.cancel();
      reject(error);
    });
    request.end();
  });
}

function addressOf({ hostname, port, protocol }: URL): string {
  return `${hostname}:${port || (protocol === "https:" ? "443" : "80")}`;
}

function urlOf(text: string, base?: URL): URL | undefined {
  return URL.canParse(text, base?.href) ? new URL(text, base) : undefined;
}

function bracketed(host: string): string {
  return host.includes(":") && !host.startsWith("[") ? `[${host}]` : host;
}

function tcpProbe(clock: Clock, host: string, port: number, timeoutMs: number): Promise<ProbeOutcome> {
  const address = `${bracketed(host)}:${port}`;
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    const end = (outcome: ProbeOutcome): void => {
      timer.cancel();
      socket.destroy();
      resolve(outcome);
    };
    const timer = clock.setTimer(timeoutMs, () => end({ ok: false, detail: `dial tcp ${address}: i/o timeout` }));
    socket.on("connect", () => end({ ok: true, detail: "" }));
    socket.on("error", (error) => end({ ok: false, detail: dialError(error, address) }));
  });
}
