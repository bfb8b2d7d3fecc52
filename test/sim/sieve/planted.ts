/** Controllers with the faults that the sweep is there to find. */
import type { ConfigMap } from "@pilothouse/api/types/core-v1";
import { resources } from "@pilothouse/client";
import type { ControllerPorts, StartController } from "@pilothouse/controller-manager";
import type { Scenario } from "./scenario.ts";
import { controllerManager } from "./subjects.ts";

/** For each ConfigMap with a label `twin` there is another one, `<name>-twin`; without the label there is none. */
const twinScenario = (name: string, start: StartController): Scenario => ({
  name,
  subject: controllerManager(start),
  steps: [
    { afterMs: 0, does: "makes a ConfigMap", run: (client) => client.create(resources.configMaps, configMap("a")) },
    { afterMs: 500, does: "and another", run: (client) => client.create(resources.configMaps, configMap("b")) },
    { afterMs: 500, does: "deletes the first", run: (client) => client.delete(resources.configMaps, "default", "a") },
  ],
});

const configMap = (name: string): ConfigMap => ({ metadata: { name, namespace: "default", labels: { twin: "yes" } } });

const twinOf = ({ metadata }: ConfigMap): ConfigMap => ({
  metadata: { name: `${metadata.name ?? ""}-twin`, namespace: metadata.namespace ?? "" },
});

/** Acts on events alone: what happened while it was away or deaf is never made good. */
const onEventsOnly: StartController = ({ scope, informers, client }: ControllerPorts) => {
  scope.defer(
    informers.configMaps.onChange(({ type, object }) => {
      if (object.metadata.labels?.["twin"] === undefined || type === "updated") return;
      const { name = "", namespace = "" } = twinOf(object).metadata;
      const act = async (): Promise<unknown> =>
        type === "added"
          ? client.create(resources.configMaps, twinOf(object))
          : client.delete(resources.configMaps, namespace, name);
      scope.run("act", () =>
        act().then(
          () => undefined,
          () => undefined,
        ),
      );
    }),
  );
};

/** Two writes that belong together, of which it remembers the second by heart. */
const remembersByHeart: StartController = ({ scope, informers, client }: ControllerPorts) => {
  const twin = async (object: ConfigMap): Promise<void> => {
    await client.create(resources.configMaps, { ...twinOf(object), data: {} });
    const body = { data: { of: object.metadata.name } };
    const { name = "", namespace = "" } = twinOf(object).metadata;
    await client.patch(resources.configMaps, namespace, name, { type: "application/merge-patch+json", body });
  };
  const follow = (object: ConfigMap): void => {
    const isTwin = object.metadata.labels?.["twin"] === undefined;
    if (!isTwin) scope.run("twin", () => twin(object).catch(() => undefined));
  };
  scope.defer(informers.configMaps.onChange(({ type, object }) => void (type === "added" && follow(object))));
  for (const object of informers.configMaps.list()) follow(object);
};

export const edgeTriggered = twinScenario("acts on events only", onEventsOnly);
export const forgetful = twinScenario("remembers by heart", remembersByHeart);
