/** Asks a leader's health port whether that very incarnation still lives (C12). */
import { get } from "node:http";

const PATIENCE_MS = 800;

/** True only if the process at `healthAddress` says that it is `identity`. */
export function probeLeader(leader: {
  readonly identity: string;
  readonly healthAddress?: string | undefined;
}): Promise<boolean> {
  const { healthAddress, identity } = leader;
  if (healthAddress === undefined) return Promise.resolve(false);
  return new Promise((resolve) => {
    const request = get(`http://${healthAddress}/identity`, { agent: false, timeout: PATIENCE_MS }, (answer) => {
      let body = "";
      answer.setEncoding("utf8").on("data", (part: string) => (body += part));
      answer.once("end", () => resolve(answer.statusCode === 200 && body === identity));
      answer.once("error", () => resolve(false));
    });
    request.once("timeout", () => request.destroy());
    request.once("error", () => resolve(false));
  });
}
