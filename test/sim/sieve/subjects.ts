/** The processes that can be tried. */
import { controllers, start as startControllerManager, type StartController } from "@pilothouse/controller-manager";
import { defaultConfig, start as startScheduler } from "@pilothouse/scheduler";
import type { ElectedPorts } from "@pilothouse/controller/elected";
import type { ApiClient } from "@pilothouse/client";
import type { Scope } from "@pilothouse/lifecycle";
import type { Life } from "../machine.ts";
import type { Subject, Wires } from "./scenario.ts";
import { CERTIFICATE } from "./scenarios/certificates.fixture.ts";
import { LOAD } from "./scenarios/load.fixture.ts";

/** A controller-manager that runs these controllers only. */
export function controllerManager(...toStart: readonly (string | StartController)[]): Subject {
  const started = toStart.map((one) => (typeof one === "string" ? controllerNamed(one) : one));
  return {
    machine: "controller-manager-1",
    controllers: toStart.filter((one) => typeof one === "string"),
    prepare: () => ({
      start: (life, scope, wires) =>
        void startControllerManager(
          electedPorts(life, scope, wires, "controller-manager"),
          {
            clusterCidr: "198.18.0.0/16",
            rootCa: () => "CA",
            // The account's uid is left out: it is another one in each run.
            signAccountToken: (claims) => Promise.resolve(`token of ${claims.sub}`),
            signers: { "cluster-ca": () => Promise.resolve(CERTIFICATE) },
            metrics: LOAD,
            localVolumes: { directory: "/volumes", image: "box" },
          },
          started,
        ),
    }),
  };
}

export const scheduler: Subject = {
  machine: "scheduler-1",
  prepare: () => ({
    start: (life, scope, wires) => void startScheduler(electedPorts(life, scope, wires, "scheduler"), defaultConfig),
  }),
};

function controllerNamed(name: string): StartController {
  const found = controllers[name];
  if (!found) throw new RangeError(`no controller named ${name}`);
  return found;
}

function electedPorts(
  life: Life,
  scope: Scope,
  { store, bus, telemetry, probeLeader, client }: Wires,
  component: string,
): ElectedPorts & { readonly openApi: (fence: () => string | undefined) => ApiClient } {
  const identity = { user: `system:kube-${component}`, groups: [] };
  return {
    ...life.time,
    store,
    bus,
    telemetry,
    scope,
    identity: life.name,
    healthAddress: life.machine.name,
    probeLeader,
    openApi: (fence) => client(identity, component, fence),
  };
}
