/** Variables of a container: from ConfigMaps, Secrets and the pod itself, and what is made of them in commands and sub-paths. */
import assert from "node:assert/strict";
import { TOOLBOX_IMAGE, WEB_IMAGE } from "../../../../deploy/images.ts";
import type { Behaviours } from "../../behaviour.ts";
import { refusal, scriptPod, type Loose, type Trial } from "../../trial.ts";

/** What the container's `env` prints, as a record. Not by way of a shell, which drops names that it could not use itself. */
async function environment(t: Trial, container: object, pod: object = {}): Promise<Readonly<Record<string, string>>> {
  const said = await t.outputOf(scriptPod("", { name: "speaker", container: { command: ["env"], ...container }, pod }));
  return Object.fromEntries(said.split("\n").map((line) => line.split(/=(.*)/s).slice(0, 2) as [string, string]));
}

function fromField(name: string, fieldPath: string): object {
  return { name, valueFrom: { fieldRef: { fieldPath } } };
}

function fromResource(name: string, resource: string, divisor = "1"): object {
  return { name, valueFrom: { resourceFieldRef: { containerName: "main", resource, divisor } } };
}

const PREFIXES = ["p-", "1-digit.", "#%?!@"];

/** `envFrom` with prefixes of all printable characters. */
async function prefixed(t: Trial, plural: "configmaps" | "secrets"): Promise<void> {
  const data = { "data-1": "value-1", data_2: "value-2" };
  const ref = plural === "secrets" ? "secretRef" : "configMapRef";
  await t
    .api("v1", plural)
    .create({ metadata: { name: "vars" }, [plural === "secrets" ? "stringData" : "data"]: data });
  const found = await environment(t, { envFrom: PREFIXES.map((prefix) => ({ prefix, [ref]: { name: "vars" } })) });
  for (const prefix of PREFIXES) {
    for (const [key, value] of Object.entries(data)) assert.equal(found[prefix + key], value, prefix + key);
  }
}

async function oneKey(t: Trial, plural: "configmaps" | "secrets"): Promise<void> {
  const ref = plural === "secrets" ? "secretKeyRef" : "configMapKeyRef";
  const field = plural === "secrets" ? "stringData" : "data";
  await t.api("v1", plural).create({ metadata: { name: "vars" }, [field]: { "data-1": "value-1" } });
  const found = await environment(t, {
    env: [{ name: "ONE", valueFrom: { [ref]: { name: "vars", key: "data-1" } } }],
  });
  assert.equal(found["ONE"], "value-1");
}

async function refusesEmptyKey(t: Trial, plural: "configmaps" | "secrets"): Promise<void> {
  const refused = await refusal(t.api("v1", plural).create({ metadata: { name: "empty" }, data: { "": "dmFsdWU=" } }));
  assert.equal(refused.status.reason, "Invalid");
}

/** A pod whose only container mounts a part of an emptyDir by an expression of its variables. */
function subPathPod(subPathExpr: string, script = "true"): Loose {
  return scriptPod(script, {
    name: "expander",
    pod: { volumes: [{ name: "v", emptyDir: {} }] },
    container: {
      env: [fromField("POD_NAME", "metadata.name"), fromField("ANNOTATION", "metadata.annotations['mysubpath']")],
      volumeMounts: [
        { name: "v", mountPath: "/whole" },
        { name: "v", mountPath: "/part", subPathExpr },
      ],
    },
  });
}

async function neverStarts(t: Trial, pod: Loose): Promise<void> {
  await t.api("v1", "pods").create(pod);
  await t.until("the container is refused its configuration", async () => {
    const { status } = await t.api("v1", "pods").get("expander");
    assert.notEqual(status.phase, "Succeeded");
    return status.containerStatuses?.[0]?.state.waiting?.reason === "CreateContainerConfigError";
  });
}

/** What the web image says of itself is told by its own entrypoint and command. */
function imagePod(container: object): Loose {
  return scriptPod("", { container: { image: TOOLBOX_IMAGE, command: undefined, ...container } });
}

const named = (subject: string, rest: string): string =>
  `[sig-node] ${subject} ${rest} [NodeConformance] [Conformance]`;

export const environments: Behaviours = {
  "[sig-node] ConfigMap should be consumable as environment variable names with various prefixes [Conformance]": (t) =>
    prefixed(t, "configmaps"),
  "[sig-node] Secrets should be consumable as environment variable names variable names with various prefixes [Conformance]":
    (t) => prefixed(t, "secrets"),
  [named("ConfigMap", "should be consumable via environment variable")]: (t) => oneKey(t, "configmaps"),
  [named("Secrets", "should be consumable from pods in env vars")]: (t) => oneKey(t, "secrets"),
  [named("ConfigMap", "should be consumable via the environment")]: (t) => prefixed(t, "configmaps"),
  [named("Secrets", "should be consumable via the environment")]: (t) => prefixed(t, "secrets"),
  "[sig-node] ConfigMap should fail to create ConfigMap with empty key [Conformance]": (t) =>
    refusesEmptyKey(t, "configmaps"),
  "[sig-node] Secrets should fail to create secret due to empty secret key [Conformance]": (t) =>
    refusesEmptyKey(t, "secrets"),

  [named("Downward API", "should provide pod name, namespace and IP address as env vars")]: async (t) => {
    const found = await environment(t, {
      env: [
        fromField("POD_NAME", "metadata.name"),
        fromField("POD_NAMESPACE", "metadata.namespace"),
        fromField("POD_IP", "status.podIP"),
      ],
    });
    assert.equal(found["POD_NAME"], "speaker");
    assert.equal(found["POD_NAMESPACE"], t.namespace);
    assert.match(found["POD_IP"] ?? "", /^\d+\.\d+\.\d+\.\d+$/);
  },
  [named("Downward API", "should provide host IP as an env var")]: async (t) => {
    const found = await environment(t, { env: [fromField("HOST_IP", "status.hostIP")] });
    assert.equal(found["HOST_IP"], (await t.api("v1", "pods").get("speaker"))["status"].hostIP);
  },
  [named("Downward API", "should provide hostIPs as an env var")]: async (t) => {
    const found = await environment(t, { env: [fromField("HOST_IPS", "status.hostIPs")] });
    const { hostIPs } = (await t.api("v1", "pods").get("speaker"))["status"] as { hostIPs: { ip: string }[] };
    assert.equal(found["HOST_IPS"], hostIPs.map(({ ip }) => ip).join(","));
  },
  [named("Downward API", "should provide pod UID as env vars")]: async (t) => {
    const found = await environment(t, { env: [fromField("POD_UID", "metadata.uid")] });
    assert.equal(found["POD_UID"], (await t.api("v1", "pods").get("speaker")).metadata.uid);
  },
  [named("Downward API", "should provide container's limits.cpu/memory and requests.cpu/memory as env vars")]: async (
    t,
  ) => {
    const found = await environment(t, {
      resources: { requests: { cpu: "250m", memory: "32Mi" }, limits: { cpu: "1250m", memory: "64Mi" } },
      env: [
        fromResource("CPU_LIMIT", "limits.cpu"),
        fromResource("MEMORY_LIMIT", "limits.memory"),
        fromResource("CPU_REQUEST", "requests.cpu"),
        fromResource("MEMORY_REQUEST", "requests.memory"),
      ],
    });
    assert.deepEqual(
      [found["CPU_LIMIT"], found["MEMORY_LIMIT"], found["CPU_REQUEST"], found["MEMORY_REQUEST"]],
      ["2", "67108864", "1", "33554432"],
    );
  },
  [named("Downward API", "should provide default limits.cpu/memory from node allocatable")]: async (t) => {
    const found = await environment(t, {
      env: [fromResource("CPU_LIMIT", "limits.cpu"), fromResource("MEMORY_LIMIT", "limits.memory")],
    });
    assert.match(found["CPU_LIMIT"] ?? "", /^[1-9]\d*$/);
    assert.match(found["MEMORY_LIMIT"] ?? "", /^[1-9]\d*$/);
  },

  [named("Variable Expansion", "should allow composing env vars into new env vars")]: async (t) => {
    const env = [
      { name: "FOO", value: "foo-value" },
      { name: "BAR", value: "bar-value" },
      { name: "FOOBAR", value: "$(FOO);;$(BAR);;$$(FOO);;$(NOBODY)" },
    ];
    assert.equal((await environment(t, { env }))["FOOBAR"], "foo-value;;bar-value;;$(FOO);;$(NOBODY)");
  },
  [named("Variable Expansion", "should allow substituting values in a container's command")]: async (t) => {
    const container = { env: [{ name: "VAR", value: "test-value" }], command: ["sh", "-c", 'VAR=wrong echo "$(VAR)"'] };
    assert.equal(await t.outputOf(scriptPod("", { container })), "test-value\n");
  },
  [named("Variable Expansion", "should allow substituting values in a container's args")]: async (t) => {
    const container = { env: [{ name: "VAR", value: "test-value" }], command: ["sh", "-c"], args: ['echo "$(VAR)"'] };
    assert.equal(await t.outputOf(scriptPod("", { container })), "test-value\n");
  },
  "[sig-node] Variable Expansion should allow substituting values in a volume subpath [Conformance]": async (t) => {
    const said = await t.outputOf(subPathPod("$(POD_NAME)", "touch /part/here && ls /whole/expander"));
    assert.equal(said, "here\n");
  },
  "[sig-node] Variable Expansion should fail substituting values in a volume subpath with backticks [Conformance]": (
    t,
  ) => neverStarts(t, withAnnotation(subPathPod("$(ANNOTATION)"), "..")),
  "[sig-node] Variable Expansion should fail substituting values in a volume subpath with absolute path [Conformance]":
    (t) => neverStarts(t, withAnnotation(subPathPod("$(ANNOTATION)"), "/tmp")),
  "[sig-node] Variable Expansion should verify that a failing subpath expansion can be modified during the lifecycle of a container [Slow] [Conformance]":
    async (t) => {
      await neverStarts(t, withAnnotation(subPathPod("$(ANNOTATION)/$(POD_NAME)"), "/absolute"));
      await t.api("v1", "pods").patch("expander", { metadata: { annotations: { mysubpath: "sound" } } });
      await t.until("the pod has ended well", async () => {
        return (await t.api("v1", "pods").get("expander"))["status"].phase === "Succeeded";
      });
    },
  "[sig-node] Variable Expansion should succeed in writing subpaths in container [Conformance]": async (t) => {
    const pod = withAnnotation(subPathPod("$(ANNOTATION)/$(POD_NAME)", "while :; do sleep 1; done"), "foo");
    await t.api("v1", "pods").create(pod);
    await t.ready("expander");
    await t.exec("expander", "sh", "-c", "touch /part/written && test -f /whole/foo/expander/written");
    await t.api("v1", "pods").patch("expander", { metadata: { annotations: { mysubpath: "newsubpath" } } });
    await t.kubectl("delete", "pod", "expander", "--timeout=60s", "--grace-period=1");
  },

  [named("Containers", "should use the image defaults if command and args are blank")]: async (t) => {
    await t
      .api("v1", "pods")
      .create(scriptPod("", { name: "web", container: { image: WEB_IMAGE, command: undefined } }));
    await t.ready("web");
    await t.until("the image's own server answers", async () => {
      return (await t.exec("web", "wget", "-q", "-O", "-", "http://127.0.0.1/healthz").catch(() => "")) === "ok\n";
    });
  },
  [named("Containers", "should be able to override the image's default arguments (container cmd)")]: async (t) => {
    assert.equal(await t.outputOf(imagePod({ args: ["/bin/echo", "of", "the", "pod"] })), "of the pod\n");
  },
  [named("Containers", "should be able to override the image's default command (container entrypoint)")]: async (t) => {
    assert.equal(await t.outputOf(imagePod({ command: ["/bin/echo"] })), "\n");
  },
  [named("Containers", "should be able to override the image's default command and arguments")]: async (t) => {
    assert.equal(await t.outputOf(imagePod({ command: ["/bin/echo"], args: ["of", "the", "pod"] })), "of the pod\n");
  },
};

function withAnnotation(pod: Loose, mysubpath: string): Loose {
  pod.metadata.annotations = { mysubpath };
  return pod;
}
