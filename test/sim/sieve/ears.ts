/**
 * What a process hears of the cluster: its watches, its lists and the bus. From a revision on it can be made deaf, as behind an
 * apiserver that has stopped to follow the store. Single objects, and lists of one namespace, are read as they are: those are the
 * consistent reads on which decisions rest (C13).
 */
import type { Bus, BusMessage } from "@pilothouse/bus";
import { changeHeaders } from "@pilothouse/bus";
import type { Transport, TransportRequest, TransportResponse } from "@pilothouse/client";

export class Ears {
  /** Messages heard, as `<subject>@<revision>`, bookmarks aside. */
  readonly heard: string[] = [];
  /** These messages never arrive. */
  readonly lost = new Set<string>();
  /** Of these, what would have. */
  readonly missed = new Set<string>();
  #deafFrom: number | undefined;
  /** Watches from an earlier revision get 410: what happened in between can only be listed. */
  #historyFrom = 0;
  #hearsAgain = Promise.withResolvers<void>();

  /** Nothing of this revision or a later one is heard. */
  deafen(revision: number): void {
    this.#deafFrom = revision;
  }

  /** Hears again. @param historyFrom watches that begin before this revision are told to list anew */
  hear(historyFrom = 0): void {
    this.#deafFrom = undefined;
    this.#historyFrom = historyFrom;
    this.#hearsAgain.resolve();
    this.#hearsAgain = Promise.withResolvers();
  }

  bus(bus: Bus): Bus {
    return {
      ...bus,
      subscribe: (pattern, handle) =>
        bus.subscribe(pattern, (message) => {
          if (this.#arrives(message)) handle(message);
        }),
    };
  }

  transport(transport: Transport): Transport {
    return { ...transport, send: (request) => this.#send(transport, request) };
  }

  #arrives({ subject, headers }: BusMessage): boolean {
    const revision = Number(headers[changeHeaders.revision] ?? 0);
    if (this.#deafFrom !== undefined && revision >= this.#deafFrom) return false;
    if (headers[changeHeaders.type] === "BOOKMARK" || revision === 0) return true;
    const name = `${subject}@${revision}`;
    const isLost = this.lost.has(name);
    if (isLost) this.missed.add(name);
    else this.heard.push(name);
    return !isLost;
  }

  async #send(transport: Transport, request: TransportRequest): Promise<TransportResponse> {
    const [path = "", query = ""] = request.path.split("?");
    const parameters = new URLSearchParams(query);
    if (parameters.get("watch") !== "true") {
      if (this.#deafFrom === undefined || request.method !== "GET" || !isInformers(path))
        return transport.send(request);
      parameters.set("resourceVersion", String(this.#deafFrom - 1));
      parameters.set("resourceVersionMatch", "Exact");
      return transport.send({ ...request, path: `${path}?${parameters.toString()}` });
    }
    if (Number(parameters.get("resourceVersion")) < this.#historyFrom) return tooOld();
    const response = await transport.send(request);
    return { ...response, body: this.#audible(response.body, request.signal) };
  }

  /** A watch's events as far as they are heard; when hearing comes back, the connection that was silent is found broken. */
  async *#audible(body: AsyncIterable<Uint8Array>, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
    for await (const chunk of body) {
      if (this.#deafFrom !== undefined && lastRevision(chunk) >= this.#deafFrom) {
        await Promise.race([this.#hearsAgain.promise, aborted(signal)]);
        throw new Error("connection reset");
      }
      yield chunk;
    }
  }
}

/** `/api/v1/pods`, `/apis/apps/v1/deployments`: what informers list; of one namespace they follow two kinds only. */
function isInformers(path: string): boolean {
  const ofOneNamespace = ["/kube-node-lease/leases", "/kube-system/secrets"];
  return /^\/(api\/[^/]+|apis\/[^/]+\/[^/]+)\/[^/]+$/.test(path) || ofOneNamespace.some((end) => path.endsWith(end));
}

function aborted(signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => signal?.addEventListener("abort", () => resolve(), { once: true }));
}

function lastRevision(chunk: Uint8Array): number {
  const lines = new TextDecoder().decode(chunk).trimEnd().split("\n");
  const event = JSON.parse(lines.at(-1) ?? "{}") as { object?: { metadata?: { resourceVersion?: string } } };
  return Number(event.object?.metadata?.resourceVersion ?? 0);
}

function tooOld(): TransportResponse {
  const status = { kind: "Status", code: 410, reason: "Expired", message: "too old resource version" };
  async function* body(): AsyncGenerator<Uint8Array> {
    yield new TextEncoder().encode(JSON.stringify(status));
  }
  return { status: 410, headers: {}, body: body() };
}
