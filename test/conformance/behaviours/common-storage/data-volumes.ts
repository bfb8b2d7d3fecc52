/** Volumes of ConfigMaps and Secrets, plainly and projected: contents, modes, mappings, and changes under a running pod. */
import assert from "node:assert/strict";
import type { Behaviours } from "../../behaviour.ts";
import { refusal, scriptPod, waitingPod, type Loose, type Trial } from "../../trial.ts";

/** How one kind of object becomes a volume. `options` are those of the volume source, in the words of a ConfigMap's. */
interface Form {
  readonly plural: "configmaps" | "secrets";
  /** Upstream's first words in a name. */
  readonly subject: string;
  volume(name: string, options?: Options): object;
}

interface Options {
  readonly items?: readonly { readonly key: string; readonly path: string; readonly mode?: number }[];
  readonly defaultMode?: number;
  readonly optional?: boolean;
}

const configMap: Form = {
  plural: "configmaps",
  subject: "ConfigMap",
  volume: (name, options) => ({ configMap: { name, ...options } }),
};
const projectedConfigMap: Form = {
  plural: "configmaps",
  subject: "Projected configMap",
  volume: (name, options) => projected({ configMap: { name, ...sourceOf(options) } }, options),
};
const secret: Form = {
  plural: "secrets",
  subject: "Secrets",
  volume: (name, options) => ({ secret: { secretName: name, ...options } }),
};
const projectedSecret: Form = {
  plural: "secrets",
  subject: "Projected secret",
  volume: (name, options) => projected({ secret: { name, ...sourceOf(options) } }, options),
};

/** Of a projected volume, the mode of all files is the volume's, the rest is the source's. */
function sourceOf({ items, optional }: Options = {}): Options {
  return { ...(items ? { items } : {}), ...(optional === undefined ? {} : { optional }) };
}

function projected(source: object, { defaultMode }: Options = {}): object {
  return { projected: { sources: [source], ...(defaultMode === undefined ? {} : { defaultMode }) } };
}

const SHOW = (path: string): string => `cat ${path}; echo; stat -L -c %A ${path}; id -u`;

/** One pod that reads `path` of a volume of `data-1: value-1`: what it read, the file's mode, and who it was. */
async function readsVolume(
  t: Trial,
  form: Form,
  path: string,
  options: Options,
  pod: object = {},
): Promise<readonly string[]> {
  const { metadata } = await t.api("v1", form.plural).create(objectOf(form, { "data-1": "value-1" }));
  const said = await t.outputOf(
    scriptPod(SHOW(`/etc/volume/${path}`), {
      pod: { volumes: [{ name: "v", ...form.volume(metadata.name ?? "", options) }], ...pod },
      container: { volumeMounts: [{ name: "v", mountPath: "/etc/volume" }] },
    }),
  );
  return said.trim().split("\n");
}

function objectOf({ plural }: Pick<Form, "plural">, data: Readonly<Record<string, string>>, name?: string): Loose {
  const metadata = name === undefined ? { generateName: "data-" } : { name };
  return { metadata, [plural === "secrets" ? "stringData" : "data"]: data };
}

const MAPPED = [{ key: "data-1", path: "path/to/data-2" }];
const NON_ROOT = { securityContext: { runAsUser: 1000 } };

function reading(form: Form, path: string, options: Options, mode: string, pod?: object) {
  return async (t: Trial): Promise<void> => {
    const user = pod === undefined ? "0" : "1000";
    assert.deepEqual(await readsVolume(t, form, path, options, pod), ["value-1", mode, user]);
  };
}

const DEFAULT_MODE = "-rw-r--r--";

function ofConfigMaps(form: Form): Behaviours {
  const named = (rest: string): string => `[sig-storage] ${form.subject} ${rest} [Conformance]`;
  const mapped = { items: MAPPED };
  const mappedMode = { items: [{ key: "data-1", path: "path/to/data-2", mode: 0o400 }] };
  return {
    [named("should be consumable from pods in volume [NodeConformance]")]: reading(form, "data-1", {}, DEFAULT_MODE),
    [named("should be consumable from pods in volume with defaultMode set [LinuxOnly] [NodeConformance]")]: reading(
      form,
      "data-1",
      { defaultMode: 0o400 },
      "-r--------",
    ),
    [named("should be consumable from pods in volume as non-root [NodeConformance]")]: reading(
      form,
      "data-1",
      {},
      DEFAULT_MODE,
      NON_ROOT,
    ),
    [named("should be consumable from pods in volume with mappings [NodeConformance]")]: reading(
      form,
      "path/to/data-2",
      mapped,
      DEFAULT_MODE,
    ),
    [named("should be consumable from pods in volume with mappings and Item mode set [LinuxOnly] [NodeConformance]")]:
      reading(form, "path/to/data-2", mappedMode, "-r--------"),
    [named("should be consumable from pods in volume with mappings as non-root [NodeConformance]")]: reading(
      form,
      "path/to/data-2",
      mapped,
      DEFAULT_MODE,
      NON_ROOT,
    ),
    [named("should be consumable in multiple volumes in the same pod [NodeConformance]")]: (t) =>
      twoVolumes(t, form, "data-1"),
    [named("updates should be reflected in volume [NodeConformance]")]: (t) => updates(t, form),
    [named("optional updates should be reflected in volume [NodeConformance]")]: (t) => optionalUpdates(t, form),
  };
}

function ofSecrets(form: Form): Behaviours {
  const named = (rest: string): string => `[sig-storage] ${form.subject} ${rest} [Conformance]`;
  const group = { securityContext: { runAsUser: 1000, fsGroup: 1001 } };
  return {
    [named("should be consumable from pods in volume [NodeConformance]")]: reading(form, "data-1", {}, DEFAULT_MODE),
    [named("should be consumable from pods in volume with defaultMode set [LinuxOnly] [NodeConformance]")]: reading(
      form,
      "data-1",
      { defaultMode: 0o400 },
      "-r--------",
    ),
    [named(
      "should be consumable from pods in volume as non-root with defaultMode and fsGroup set [LinuxOnly] [NodeConformance]",
    )]: reading(form, "data-1", { defaultMode: 0o440 }, "-r--r-----", group),
    [named("should be consumable from pods in volume with mappings [NodeConformance]")]: reading(
      form,
      "path/to/data-2",
      { items: MAPPED },
      DEFAULT_MODE,
    ),
    [named("should be consumable from pods in volume with mappings and Item Mode set [LinuxOnly] [NodeConformance]")]:
      reading(
        form,
        "path/to/data-2",
        { items: [{ key: "data-1", path: "path/to/data-2", mode: 0o400 }] },
        "-r--------",
      ),
    [named("should be consumable in multiple volumes in a pod [NodeConformance]")]: (t) =>
      twoVolumes(t, form, "data-1"),
    [named("optional updates should be reflected in volume [NodeConformance]")]: (t) => optionalUpdates(t, form),
  };
}

async function twoVolumes(t: Trial, form: Form, key: string): Promise<void> {
  const { metadata } = await t.api("v1", form.plural).create(objectOf(form, { [key]: "value-1" }));
  const source = form.volume(metadata.name ?? "");
  const said = await t.outputOf(
    scriptPod(`cat /etc/one/${key} /etc/two/${key}`, {
      pod: { volumes: ["one", "two"].map((name) => ({ name, ...source })) },
      container: { volumeMounts: ["one", "two"].map((name) => ({ name, mountPath: `/etc/${name}` })) },
    }),
  );
  assert.equal(said, "value-1value-1");
}

async function updates(t: Trial, form: Form): Promise<void> {
  const objects = t.api("v1", form.plural);
  const { metadata } = await objects.create(objectOf(form, { "data-1": "value-1" }));
  await runningWith(t, { v: form.volume(metadata.name ?? "") });
  assert.equal(await t.exec("reader", "cat", "/etc/v/data-1"), "value-1");
  await objects.patch(metadata.name ?? "", { data: { "data-1": "value-2" } });
  await t.until("the volume shows the new value", async () => {
    return (await t.exec("reader", "cat", "/etc/v/data-1")) === "value-2";
  });
}

/** What is deleted goes from its volume, what is changed changes, what is created appears. */
async function optionalUpdates(t: Trial, form: Form): Promise<void> {
  const objects = t.api("v1", form.plural);
  const encode = (text: string): string => (form.plural === "secrets" ? Buffer.from(text).toString("base64") : text);
  const make = (name: string, key: string): Promise<Loose> =>
    objects.create({ metadata: { name }, data: { [key]: encode("value-1") } });
  await make("deleted", "data-1");
  await make("updated", "data-1");
  const options = { optional: true };
  await runningWith(t, {
    deleted: form.volume("deleted", options),
    updated: form.volume("updated", options),
    created: form.volume("created", options),
  });
  assert.equal(await t.exec("reader", "cat", "/etc/deleted/data-1"), "value-1");
  await objects.delete("deleted");
  await objects.update({ metadata: { name: "updated" }, data: { "data-3": encode("value-3") } });
  await make("created", "data-1");
  const listing = async (): Promise<string> =>
    t.exec("reader", "sh", "-c", "cd /etc; ls deleted; echo -; ls updated; echo -; ls created; cat updated/data-3");
  await t.until(
    "the volumes show it",
    async () => (await listing().catch(() => "")) === "-\ndata-3\n-\ndata-1\nvalue-3",
  );
}

async function runningWith(t: Trial, volumes: Readonly<Record<string, object>>): Promise<void> {
  const names = Object.keys(volumes);
  await t.api("v1", "pods").create(
    waitingPod("reader", {
      pod: { volumes: names.map((name) => ({ name, ...volumes[name] })) },
      container: { volumeMounts: names.map((name) => ({ name, mountPath: `/etc/${name}` })) },
    }),
  );
  await t.ready("reader");
}

/** Once immutable, its data stays and so does the mark; its labels may change, and it may go. */
async function immutable(t: Trial, plural: Form["plural"]): Promise<void> {
  const objects = t.api("v1", plural);
  const value = (text: string): Readonly<Record<string, string>> => ({ key: Buffer.from(text).toString("base64") });
  await objects.create({ metadata: { name: "fixed" }, data: value("one") });
  await objects.patch("fixed", { data: value("two") });
  await objects.patch("fixed", { immutable: true });
  assert.equal((await refusal(objects.patch("fixed", { data: value("three") }))).code, 422);
  assert.equal((await refusal(objects.patch("fixed", { immutable: false }))).code, 422);
  await objects.patch("fixed", { metadata: { labels: { still: "changeable" } } });
  await objects.delete("fixed");
}

export const dataVolumes: Behaviours = {
  ...ofConfigMaps(configMap),
  ...ofConfigMaps(projectedConfigMap),
  ...ofSecrets(secret),
  ...ofSecrets(projectedSecret),

  "[sig-storage] ConfigMap binary data should be reflected in volume [NodeConformance] [Conformance]": async (t) => {
    const bytes = Buffer.from([0xde, 0xca, 0xfe, 0xba, 0xd0, 0xfe, 0xff]);
    await t.api("v1", "configmaps").create({
      metadata: { name: "binary" },
      data: { text: "value-1" },
      binaryData: { "dump.bin": bytes.toString("base64") },
    });
    const said = await t.outputOf(
      scriptPod("cat /etc/volume/text; echo; base64 /etc/volume/dump.bin", {
        pod: { volumes: [{ name: "v", configMap: { name: "binary" } }] },
        container: { volumeMounts: [{ name: "v", mountPath: "/etc/volume" }] },
      }),
    );
    assert.equal(said, `value-1\n${bytes.toString("base64")}\n`);
  },

  "[sig-storage] ConfigMap should be immutable if `immutable` field is set [Conformance]": (t) =>
    immutable(t, "configmaps"),
  "[sig-storage] Secrets should be immutable if `immutable` field is set [Conformance]": (t) => immutable(t, "secrets"),

  "[sig-storage] Secrets should be able to mount in a volume regardless of a different secret existing with same name in different namespace [NodeConformance] [Conformance]":
    async (t) => {
      const elsewhere = await t.anotherNamespace();
      const path = `/api/v1/namespaces/${elsewhere}/secrets`;
      const body = JSON.stringify(objectOf(secret, { "data-1": "another's" }, "same-name"));
      assert.equal((await t.client.send({ method: "POST", path, body })).status, 201);
      await t.api("v1", "secrets").create(objectOf(secret, { "data-1": "value-1" }, "same-name"));
      const said = await t.outputOf(
        scriptPod(SHOW("/etc/volume/data-1"), {
          pod: { volumes: [{ name: "v", secret: { secretName: "same-name" } }] },
          container: { volumeMounts: [{ name: "v", mountPath: "/etc/volume" }] },
        }),
      );
      assert.equal(said, `value-1\n${DEFAULT_MODE}\n0\n`);
    },
};
