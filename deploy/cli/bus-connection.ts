/** The operator's own connection to a cluster's bus. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Bus } from "@pilothouse/bus";
import { natsBus } from "@pilothouse/bus-nats";
import type { Scope } from "@pilothouse/lifecycle";
import { ExplainedError } from "../cluster/errors.ts";
import type { ClusterChoices, Layout } from "../cluster/layout.ts";

const PATIENCE_MS = 5_000;

/** Resolves when connected; the connection closes with the scope. */
export async function connectBus(layout: Layout, choices: ClusterChoices, scope: Scope): Promise<Bus> {
  const read = (file: string): string => readFileSync(join(layout.pki, file), "utf8");
  const bus = natsBus({
    servers: [`127.0.0.1:${choices.ports.nats}`],
    name: "pilot",
    tls: { ca: read("backbone-ca.crt"), certificate: read("backbone-client.crt"), key: read("backbone-client.key") },
    onError: () => {}, // It tries again by itself; what counts is whether it is connected in time.
  });
  scope.defer(() => bus.close());
  const startedMs = performance.now();
  while (!bus.connected()) {
    if (performance.now() - startedMs > PATIENCE_MS) {
      throw new ExplainedError("PH-130", "NATS does not answer.", {
        next: "Run `npx pilot status`; read .cluster/logs/nats.log.",
      });
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return bus;
}
