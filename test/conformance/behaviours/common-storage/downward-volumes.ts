/** Volumes of the downward API, plainly and projected: what a pod may know of itself, and its labels as they change. */
import assert from "node:assert/strict";
import type { Behaviours } from "../../behaviour.ts";
import { scriptPod, waitingPod, type Trial } from "../../trial.ts";

type Item = Readonly<Record<string, unknown>>;
type ToVolume = (items: readonly Item[], defaultMode?: number) => object;

const plain: ToVolume = (items, defaultMode) => ({
  downwardAPI: { items, ...(defaultMode === undefined ? {} : { defaultMode }) },
});
const projected: ToVolume = (items, defaultMode) => ({
  projected: { sources: [{ downwardAPI: { items } }], ...(defaultMode === undefined ? {} : { defaultMode }) },
});

const POD_NAME: Item = { path: "podname", fieldRef: { fieldPath: "metadata.name" } };
const resource = (name: string, divisor: string): Item => ({
  path: "amount",
  resourceFieldRef: { containerName: "main", resource: name, divisor },
});
const RESOURCES = {
  requests: { cpu: "250m", memory: "32Mi" },
  limits: { cpu: "1250m", memory: "64Mi" },
};

async function shows(
  t: Trial,
  volume: object,
  script: string,
  container: object = { resources: RESOURCES },
): Promise<string> {
  const said = await t.outputOf(
    scriptPod(script, {
      name: "downward",
      pod: { volumes: [{ name: "v", ...volume }] },
      container: { volumeMounts: [{ name: "v", mountPath: "/etc/v" }], ...container },
    }),
  );
  return said.trim();
}

/** `labels` or `annotations` are shown as they are now, not as they were. */
async function followsChanges(t: Trial, toVolume: ToVolume, field: "labels" | "annotations"): Promise<void> {
  const item = { path: field, fieldRef: { fieldPath: `metadata.${field}` } };
  const pods = t.api("v1", "pods");
  const pod = waitingPod("downward", {
    pod: { volumes: [{ name: "v", ...toVolume([item]) }] },
    container: { volumeMounts: [{ name: "v", mountPath: "/etc/v" }] },
  });
  await pods.create({ ...pod, metadata: { ...pod.metadata, [field]: { key1: "value1" } } });
  await t.ready("downward");
  const shown = (): Promise<string> => t.exec("downward", "cat", `/etc/v/${field}`);
  assert.match(await shown(), /^key1="value1"$/m);
  await pods.patch("downward", { metadata: { [field]: { key3: "value3" } } });
  await t.until(`the volume shows the new ${field}`, async () => (await shown()).includes('key3="value3"'));
}

async function allocatable(t: Trial, toVolume: ToVolume, name: "cpu" | "memory"): Promise<void> {
  const nodes = await t.clusterApi("v1", "nodes").list();
  const divisor = name === "cpu" ? "1" : "1Mi";
  const said = await shows(t, toVolume([resource(`limits.${name}`, divisor)]), "cat /etc/v/amount", {});
  const amounts = nodes.items.map(({ status }) => status?.allocatable[name] as string);
  const inUnits = (amount: string): number =>
    name === "cpu"
      ? Math.ceil(amount.endsWith("m") ? Number(amount.slice(0, -1)) / 1000 : Number(amount))
      : Math.ceil(Number(amount.replace("Ki", "")) / 1024);
  assert.ok(amounts.map(inUnits).includes(Number(said)), `${said} is no node's allocatable ${name}: ${amounts.join()}`);
}

function of(subject: string, toVolume: ToVolume): Behaviours {
  const named = (rest: string): string => `[sig-storage] ${subject} ${rest} [NodeConformance] [Conformance]`;
  const amount = (name: string, divisor: string, wanted: string) => async (t: Trial) => {
    assert.equal(await shows(t, toVolume([resource(name, divisor)]), "cat /etc/v/amount"), wanted);
  };
  const mode = (volume: object) => async (t: Trial) => {
    assert.equal(await shows(t, volume, "stat -L -c %A /etc/v/podname; cat /etc/v/podname"), "-r--------\ndownward");
  };
  return {
    [named("should provide podname only")]: async (t) => {
      assert.equal(await shows(t, toVolume([POD_NAME]), "cat /etc/v/podname"), "downward");
    },
    [named("should set DefaultMode on files [LinuxOnly]")]: mode(toVolume([POD_NAME], 0o400)),
    [named("should set mode on item file [LinuxOnly]")]: mode(toVolume([{ ...POD_NAME, mode: 0o400 }])),
    [named("should update labels on modification")]: (t) => followsChanges(t, toVolume, "labels"),
    [named("should update annotations on modification")]: (t) => followsChanges(t, toVolume, "annotations"),
    [named("should provide container's cpu limit")]: amount("limits.cpu", "1", "2"),
    [named("should provide container's cpu request")]: amount("requests.cpu", "1m", "250"),
    [named("should provide container's memory limit")]: amount("limits.memory", "1", String(64 * 2 ** 20)),
    [named("should provide container's memory request")]: amount("requests.memory", "1Mi", "32"),
    [named("should provide node allocatable (cpu) as default cpu limit if the limit is not set")]: (t) =>
      allocatable(t, toVolume, "cpu"),
    [named("should provide node allocatable (memory) as default memory limit if the limit is not set")]: (t) =>
      allocatable(t, toVolume, "memory"),
  };
}

export const downwardVolumes: Behaviours = {
  ...of("Downward API volume", plain),
  ...of("Projected downwardAPI", projected),

  "[sig-storage] Projected combined should project all components that make up the projection API [Projection] [NodeConformance] [Conformance]":
    async (t) => {
      await t.api("v1", "configmaps").create({ metadata: { name: "a" }, data: { "configmap-data": "of the map" } });
      await t.api("v1", "secrets").create({ metadata: { name: "b" }, stringData: { "secret-data": "of the secret" } });
      const sources = [
        { secret: { name: "b", items: [{ key: "secret-data", path: "secret" }] } },
        { configMap: { name: "a", items: [{ key: "configmap-data", path: "map" }] } },
        { downwardAPI: { items: [POD_NAME, { ...resource("limits.cpu", "1m"), path: "cpu" }] } },
      ];
      const said = await shows(
        t,
        { projected: { sources } },
        "cd /etc/v; for f in secret map podname cpu; do cat $f; echo; done",
      );
      assert.equal(said, "of the secret\nof the map\ndownward\n1250");
    },
};
