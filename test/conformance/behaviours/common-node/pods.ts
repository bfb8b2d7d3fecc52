/** The life of a pod, as its user sees and steers it. */
import assert from "node:assert/strict";
import { WEB_IMAGE } from "../../../../deploy/images.ts";
import type { Behaviours } from "../../behaviour.ts";
import { messagesOf } from "../../messages.ts";
import { scriptPod, waitingPod, type Loose, type Trial } from "../../trial.ts";

const node = (rest: string): string => `[sig-node] ${rest} [NodeConformance] [Conformance]`;

async function ended(t: Trial, name: string): Promise<Loose> {
  return t.until(`pod ${name} has ended`, async () => {
    const pod = await t.api("v1", "pods").get(name);
    return ["Succeeded", "Failed"].includes(pod["status"].phase as string) && pod;
  });
}

async function terminationMessage(t: Trial, script: string, container: object): Promise<string> {
  await t.api("v1", "pods").create(scriptPod(script, { name: "ends", container }));
  const pod = await ended(t, "ends");
  return (pod["status"].containerStatuses[0].state.terminated.message as string | undefined) ?? "";
}

const RESOURCES = { cpu: "100m", memory: "100Mi" };

export const pods: Behaviours = {
  [node("Pods should get a host IP")]: async (t) => {
    await t.api("v1", "pods").create(waitingPod("host"));
    await t.until("it has a host", async () => {
      return /^[\d.:a-f]+$/.test(
        ((await t.api("v1", "pods").get("host"))["status"]?.hostIP as string | undefined) ?? "",
      );
    });
  },

  [node("Pods should be submitted and removed")]: async (t) => {
    const all = t.api("v1", "pods");
    const labelSelector = "app=submitted";
    const watch = await all.watch({ labelSelector });
    await all.create(waitingPod("submitted"));
    await watch.next(({ type }) => type === "ADDED");
    await t.ready("submitted");
    await all.delete("submitted", { gracePeriodSeconds: 5 });
    await watch.next(({ object }) => object.metadata.deletionTimestamp !== undefined);
    await watch.next(({ type }) => type === "DELETED");
    assert.deepEqual((await all.list({ labelSelector })).items, []);
    watch.close();
  },

  [node("Pods should be updated")]: async (t) => {
    const all = t.api("v1", "pods");
    await all.create(waitingPod("changing"));
    const pod = await t.ready("changing");
    pod.metadata.labels = { ...pod.metadata.labels, time: "later" };
    await all.update(pod).catch(() => all.patch("changing", { metadata: { labels: { time: "later" } } }));
    assert.equal((await all.list({ labelSelector: "time=later" })).items.length, 1);
  },

  [node("Pods should allow activeDeadlineSeconds to be updated")]: async (t) => {
    await t.api("v1", "pods").create(waitingPod("limited"));
    await t.ready("limited");
    await t.api("v1", "pods").patch("limited", { spec: { activeDeadlineSeconds: 5 } });
    const pod = await ended(t, "limited");
    assert.equal(pod["status"].phase, "Failed");
    assert.equal(pod["status"].reason, "DeadlineExceeded");
  },

  [node("Pods should contain environment variables for services")]: async (t) => {
    await t.api("v1", "services").create({
      metadata: { name: "fooservice" },
      spec: { ports: [{ port: 8765, targetPort: 8080 }], selector: { app: "server" } },
    });
    const { clusterIP } = (await t.api("v1", "services").get("fooservice"))["spec"] as { clusterIP: string };
    const said = await t.outputOf(scriptPod("env"));
    for (const line of [
      `FOOSERVICE_SERVICE_HOST=${clusterIP}`,
      "FOOSERVICE_SERVICE_PORT=8765",
      `FOOSERVICE_PORT=tcp://${clusterIP}:8765`,
      "FOOSERVICE_PORT_8765_TCP_PORT=8765",
      "FOOSERVICE_PORT_8765_TCP_PROTO=tcp",
      `FOOSERVICE_PORT_8765_TCP=tcp://${clusterIP}:8765`,
      `FOOSERVICE_PORT_8765_TCP_ADDR=${clusterIP}`,
    ]) {
      assert.ok(said.split("\n").includes(line), `${line} is not in its environment`);
    }
  },

  "[sig-node] Pods should delete a collection of pods [Conformance]": async (t) => {
    const all = t.api("v1", "pods");
    const labelSelector = "type=Testing";
    for (const name of ["one", "two", "three"]) {
      await all.create(waitingPod(name, { labels: { type: "Testing" }, pod: { terminationGracePeriodSeconds: 1 } }));
    }
    assert.equal((await all.list({ labelSelector })).items.length, 3);
    await all.deleteCollection({ labelSelector });
    await t.until("all are gone", async () => (await all.list({ labelSelector })).items.length === 0);
  },

  "[sig-node] Pods should patch a pod status [Conformance]": async (t) => {
    await t.api("v1", "pods").create(waitingPod("patched"));
    await t.ready("patched");
    const patched = await t
      .api("v1", "pods")
      .patch(
        "patched",
        { status: { message: "Patched by e2e test", reason: "E2E" } },
        { subresource: "status", type: "strategic" },
      );
    assert.equal(patched["status"].message, "Patched by e2e test");
    assert.equal(patched["status"].reason, "E2E");
  },

  "[sig-node] Pods should run through the lifecycle of Pods and PodStatus [Conformance]": async (t) => {
    const all = t.api("v1", "pods");
    const watch = await all.watch({ labelSelector: "app=lifecycle" });
    await all.create(waitingPod("lifecycle", { pod: { terminationGracePeriodSeconds: 1 } }));
    const isReady = (object: Loose, wanted: string): boolean =>
      ((object["status"]?.conditions ?? []) as { type: string; status: string }[]).some(
        ({ type, status }) => type === "Ready" && status === wanted,
      );
    await watch.next(({ object }) => isReady(object, "True"));
    const image = { metadata: { labels: { patched: "yes" } }, spec: { terminationGracePeriodSeconds: 1 } };
    await all.patch("lifecycle", image, { type: "strategic" });
    await watch.next(({ object }) => object.metadata.labels?.["patched"] === "yes");
    const { conditions } = (await all.get("lifecycle", "status"))["status"] as { conditions: { type: string }[] };
    const unready = conditions.map((each) => (each.type === "Ready" ? { ...each, status: "False" } : each));
    await t.until("the status is replaced", async () => {
      const now = await all.get("lifecycle", "status");
      return all.update({ ...now, status: { ...now["status"], conditions: unready } }, "status").catch(() => undefined);
    });
    await watch.next(({ object }) => isReady(object, "False"));
    await all.deleteCollection({ labelSelector: "app=lifecycle" });
    await watch.next(({ type }) => type === "DELETED");
    watch.close();
  },

  "[sig-node] Pods Extended (pod generation) Pod Generation pod generation should start at 1 and increment per update [MinimumKubeletVersion:1.34] [Conformance]":
    async (t) => {
      const all = t.api("v1", "pods");
      const created = await all.create(waitingPod("generations"));
      assert.equal(created.metadata.generation, 1);
      await t.ready("generations");
      const observed = (wanted: number): Promise<unknown> =>
        t.until(`generation ${wanted} is observed`, async () => {
          const { metadata, status } = await all.get("generations");
          assert.equal(metadata.generation, wanted);
          return status.observedGeneration === wanted;
        });
      await observed(1);
      await all.patch("generations", { spec: { activeDeadlineSeconds: 5_000 } });
      await observed(2);
      await all.patch("generations", { metadata: { labels: { neither: "spec" } } });
      await observed(2);
      const toleration = { key: "x", operator: "Exists" };
      await all.patch("generations", [{ op: "add", path: "/spec/tolerations/-", value: toleration }], { type: "json" });
      await observed(3);
    },
  "[sig-node] Pods Extended (pod generation) Pod Generation custom-set generation on new pods and graceful delete [Conformance]":
    async (t) => {
      const all = t.api("v1", "pods");
      const pod = waitingPod("custom", { pod: { terminationGracePeriodSeconds: 5 } });
      const created = await all.create({ ...pod, metadata: { ...pod.metadata, generation: 100 } });
      assert.equal(created.metadata.generation, 1);
      await t.ready("custom");
      await all.delete("custom");
      assert.equal((await all.get("custom")).metadata.generation, 2);
    },
  "[sig-node] Pods Extended (pod generation) Pod Generation issue 500 podspec updates and verify generation and observedGeneration eventually converge [MinimumKubeletVersion:1.34] [Conformance]":
    async (t) => {
      const all = t.api("v1", "pods");
      await all.create(waitingPod("busy", { pod: { activeDeadlineSeconds: 100_000 } }));
      for (let i = 1; i < 500; i++) await all.patch("busy", { spec: { activeDeadlineSeconds: 100_000 - i } });
      await t.until("all 500 are observed", async () => {
        const { metadata, status } = await all.get("busy");
        assert.equal(metadata.generation, 500);
        return status.observedGeneration === 500;
      });
    },

  "[sig-node] Pods Extended Pods Set QOS Class should be set on Pods with matching resource requests and limits for memory and cpu [Conformance]":
    async (t) => {
      const container = { resources: { requests: RESOURCES, limits: RESOURCES } };
      const created = await t.api("v1", "pods").create(waitingPod("guaranteed", { container }));
      assert.equal(created["status"].qosClass, "Guaranteed");
    },

  [node("Pods should support remote command execution over websockets")]: async (t) => {
    await t.api("v1", "pods").create(waitingPod("executed"));
    await t.ready("executed");
    const query = "stdout=1&stderr=1&container=main&command=echo&command=remote%20execution%20test";
    const path = `${t.api("v1", "pods").path}/executed/exec?${query}`;
    const messages = await messagesOf(t.commands.kubeconfig, path, "channel.k8s.io");
    // The first byte is the channel. An empty message says of a channel that it is open, and nothing else.
    const spoken = messages.filter(({ length }) => length > 1);
    assert.deepEqual([...new Set(spoken.map((message) => message[0]))], [1], "standard output is channel 1");
    assert.equal(Buffer.concat(spoken.map((message) => message.subarray(1))).toString(), "remote execution test\n");
  },
  [node("Pods should support retrieving logs from the container over websockets")]: async (t) => {
    const script = "echo container is alive; while :; do sleep 1; done";
    await t.api("v1", "pods").create(scriptPod(script, { name: "logged", pod: { terminationGracePeriodSeconds: 1 } }));
    await t.ready("logged");
    await t.until("it has spoken", async () => (await t.kubectl("logs", "logged")) !== "");
    const path = `${t.api("v1", "pods").path}/logged/log?container=main`;
    const messages = await messagesOf(t.commands.kubeconfig, path, "binary.k8s.io");
    assert.equal(Buffer.concat(messages).toString(), "container is alive\n");
  },

  [node("Kubelet when scheduling a busybox command in a pod should print the output to logs")]: async (t) => {
    assert.equal(await t.outputOf(scriptPod("echo 'Hello World'; sleep 1")), "Hello World\n");
  },
  [node("Kubelet when scheduling a busybox command that always fails in a pod should have an terminated reason")]:
    async (t) => {
      await t.api("v1", "pods").create(scriptPod("exit 1", { name: "failing" }));
      const { status } = await ended(t, "failing");
      assert.equal(status.containerStatuses.length, 1);
      assert.equal(status.containerStatuses[0].state.terminated.reason, "Error");
    },
  [node("Kubelet when scheduling a busybox command that always fails in a pod should be possible to delete")]: async (
    t,
  ) => {
    await t.api("v1", "pods").create(scriptPod("exit 1", { name: "failing", pod: { restartPolicy: "Always" } }));
    await t.api("v1", "pods").delete("failing");
    await t.until("it is gone", async () => (await t.api("v1", "pods").list()).items.length === 0);
  },
  [node("Kubelet when scheduling a read only busybox container should not write to root filesystem [LinuxOnly]")]:
    async (t) => {
      const container = { securityContext: { readOnlyRootFilesystem: true } };
      assert.match(await t.outputOf(scriptPod("echo test > /file 2>&1 || echo refused", { container })), /refused/);
    },
  [node("Kubelet when scheduling an agnhost Pod with hostAliases should write entries to /etc/hosts")]: async (t) => {
    const pod = { hostAliases: [{ ip: "123.45.67.89", hostnames: ["foo", "bar"] }] };
    assert.match(await t.outputOf(scriptPod("cat /etc/hosts", { pod })), /^123\.45\.67\.89\s+foo\s+bar$/m);
  },

  [node(
    "Container Runtime blackbox test on terminated container should report termination message as empty when pod succeeds and TerminationMessagePolicy FallbackToLogsOnError is set",
  )]: async (t) => {
    const container = { terminationMessagePolicy: "FallbackToLogsOnError" };
    assert.equal(await terminationMessage(t, "echo DONE", container), "");
  },
  [node(
    "Container Runtime blackbox test on terminated container should report termination message from file when pod succeeds and TerminationMessagePolicy FallbackToLogsOnError is set",
  )]: async (t) => {
    const container = { terminationMessagePolicy: "FallbackToLogsOnError" };
    assert.equal(await terminationMessage(t, "echo -n OK > /dev/termination-log; echo DONE", container), "OK");
  },
  [node(
    "Container Runtime blackbox test on terminated container should report termination message from log output if TerminationMessagePolicy FallbackToLogsOnError is set",
  )]: async (t) => {
    const container = { terminationMessagePolicy: "FallbackToLogsOnError" };
    assert.equal((await terminationMessage(t, "echo -n DONE; exit 1", container)).trim(), "DONE");
  },
  [node(
    "Container Runtime blackbox test on terminated container should report termination message if TerminationMessagePath is set as non-root user and at a non-default path",
  )]: async (t) => {
    const container = { terminationMessagePath: "/dev/custom-log", securityContext: { runAsUser: 1000 } };
    assert.equal(await terminationMessage(t, "echo -n DONE > /dev/custom-log", container), "DONE");
  },
  [node("Container Runtime blackbox test when starting a container that exits should run with the expected status")]:
    async (t) => {
      const all = t.api("v1", "pods");
      const script = (code: number): string => `[ -f /v/second ] && exit 0; touch /v/second; exit ${code}`;
      const make = (name: string, restartPolicy: string): Promise<Loose> =>
        all.create(
          scriptPod(script(1), {
            name,
            pod: { restartPolicy, volumes: [{ name: "v", emptyDir: {} }] },
            container: { volumeMounts: [{ name: "v", mountPath: "/v" }] },
          }),
        );
      await make("never", "Never");
      await make("on-failure", "OnFailure");
      await make("always", "Always");
      const restarts = (pod: Loose): number => pod["status"].containerStatuses[0].restartCount as number;
      const never = await ended(t, "never");
      assert.equal(never["status"].phase, "Failed");
      assert.equal(restarts(never), 0);
      const onFailure = await ended(t, "on-failure");
      assert.equal(onFailure["status"].phase, "Succeeded");
      assert.equal(restarts(onFailure), 1);
      await t.until("it was started a third time", async () => restarts(await all.get("always")) >= 2);
      assert.equal((await all.get("always"))["status"].phase, "Running");
    },

  "[sig-node] InitContainer [NodeConformance] should invoke init containers on a RestartNever pod [Conformance]":
    async (t) => {
      await t.api("v1", "pods").create(withInit("Never", ["true", "true"], "true"));
      const { status } = await ended(t, "started");
      assert.equal(status.phase, "Succeeded");
      assert.equal(conditionOf(status, "Initialized"), "True");
      assert.deepEqual(initCodes(status), [0, 0]);
    },
  "[sig-node] InitContainer [NodeConformance] should invoke init containers on a RestartAlways pod [Conformance]":
    async (t) => {
      await t.api("v1", "pods").create(withInit("Always", ["true", "true"], "while :; do sleep 1; done"));
      const { status } = await t.ready("started");
      assert.equal(conditionOf(status, "Initialized"), "True");
      assert.deepEqual(initCodes(status), [0, 0]);
    },
  "[sig-node] InitContainer [NodeConformance] should not start app containers and fail the pod if init containers fail on a RestartNever pod [Conformance]":
    async (t) => {
      await t.api("v1", "pods").create(withInit("Never", ["true", "false"], "true"));
      const { status } = await ended(t, "started");
      assert.equal(status.phase, "Failed");
      assert.equal(conditionOf(status, "Initialized"), "False");
      assert.deepEqual(initCodes(status), [0, 1]);
      assert.ok(status.containerStatuses[0].state.waiting, "the app was never started");
    },
  "[sig-node] InitContainer [NodeConformance] should not start app containers if init containers fail on a RestartAlways pod [Conformance]":
    async (t) => {
      await t.api("v1", "pods").create(withInit("Always", ["false", "true"], "while :; do sleep 1; done"));
      const pod = await t.until("the first was started three times", async () => {
        const found = await t.api("v1", "pods").get("started");
        return found["status"].initContainerStatuses?.[0]?.restartCount >= 3 && found;
      });
      assert.equal(pod["status"].phase, "Pending");
      assert.ok(pod["status"].containerStatuses[0].state.waiting, "the app was never started");
      assert.ok(pod["status"].initContainerStatuses[1].state.waiting, "nor the second");
    },

  "[sig-node] PreStop should call prestop when killing a pod [Conformance]": async (t) => {
    await t.api("v1", "pods").create(waitingPod("server", { container: { image: WEB_IMAGE, command: undefined } }));
    const { status } = await t.ready("server");
    const lifecycle = {
      preStop: {
        exec: { command: ["sh", "-c", `wget -q -O - http://${status.podIP as string}/hostname > /dev/null`] },
      },
    };
    await t.api("v1", "pods").create(waitingPod("tester", { container: { lifecycle } }));
    await t.ready("tester");
    await t.kubectl("delete", "pod", "tester", "--timeout=60s");
    const said = await t.kubectl("get", "events", "-o", "jsonpath={.items[*].reason}");
    assert.ok(!said.includes("FailedPreStopHook"), said);
  },
};

function withInit(restartPolicy: string, inits: readonly string[], main: string): Loose {
  const pod = scriptPod(main, { name: "started", pod: { restartPolicy } });
  const { image } = pod["spec"].containers[0] as { image: string };
  pod["spec"].initContainers = inits.map((script, i) => ({ name: `init${i}`, image, command: ["sh", "-c", script] }));
  return pod;
}

function conditionOf(status: { conditions: { type: string; status: string }[] }, type: string): string | undefined {
  return status.conditions.find((each) => each.type === type)?.status;
}

function initCodes(status: {
  initContainerStatuses: { state: { terminated?: { exitCode: number } } }[];
}): readonly (number | undefined)[] {
  return status.initContainerStatuses.map(({ state }) => state.terminated?.exitCode);
}
