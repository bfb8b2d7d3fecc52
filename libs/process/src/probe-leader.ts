/** Asks a leader whether that very incarnation still lives (C12). */
import { request as httpRequest, type ClientRequest } from "node:http";

const PATIENCE_MS = 800;

export interface Leader {
  readonly identity: string;
  readonly healthAddress?: string | undefined;
}

/** True only if the process at `healthAddress` says, in plain HTTP, that it is `identity`. */
export function probeLeader(leader: Leader): Promise<boolean> {
  const { healthAddress } = leader;
  if (healthAddress === undefined || healthAddress.startsWith("https://")) return Promise.resolve(false);
  return askIdentity(leader, (timeout) => httpRequest(`http://${healthAddress}/identity`, { agent: false, timeout }));
}

/** @param ask begins the request; whatever fails is a no */
export function askIdentity({ identity }: Leader, ask: (timeoutMs: number) => ClientRequest): Promise<boolean> {
  return new Promise((resolve) => {
    const request = ask(PATIENCE_MS);
    request.once("response", (answer) => {
      let body = "";
      answer.setEncoding("utf8").on("data", (part: string) => (body += part));
      answer.once("end", () => resolve(answer.statusCode === 200 && body === identity));
      answer.once("error", () => resolve(false));
    });
    request.once("timeout", () => request.destroy());
    request.once("error", () => resolve(false));
    request.end();
  });
}
