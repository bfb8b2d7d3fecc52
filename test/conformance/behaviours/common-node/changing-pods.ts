/** Pods that change under their users' hands: hooks, containers added, resources resized, classes of runtimes. */
import assert from "node:assert/strict";
import { TOOLBOX_IMAGE, WEB_IMAGE } from "../../../../deploy/images.ts";
import type { Behaviours } from "../../behaviour.ts";
import { refusal, scriptPod, waitingPod, type Loose, type Trial } from "../../trial.ts";
import { webPod } from "../network/services.ts";

const hook = (rest: string): string =>
  `[sig-node] Container Lifecycle Hook when create a pod with lifecycle hook should execute ${rest} hook properly [NodeConformance] [Conformance]`;
const resize = (rest: string): string =>
  `[sig-node] Pod InPlace Resize Container ${rest} [MinimumKubeletVersion:1.34] [Conformance]`;
const runtimeClass = (rest: string): string => `[sig-node] RuntimeClass ${rest} [NodeConformance] [Conformance]`;

/** A handler that leaves a mark with a server, and how to see it: the server's own log is not read, its page is. */
async function hooked(t: Trial, when: "postStart" | "preStop", how: "exec" | "http"): Promise<void> {
  const server = webPod("handler");
  const [web] = server["spec"].containers as [Loose];
  const script = `mkdir /w; cat > /w/answer <<'END'
#!/bin/sh
read -r first; echo "$first" >> /w/heard
while read -r line; do [ "\${#line}" -le 1 ] && break; done
printf 'HTTP/1.1 200 OK\\r\\nContent-Length: 3\\r\\nConnection: close\\r\\n\\r\\nok\\n'
END
chmod +x /w/answer; exec nc -lllllllll -p 80 -e /w/answer`;
  Object.assign(web, { image: TOOLBOX_IMAGE, command: ["sh", "-c", script], env: [] });
  await t.api("v1", "pods").create(server);
  const { status } = await t.ready("handler");
  const host = status.podIP as string;
  const handler =
    how === "exec"
      ? { exec: { command: ["sh", "-c", `wget -q -O - http://${host}/marked`] } }
      : { httpGet: { path: "/marked", host, port: 80 } };
  await t.api("v1", "pods").create(waitingPod("hooked", { container: { lifecycle: { [when]: handler } } }));
  await t.ready("hooked");
  if (when === "preStop") await t.kubectl("delete", "pod", "hooked", "--timeout=60s");
  await t.until("the hook was called", async () => {
    return (await t.exec("handler", "sh", "-c", "cat /w/heard 2>/dev/null || true")).includes("GET /marked");
  });
}

async function addEphemeral(t: Trial, pod: string, name: string): Promise<void> {
  const container = {
    name,
    image: TOOLBOX_IMAGE,
    command: ["sh", "-c", "echo marco; sleep 1000"],
    targetContainerName: "main",
  };
  await t
    .api("v1", "pods")
    .patch(
      pod,
      { spec: { ephemeralContainers: [container] } },
      { type: "strategic", subresource: "ephemeralcontainers" },
    );
  await t.until(`${name} runs`, async () => {
    const statuses = ((await t.api("v1", "pods").get(pod))["status"].ephemeralContainerStatuses ?? []) as Loose[];
    return statuses.some((each) => each["name"] === name && each["state"].running !== undefined);
  });
  await t.until("it has spoken", async () => (await t.kubectl("logs", pod, "-c", name)).includes("marco"));
}

/** By container: cpu and memory as `request/limit`; `-` for none. */
type Sizes = Readonly<Record<string, { readonly cpu?: string; readonly memory?: string }>>;

function amounts(pair: { cpu?: string; memory?: string }): { requests?: object; limits?: object } {
  const part = (at: 0 | 1): Record<string, string> =>
    Object.fromEntries(
      Object.entries(pair).flatMap(([name, text]) => {
        const value = text.split("/")[at] ?? "-";
        return value === "-" ? [] : [[name, value]];
      }),
    );
  const [requests, limits] = [part(0), part(1)];
  return {
    ...(Object.keys(requests).length > 0 ? { requests } : {}),
    ...(Object.keys(limits).length > 0 ? { limits } : {}),
  };
}

function sizedPod(sizes: Sizes): Loose {
  const pod = waitingPod("resized", { pod: { terminationGracePeriodSeconds: 1 } });
  const [container] = pod["spec"].containers as [object];
  pod["spec"].containers = Object.entries(sizes).map(([name, size]) => ({
    ...container,
    name,
    resources: amounts(size),
  }));
  return pod;
}

/** In the words of cgroup v2, also where the machine has v1. */
const CPU_LIMIT =
  "if [ -f cpu.max ]; then cat cpu.max; else echo $(cat cpu/cpu.cfs_quota_us) $(cat cpu/cpu.cfs_period_us); fi";
const MEMORY_LIMIT = "if [ -f memory.max ]; then cat memory.max; else cat memory/memory.limit_in_bytes; fi";

/** The status tells the new sizes, the cgroups have them, and nothing was restarted. */
async function becomes(t: Trial, sizes: Sizes): Promise<void> {
  const pod = await t.until("the resize is done", async () => {
    const found = await t.api("v1", "pods").get("resized");
    const statuses = (found["status"].containerStatuses ?? []) as Loose[];
    const isDone = Object.entries(sizes).every(([name, size]) => {
      const status = statuses.find((each) => each["name"] === name);
      return (
        status !== undefined && JSON.stringify(sorted(status["resources"])) === JSON.stringify(sorted(amounts(size)))
      );
    });
    return isDone && found;
  });
  for (const status of pod["status"].containerStatuses as Loose[]) assert.equal(status["restartCount"], 0);
  for (const [name, { cpu = "-/-", memory = "-/-" }] of Object.entries(sizes)) {
    const read = async (script: string): Promise<string> =>
      (await t.kubectl("exec", "resized", "-c", name, "--", "sh", "-c", `cd /sys/fs/cgroup; ${script}`)).trim();
    const [cpuLimit, memoryLimit] = [cpu.split("/")[1] ?? "-", memory.split("/")[1] ?? "-"];
    if (cpuLimit !== "-") {
      const quota = Math.max(1_000, Number(cpuLimit.replace("m", "")) * 100);
      await t.until(`${name} has its share`, async () => (await read(CPU_LIMIT)) === `${quota} 100000`);
    }
    if (memoryLimit !== "-") {
      const bytes = Number(memoryLimit.replace("Mi", "")) * 2 ** 20;
      await t.until(`${name} has its memory`, async () => (await read(MEMORY_LIMIT)) === String(bytes));
    }
  }
}

function sorted(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .map(([key, each]) => [key, sorted(each)] as const)
      .sort(([a], [b]) => (a < b ? -1 : 1)),
  );
}

async function resizes(t: Trial, before: Sizes, after: Sizes): Promise<void> {
  await t.api("v1", "pods").create(sizedPod(before));
  await t.ready("resized");
  const containers = Object.entries(after).map(([name, size]) => ({ name, resources: amounts(size) }));
  await t.api("v1", "pods").patch("resized", { spec: { containers } }, { type: "strategic", subresource: "resize" });
  await becomes(t, after);
}

const both = (cpu: string, memory: string): { cpu: string; memory: string } => ({
  cpu: `${cpu}/${cpu}`,
  memory: `${memory}/${memory}`,
});

async function classOf(t: Trial, more: object = {}): Promise<string> {
  const classes = t.clusterApi("node.k8s.io/v1", "runtimeclasses");
  const name = `${t.namespace}-class`;
  await classes.create({ metadata: { name }, handler: "some-handler", ...more });
  t.afterwards(() => classes.delete(name));
  return name;
}

async function isPlaced(t: Trial, pod: string): Promise<Loose> {
  return t.until(`${pod} has a node`, async () => {
    const found = await t.api("v1", "pods").get(pod);
    return found["spec"].nodeName !== undefined && found;
  });
}

/** Whether the file says that the kubelet wrote it. */
const MANAGED = "head -1 /etc/hosts";

export const changingPods: Behaviours = {
  [hook("poststart exec")]: (t) => hooked(t, "postStart", "exec"),
  [hook("poststart http")]: (t) => hooked(t, "postStart", "http"),
  [hook("prestop exec")]: (t) => hooked(t, "preStop", "exec"),
  [hook("prestop http")]: (t) => hooked(t, "preStop", "http"),

  "[sig-node] Ephemeral Containers [NodeConformance] will start an ephemeral container in an existing pod [Conformance]":
    async (t) => {
      await t.api("v1", "pods").create(waitingPod("debugged"));
      await t.ready("debugged");
      await addEphemeral(t, "debugged", "debugger");
      assert.match(await t.kubectl("exec", "debugged", "-c", "debugger", "--", "echo", "polo"), /polo/);
    },
  "[sig-node] Ephemeral Containers [NodeConformance] should update the ephemeral containers in an existing pod [Conformance]":
    async (t) => {
      await t.api("v1", "pods").create(waitingPod("debugged"));
      await t.ready("debugged");
      await addEphemeral(t, "debugged", "first");
      const read = (): Promise<Loose> => t.api("v1", "pods").get("debugged", "ephemeralcontainers");
      assert.equal((await read())["spec"].ephemeralContainers.length, 1);
      const found = await read();
      found["spec"].ephemeralContainers.push({ name: "second", image: TOOLBOX_IMAGE, command: ["sleep", "1000"] });
      await t.api("v1", "pods").update(found, "ephemeralcontainers");
      assert.equal((await read())["spec"].ephemeralContainers.length, 2);
    },

  [resize(
    "guaranteed pods with multiple containers 3 containers - increase cpu & mem on c1, c2, decrease cpu & mem on c3 - net increase",
  )]: (t) =>
    resizes(
      t,
      { c1: both("20m", "40Mi"), c2: both("30m", "50Mi"), c3: both("40m", "60Mi") },
      { c1: both("30m", "50Mi"), c2: both("40m", "60Mi"), c3: both("30m", "50Mi") },
    ),
  [resize(
    "guaranteed pods with multiple containers 3 containers - increase cpu & mem on c1, decrease cpu & mem on c2, c3 - net decrease",
  )]: (t) =>
    resizes(
      t,
      { c1: both("20m", "40Mi"), c2: both("40m", "60Mi"), c3: both("40m", "60Mi") },
      { c1: both("30m", "50Mi"), c2: both("20m", "40Mi"), c3: both("30m", "50Mi") },
    ),
  [resize(
    "guaranteed pods with multiple containers 3 containers - increase: CPU (c1,c3), memory (c2, c3) ; decrease: CPU (c2)",
  )]: (t) =>
    resizes(
      t,
      { c1: both("20m", "40Mi"), c2: both("40m", "40Mi"), c3: both("20m", "40Mi") },
      { c1: both("30m", "40Mi"), c2: both("30m", "50Mi"), c3: both("30m", "50Mi") },
    ),
  [resize(
    "burstable pods - extended 6 containers - various operations performed (including adding limits and requests)",
  )]: (t) =>
    resizes(
      t,
      {
        c1: {},
        c2: { cpu: "20m/-" },
        c3: { memory: "40Mi/-" },
        c4: { cpu: "20m/40m", memory: "40Mi/60Mi" },
        c5: { cpu: "20m/40m", memory: "40Mi/60Mi" },
        c6: { cpu: "20m/40m", memory: "40Mi/60Mi" },
      },
      {
        c1: { cpu: "20m/-" },
        c2: { cpu: "20m/40m" },
        c3: { memory: "40Mi/60Mi" },
        c4: { cpu: "30m/50m", memory: "40Mi/60Mi" },
        c5: { cpu: "20m/40m", memory: "50Mi/70Mi" },
        c6: { cpu: "10m/30m", memory: "40Mi/80Mi" },
      },
    ),
  [resize("burstable pods - extended resize with equivalents")]: (t) =>
    resizes(t, { c1: { cpu: "2m/10m" } }, { c1: { cpu: "1m/5m" } }),
  [resize("resize pod via the replace endpoint")]: async (t) => {
    const pods = t.api("v1", "pods");
    await pods.create(sizedPod({ c1: both("20m", "40Mi") }));
    await t.ready("resized");
    await t.until("it is replaced", async () => {
      const found = await pods.get("resized", "resize");
      found["spec"].containers[0].resources = amounts(both("30m", "50Mi"));
      return pods.update(found, "resize").catch(() => undefined);
    });
    await becomes(t, { c1: both("30m", "50Mi") });
    const [own, whole] = [await pods.get("resized", "resize"), await pods.get("resized")];
    assert.deepEqual(own["spec"], whole["spec"]);
  },

  [runtimeClass("should reject a Pod requesting a non-existent RuntimeClass")]: async (t) => {
    const pod = scriptPod("true", { pod: { runtimeClassName: "nobody-has-this" } });
    assert.equal((await refusal(t.api("v1", "pods").create(pod))).code, 403);
  },
  [runtimeClass("should reject a Pod requesting a deleted RuntimeClass")]: async (t) => {
    const name = await classOf(t);
    await t.clusterApi("node.k8s.io/v1", "runtimeclasses").delete(name);
    const refused = await t.until("it is refused", async () => {
      const made = t.api("v1", "pods").create(scriptPod("true", { pod: { runtimeClassName: name } }));
      return made.then(() => undefined).catch((error: unknown) => error as { code: number });
    });
    assert.equal(refused.code, 403);
  },
  [runtimeClass("should schedule a Pod requesting a RuntimeClass without PodOverhead")]: async (t) => {
    await t
      .api("v1", "pods")
      .create(scriptPod("true", { name: "classy", pod: { runtimeClassName: await classOf(t) } }));
    assert.equal((await isPlaced(t, "classy"))["spec"].overhead, undefined);
  },
  [runtimeClass("should schedule a Pod requesting a RuntimeClass and initialize its Overhead")]: async (t) => {
    const podFixed = { cpu: "10m", memory: "1Mi" };
    const name = await classOf(t, { overhead: { podFixed } });
    await t.api("v1", "pods").create(scriptPod("true", { name: "classy", pod: { runtimeClassName: name } }));
    assert.deepEqual((await isPlaced(t, "classy"))["spec"].overhead, podFixed);
  },

  "[sig-node] KubeletManagedEtcHosts should test kubelet managed /etc/hosts file [NodeConformance] [Conformance]":
    async (t) => {
      const plain = waitingPod("plain", {
        pod: { volumes: [{ name: "own", hostPath: { path: "/etc/hosts", type: "File" } }] },
      });
      const [first] = plain["spec"].containers as [object];
      plain["spec"].containers.push({
        ...first,
        name: "other",
        volumeMounts: [{ name: "own", mountPath: "/etc/hosts" }],
      });
      await t.api("v1", "pods").create(plain);
      await t.api("v1", "pods").create(waitingPod("host", { pod: { hostNetwork: true } }));
      await Promise.all([t.ready("plain"), t.ready("host")]);
      const says = (pod: string, container: string): Promise<string> =>
        t.kubectl("exec", pod, "-c", container, "--", "sh", "-c", MANAGED);
      assert.match(await says("plain", "main"), /Kubernetes-managed hosts file/);
      assert.doesNotMatch(await says("plain", "other"), /Kubernetes-managed hosts file\.$/m);
    },

  "[sig-node] ConfigMap should run through a ConfigMap lifecycle [Conformance]": async (t) => {
    const maps = t.api("v1", "configmaps");
    const labelSelector = "test-configmap-static=true";
    await maps.create({
      metadata: { name: "lived", labels: { "test-configmap-static": "true" } },
      data: { valueName: "value" },
    });
    await maps.patch(
      "lived",
      { metadata: { labels: { patched: "yes" } }, data: { valueName: "value1" } },
      { type: "strategic" },
    );
    const { items } = await t.clusterApi("v1", "configmaps").list({ labelSelector });
    const found = items.find(({ metadata }) => metadata.namespace === t.namespace);
    assert.equal(found?.["data"].valueName, "value1");
    await maps.deleteCollection({ labelSelector });
    assert.equal((await maps.list({ labelSelector })).items.length, 0);
  },
  "[sig-node] ConfigMap should update ConfigMap successfully [NodeConformance] [Conformance]": async (t) => {
    const maps = t.api("v1", "configmaps");
    const created = await maps.create({ metadata: { name: "changed" }, data: { key: "one" } });
    await maps.update({ ...created, data: { key: "two" } });
    assert.deepEqual((await maps.get("changed"))["data"], { key: "two" });
  },
  "[sig-node] Secrets should patch a secret [Conformance]": async (t) => {
    const secrets = t.api("v1", "secrets");
    const labelSelector = "testsecret-constant=true";
    const base64 = (text: string): string => Buffer.from(text).toString("base64");
    await secrets.create({
      metadata: { name: "patched", labels: { "testsecret-constant": "true" } },
      data: { key: base64("value") },
    });
    await secrets.patch(
      "patched",
      { metadata: { labels: { testsecret: "true" } }, data: { key: base64("value1") } },
      { type: "strategic" },
    );
    const { items } = await t.clusterApi("v1", "secrets").list({ labelSelector: "testsecret=true" });
    assert.ok(items.some(({ data, metadata }) => metadata.namespace === t.namespace && data.key === base64("value1")));
    await secrets.deleteCollection({ labelSelector });
    assert.equal((await secrets.list({ labelSelector })).items.length, 0);
  },

  "[sig-network] Service endpoints latency should not be very high [Conformance]": async (t) => {
    await t.api("v1", "pods").create(waitingPod("server", { container: { image: WEB_IMAGE, command: undefined } }));
    await t.ready("server");
    const watch = await t.api("v1", "endpoints").watch();
    const tookMs: number[] = [];
    const one = async (index: number): Promise<void> => {
      const startMs = performance.now();
      const name = `svc-${index}`;
      await t
        .api("v1", "services")
        .create({ metadata: { name }, spec: { selector: { app: "server" }, ports: [{ port: 80 }] } });
      await t.until(`${name} has an endpoint`, async () => {
        return watch.told.some(
          ({ object }) => object.metadata.name === name && object["subsets"]?.[0]?.addresses !== undefined,
        );
      });
      tookMs.push(performance.now() - startMs);
    };
    const numbers = Array.from({ length: 100 }, (_, index) => index).values();
    await Promise.all(
      Array.from({ length: 15 }, async () => {
        for (const index of numbers) await one(index);
      }),
    );
    tookMs.sort((a, b) => a - b);
    assert.ok(
      (tookMs[50] as number) <= 20_000 && (tookMs[90] as number) <= 50_000,
      `p50 ${tookMs[50]}, p90 ${tookMs[90]}`,
    );
    watch.close();
  },
};
