/** Stories of what pods ask for besides running: to end in their own time, to be known, to be mounted as they wish. */
import { Readable } from "node:stream";
import { resources } from "@pilothouse/client";
import { afterEach, describe, expect, test } from "vitest";
import type { Event } from "@pilothouse/api/types/core-v1";
import type { VolumePlan } from "./core/volumes.ts";
import { startRig, type Rig } from "./rig.fixture.ts";

let rig: Rig;
afterEach(() => rig.close());

const web = { name: "web", image: "web" };
test("a container that a probe ends gets the probe's own grace, not the pod's", async () => {
  rig = await startRig({ web: {} });
  rig.network = { ok: false, detail: "no" };
  const probe = { httpGet: { port: 80 }, periodSeconds: 1, failureThreshold: 1, terminationGracePeriodSeconds: 7 };
  await rig.create("a", { containers: [{ ...web, livenessProbe: probe }], terminationGracePeriodSeconds: 50 });
  await rig.clock.advance(2_000);
  expect(rig.runtime.journal).toContain("stop(7s) a/web#0");
});

describe("a pod's token", () => {
  const sources = [{ serviceAccountToken: { path: "token", expirationSeconds: 3_600 } }];
  const volumes = [{ name: "v", projected: { sources } }];
  const token = (): string => {
    const [plan] = [...rig.files.volumes.values()] as Extract<VolumePlan, { kind: "files" }>[];
    return new TextDecoder().decode(plan?.files[0]?.content);
  };

  test("is renewed when four fifths of its life are over, and not before", async () => {
    rig = await startRig({ web: {} });
    let issued = 0;
    rig.api.intercept = ({ path }) => {
      if (!path.endsWith("/token")) return undefined;
      const expirationTimestamp = new Date(rig.clock.now() + 3_600_000).toISOString();
      const answer = { metadata: {}, status: { token: `token-${++issued}`, expirationTimestamp } };
      return { status: 201, headers: {}, body: Readable.from([new TextEncoder().encode(JSON.stringify(answer))]) };
    };
    await rig.create("a", { containers: [web], volumes });
    expect(token()).toBe("token-1");
    await rig.clock.advance(47 * 60_000);
    expect(token()).toBe("token-1");
    await rig.clock.advance(3 * 60_000);
    expect([token(), issued]).toEqual(["token-2", 2]);
  });
});

describe("mounts that nothing within can be written to", () => {
  const mount = (recursiveReadOnly: string) => ({
    containers: [{ ...web, volumeMounts: [{ name: "v", mountPath: "/v", readOnly: true, recursiveReadOnly }] }],
    volumes: [{ name: "v", emptyDir: {} }],
  });
  const shown = (name: string): unknown => rig.status(name)?.containerStatuses?.[0]?.volumeMounts?.[0];

  test("wait for a runtime that can, if they must be; else they are what can be had", async () => {
    rig = await startRig({ web: {} });
    await rig.create("must", mount("Enabled"));
    await rig.create("may", mount("IfPossible"));
    expect(rig.status("must")?.containerStatuses?.[0]?.state?.waiting).toEqual({
      reason: "CreateContainerConfigError",
      message: 'volume "v" requested recursive read-only mode, but it is not supported by the runtime',
    });
    expect(shown("may")).toMatchObject({ readOnly: true, recursiveReadOnly: "Disabled" });
    rig.runtime.abilities = { handlers: [{ name: "", recursiveReadOnlyMounts: true, userNamespaces: false }] };
    await rig.clock.advance(3_000);
    expect(shown("must")).toMatchObject({ readOnly: true, recursiveReadOnly: "Enabled" });
  });
});

test("a private image is had with a password out of the pod's secrets, as soon as there is one that fits", async () => {
  rig = await startRig({ "registry.example/web": { pullUser: "me" } });
  const containers = [{ name: "web", image: "registry.example/web" }];
  await rig.create("a", { containers, imagePullSecrets: [{ name: "login" }] });
  expect(rig.events("a").slice(0, 3)).toEqual([
    "Warning FailedToRetrieveImagePullSecret: Unable to retrieve some image pull secrets (login); attempting to pull the image may not succeed.",
    'Normal Pulling: Pulling image "registry.example/web"',
    'Warning Failed: Failed to pull image "registry.example/web": failed to authorize: nobody may not have registry.example/web',
  ]);
  const auths = { "registry.example/other": { username: "you" }, "registry.example": { username: "me" } };
  await rig.client.create(resources.secrets, {
    metadata: { name: "login", namespace: "default" },
    type: "kubernetes.io/dockerconfigjson",
    data: { ".dockerconfigjson": Buffer.from(JSON.stringify({ auths })).toString("base64") },
  });
  await rig.clock.advance(11_000);
  expect(rig.status("a")?.phase).toBe("Running");
});

test("each container's log is linked under a name that log shippers read, as long as it is kept", async () => {
  rig = await startRig({ web: { exitAfterMs: 1_000, exitCode: 1 } });
  await rig.create("a", { containers: [web] });
  const [[link, log] = ["", ""]] = rig.files.links;
  expect(link).toMatch(/^a_default_web-[\w-]+\.log$/);
  expect(log).toMatch(/^\/logs\/default_a_[\w-]+\/web\/0\.log$/);
  await rig.clock.advance(120_000);
  const kept = await rig.runtime.listContainers();
  expect([...rig.files.links.keys()].toSorted()).toEqual(kept.map(({ id }) => `a_default_web-${id}.log`).toSorted());
  expect(kept.length).toBeLessThan(rig.status("a")?.containerStatuses?.[0]?.restartCount ?? 0);
});

test("an image is a volume that can only be read; while it cannot be had, those that mount it wait and say so", async () => {
  rig = await startRig({ web: {}, "registry.example/model": { pullUser: "me" } });
  const containers = [
    { ...web, volumeMounts: [{ name: "v", mountPath: "/v" }] },
    { name: "other", image: "web" },
  ];
  const volumes = [{ name: "v", image: { reference: "registry.example/model" } }];
  await rig.create("a", { containers, volumes, imagePullSecrets: [{ name: "login" }] });
  await rig.clock.advance(3_000);
  const states = (): unknown => rig.status("a")?.containerStatuses?.map(({ state }) => state);
  expect(states()).toEqual([
    {
      waiting: {
        reason: "ImagePullBackOff",
        message: expect.stringMatching(
          /^Back-off pulling image "registry\.example\/model": ErrImagePull: failed to authorize/,
        ),
      },
    },
    { running: expect.anything() },
  ]);
  expect(rig.events("a")).toContain('Normal BackOff: Back-off pulling image "registry.example/model"');
  const auths = { "registry.example": { username: "me" } };
  await rig.client.create(resources.secrets, {
    metadata: { name: "login", namespace: "default" },
    type: "kubernetes.io/dockerconfigjson",
    data: { ".dockerconfigjson": Buffer.from(JSON.stringify({ auths })).toString("base64") },
  });
  await rig.clock.advance(11_000);
  expect(states()).toEqual([{ running: expect.anything() }, { running: expect.anything() }]);
  const [container] = await rig.runtime.listContainers({ labels: { "io.kubernetes.container.name": "web" } });
  expect(rig.runtime.configOf(container?.id ?? "")?.mounts[0]).toMatchObject({ containerPath: "/v", readOnly: true });
});

test("an image's files are given back when the pod goes, also one that went while the kubelet was away", async () => {
  rig = await startRig({ web: {}, model: {} });
  const spec = {
    containers: [{ ...web, volumeMounts: [{ name: "v", mountPath: "/v" }] }],
    volumes: [{ name: "v", image: { reference: "model" } }],
    terminationGracePeriodSeconds: 1,
  };
  for (const name of ["a", "b"]) await rig.create(name, spec);
  await rig.client.delete(resources.pods, "default", "a");
  await rig.clock.advance(5_000);
  const ended = (): number => rig.runtime.journal.filter((line) => line === "end view").length;
  expect(ended()).toBe(1);
  await rig.client.delete(resources.pods, "default", "b", { gracePeriodSeconds: 0 });
  await rig.restart();
  await rig.clock.advance(60_000);
  expect(ended()).toBe(2);
});

describe("what is told of a pod", () => {
  test("does not repeat what a hook said: that may be a secret", async () => {
    rig = await startRig({ web: {} });
    rig.network = { ok: false, detail: "password: 1234" };
    const lifecycle = { postStart: { httpGet: { port: 80 } } };
    await rig.create("a", { containers: [{ ...web, lifecycle }], terminationGracePeriodSeconds: 1 });
    await rig.clock.advance(500);
    expect(rig.events("a").slice(3, 6)).toEqual([
      "Normal Started: Container started",
      "Warning FailedPostStartHook: PostStartHook failed",
      "Normal Killing: FailedPostStartHook",
    ]);
    expect(JSON.stringify(rig.api.list("events"))).not.toContain("1234");
  });

  test("is a sandbox that had to be made anew", async () => {
    rig = await startRig({ web: {} });
    await rig.create("a", { containers: [web] });
    const [sandbox] = await rig.runtime.listPodSandboxes();
    await rig.runtime.stopPodSandbox(sandbox?.id ?? "");
    await rig.clock.advance(15_000);
    expect(rig.status("a")?.containerStatuses?.[0]?.restartCount).toBe(1);
    expect(rig.events("a")).toContain("Normal SandboxChanged: Pod sandbox changed, it will be killed and re-created.");
  });
});

test("a probe that could not be carried out says nothing of the container: it is neither ready nor restarted for it", async () => {
  let broken = true;
  const exec = (): { stdout: string; exitCode: number } => {
    if (broken) throw new Error("failed to start exec: executable file not found in $PATH");
    return { stdout: "", exitCode: 0 };
  };
  rig = await startRig({ web: { exec } });
  const probe = { exec: { command: ["check"] }, periodSeconds: 1, failureThreshold: 1 };
  await rig.create("a", { containers: [{ ...web, livenessProbe: probe, readinessProbe: probe }] });
  await rig.clock.advance(10_000);
  const container = (): unknown => rig.status("a")?.containerStatuses?.[0];
  expect(container()).toMatchObject({ restartCount: 0, ready: false });
  expect(rig.events("a")).toContain(
    "Warning Unhealthy: Liveness probe errored and resulted in unknown state: failed to start exec: executable file not found in $PATH",
  );
  broken = false;
  await rig.clock.advance(2_000);
  expect(container()).toMatchObject({ restartCount: 0, ready: true });
});

test("a pod that wants users of its own does not run with the host's", async () => {
  rig = await startRig({ web: {} });
  await rig.create("a", { containers: [web], hostUsers: false });
  expect(rig.status("a")?.phase).toBe("Pending");
  rig.runtime.abilities = { handlers: [{ name: "", recursiveReadOnlyMounts: true, userNamespaces: false }] };
  await rig.clock.advance(3_000);
  expect(rig.events("a")).toEqual([
    'Warning FailedCreatePodSandBox: Failed to create pod sandbox: the handler "" is not known',
    'Warning FailedCreatePodSandBox: Failed to create pod sandbox: RuntimeClass handler "" does not support user namespaces',
  ]);
  expect(rig.runtime.journal).toEqual([]);
});

test("a pod that is unwell every second costs the API no more than upstream's would", async () => {
  rig = await startRig({ web: {} });
  rig.network = { ok: false, detail: "no" };
  const readinessProbe = { httpGet: { port: 80 }, periodSeconds: 1 };
  await rig.create("a", { containers: [{ ...web, readinessProbe }] });
  await rig.clock.advance(600_000);
  const writes = rig.api.requests.filter(({ method, path }) => method !== "GET" && path.includes("/events"));
  expect(writes.filter(({ path }) => !path.includes("node-1")).length).toBeLessThanOrEqual(25 + 2 + 10);
  const unhealthy = (rig.api.list("events") as unknown as Event[]).filter(({ reason }) => reason === "Unhealthy");
  expect(unhealthy).toMatchObject([{ message: "Readiness probe failed: no" }]);
  expect(unhealthy[0]?.count).toBeGreaterThan(250);
});
