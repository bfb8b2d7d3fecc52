/** Images that come from a registry: pulled anew or not, by digest, with a password, and what is said when they cannot be had. */
import { join } from "node:path";
import type { Pod } from "@pilothouse/api/types/core-v1";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startOnNode, type TestCluster } from "../harness/cluster.ts";
import { until } from "../harness/index.ts";

const NAMESPACE = "registry";
const PORT = 5_000;
const HOST = `127.0.0.1:${PORT}`;

export function registry(cluster: TestCluster): void {
  let server: ReturnType<typeof startOnNode>;
  const kubectl = (command: string, input?: string): Promise<string> =>
    cluster.kubectl(["-n", NAMESPACE, ...command.split(" ")], input);
  const podOf = async (name: string): Promise<Pod> => JSON.parse(await kubectl(`get pod ${name} -o json`)) as Pod;
  /** @param spec of the pod, beside its one container */
  const run = async (name: string, image: string, imagePullPolicy: string, spec: object = {}): Promise<void> => {
    const containers = [{ name: "box", image, imagePullPolicy, command: ["sleep", "3600"] }];
    const pod = { terminationGracePeriodSeconds: 0, containers, ...spec };
    await kubectl("apply -f -", JSON.stringify({ apiVersion: "v1", kind: "Pod", metadata: { name }, spec: pod }));
  };
  const isReady = (name: string): Promise<string> => kubectl(`wait --for=condition=Ready pod/${name} --timeout=60s`);

  beforeAll(async () => {
    const program = join(import.meta.dirname, "../harness/registry.ts");
    const archive = join(cluster.layout.root, "images/pilothouse.local-toolbox-latest.tar");
    server = startOnNode(cluster, process.execPath, [program, "--archive", archive, "--port", String(PORT)]);
    await until("the registry listens", () => server.said().includes("listening"), 20_000);
    await cluster.kubectl(`create namespace ${NAMESPACE}`);
  }, 60_000);

  afterAll(async () => {
    await cluster.kubectl(`delete namespace ${NAMESPACE} --timeout=60s`);
    await server.stop();
  }, 90_000);

  test("an image is pulled, and known by its tag and its digest", { timeout: 90_000 }, async () => {
    await run("pulled", `${HOST}/team/box:v1`, "Always");
    await isReady("pulled");
    expect(await kubectl("exec pulled -- cat /from-registry")).toBe("by way of a registry\n");
    const digest = (await podOf("pulled")).status?.containerStatuses?.[0]?.imageID ?? "";
    expect(digest).toMatch(new RegExp(`^${HOST}/team/box@sha256:[0-9a-f]{64}$`));
    expect(await kubectl("events --for pod/pulled")).toMatch(
      /Successfully pulled image "127\.0\.0\.1:5000\/team\/box:v1" in /,
    );
    await run("by-digest", digest, "IfNotPresent");
    await isReady("by-digest");
    expect((await podOf("by-digest")).status?.containerStatuses?.[0]?.imageID).toBe(digest);
  });

  test("what is here already is not asked for again, unless always", { timeout: 90_000 }, async () => {
    const asked = (): number =>
      server
        .said()
        .split("\n")
        .filter((line) => line.includes("/team/box/manifests/v1")).length;
    const before = asked();
    await run("present", `${HOST}/team/box:v1`, "IfNotPresent");
    await isReady("present");
    expect(asked()).toBe(before);
    await run("anew", `${HOST}/team/box:v1`, "Always");
    await isReady("anew");
    expect(asked()).toBeGreaterThan(before);
  });

  test("a private image needs the password of its registry", { timeout: 90_000 }, async () => {
    await kubectl(
      `create secret docker-registry login --docker-server=${HOST} --docker-username=captain --docker-password=anchor`,
    );
    await kubectl(
      "create secret docker-registry wrong --docker-server=https://127.0.0.1:5000/private --docker-username=captain --docker-password=chain",
    );
    await run("refused", `${HOST}/private/box:v1`, "Always");
    await until("it is refused", async () => (await kubectl("get pod refused")).includes("PullBackOff"), 30_000);
    expect(await kubectl("events --for pod/refused")).toContain("401 Unauthorized");
    await run("allowed", `${HOST}/private/box:v1`, "Always", {
      imagePullSecrets: [{ name: "wrong" }, { name: "login" }],
    });
    await isReady("allowed");
  });

  test("an image that is not there is told as such", { timeout: 60_000 }, async () => {
    await run("missing", `${HOST}/team/box:v9`, "IfNotPresent");
    await until("it is told", async () => (await kubectl("get pod missing")).includes("ImagePullBackOff"), 30_000);
    const waiting = (await podOf("missing")).status?.containerStatuses?.[0]?.state?.waiting;
    expect(waiting?.message).toContain(`Back-off pulling image "${HOST}/team/box:v9"`);
    expect(await kubectl("events --for pod/missing")).toMatch(/Failed to pull image .* not found/);
  });
}
