/**
 * The life of a process of which one leads at a time: take part in the election, and while leading, work under its fence.
 *
 * Promises: the work begins only after each feed has reached the election's own revision (C10: a new leader looks before it
 * acts), every request of the client carries the fence while leading (C11), and the work's scope is closed as soon as the
 * leadership is known to be lost. Feeds stay warm while others lead.
 */
import type { Bus } from "@pilothouse/bus";
import { sleep, type TimeAndChance } from "@pilothouse/clock";
import { runElection, type ElectionOptions, type Leadership } from "@pilothouse/election";
import type { Informer } from "@pilothouse/informer";
import type { KubernetesObject } from "@pilothouse/client";
import { Scope } from "@pilothouse/lifecycle";
import type { Store } from "@pilothouse/store";
import { span, type Telemetry } from "@pilothouse/telemetry";

export interface ElectedPorts extends TimeAndChance {
  /** For the election only. */
  readonly store: Store;
  readonly bus: Bus;
  readonly telemetry: Telemetry;
  readonly scope: Scope;
  /** Of this incarnation of the process. */
  readonly identity: string;
  readonly healthAddress: string | undefined;
  readonly probeLeader?: ElectionOptions["probeLeader"];
}

export interface ElectedLife {
  /** `<election>/<create-revision>` while leading: the fence that the API client sends. */
  readonly fence: () => string | undefined;
  /** True while the work runs. */
  readonly leading: () => boolean;
  /** Takes part until the ports' scope closes. `lead` must end when its signal aborts; its scope is closed after it. */
  run(feeds: readonly Feed[], lead: (scope: Scope, signal: AbortSignal) => Promise<void>): void;
}

/** The part of an informer that the wait needs. */
export type Feed = Pick<Informer<KubernetesObject>, "waitForRevision">;

const TAKE_PART_AGAIN_MS = 1_000;

export function electedLife(ports: ElectedPorts, election: string): ElectedLife {
  let current: Leadership | undefined;
  return {
    fence: () => (current ? `${current.election}/${current.createRevision}` : undefined),
    leading: () => current !== undefined,
    run(feeds, lead) {
      const { healthAddress, probeLeader, ...rest } = ports;
      const options: ElectionOptions = {
        ...rest,
        name: election,
        ...(healthAddress === undefined ? {} : { healthAddress }),
        ...(probeLeader === undefined ? {} : { probeLeader }),
      };
      ports.scope.run(`election ${election}`, async (signal) => {
        while (!signal.aborted) {
          try {
            await runElection(options, async (leadership) => {
              current = leadership;
              try {
                await leadUnderFence(ports, leadership, feeds, lead);
              } finally {
                current = undefined;
              }
            });
          } catch (error) {
            // Work that fails ends its leadership, not the process's part in the election.
            ports.telemetry.log.error("leading failed, taking part again", { election, error });
            await sleep(ports.clock, TAKE_PART_AGAIN_MS, signal);
          }
        }
      });
    },
  };
}

async function leadUnderFence(
  ports: ElectedPorts,
  leadership: Leadership,
  feeds: readonly Feed[],
  lead: (scope: Scope, signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const { telemetry } = ports;
  const { election, createRevision, resourceVersion, signal } = leadership;
  const fields = { election, createRevision };
  const scope = new Scope(`${election} leader`, (task, error) =>
    telemetry.log.error(`${task} failed`, { error, ...fields }),
  );
  const attributes = { "election.name": election, "election.revision": createRevision };
  try {
    await span(telemetry.tracer, "wait for the feeds to reach the election", { attributes }, async () => {
      await Promise.all(feeds.map((feed) => feed.waitForRevision(resourceVersion, signal)));
    });
    telemetry.log.info("leading", fields);
    await lead(scope, signal);
  } catch (error) {
    // A lost leadership ends everything that waits with an error: no failure, somebody else goes on.
    if (!signal.aborted) throw error;
  } finally {
    await scope.close();
    telemetry.log.info("not leading any more", fields);
  }
}
