/** Runs on the node. Creates pods and watches them; prints PodTimes as JSON. Argument: the administrator's kubeconfig. */
import { performance } from "node:perf_hooks";
import { createInterface } from "node:readline";
import { WEB_IMAGE } from "../../deploy/images.ts";
import { targetOf } from "../harness/json-client.ts";
import { connectClient, type Client } from "./client.ts";

export interface PodTimes {
  /** From sending the POST to the event that says so. */
  readonly scheduledMs: readonly number[];
  readonly runningMs: readonly number[];
  /** 50 pods at once, from the first POST to the last Ready. */
  readonly allReadyMs: number;
}

interface Pod {
  readonly metadata: { readonly name: string };
  readonly spec: { readonly nodeName?: string };
  readonly status: {
    readonly phase?: string;
    readonly conditions?: readonly { readonly type: string; readonly status: string }[];
  };
}

type Milestone = "scheduled" | "running" | "ready" | "gone";

const PODS = "/api/v1/namespaces/default/pods";
const WARM_UP = 2;
const ONE_BY_ONE = 20;
const AT_ONCE = 50;

if (import.meta.main) process.stdout.write(JSON.stringify(await measure(process.argv[2] ?? "")));

async function measure(kubeconfig: string): Promise<PodTimes> {
  const client = connectClient(targetOf(kubeconfig), AT_ONCE + 1);
  const progress = await watchPods(client);
  const [scheduledMs, runningMs]: [number[], number[]] = [[], []];
  for (let index = 0; index < WARM_UP + ONE_BY_ONE; index++) {
    const name = `one-${index}`;
    const startMs = performance.now();
    await client.send({ method: "POST", path: PODS, body: podBody(name) });
    const running = (await progress.reached(name, "running")) - startMs;
    if (index >= WARM_UP) {
      runningMs.push(running);
      scheduledMs.push((await progress.reached(name, "scheduled")) - startMs);
    }
    await client.send({ method: "DELETE", path: `${PODS}/${name}?gracePeriodSeconds=1` });
    await progress.reached(name, "gone");
  }
  const names = Array.from({ length: AT_ONCE }, (_, index) => `many-${index}`);
  const startMs = performance.now();
  await Promise.all(names.map((name) => client.send({ method: "POST", path: PODS, body: podBody(name) })));
  const readyMs = await Promise.all(names.map((name) => progress.reached(name, "ready")));
  progress.close();
  client.close();
  return { scheduledMs, runningMs, allReadyMs: Math.max(...readyMs) - startMs };
}

interface Progress {
  /** When the watcher saw it. */
  reached(name: string, milestone: Milestone): Promise<number>;
  /** From here on the end of the watch is no failure. */
  close(): void;
}

async function watchPods(client: Client): Promise<Progress> {
  const atMs = new Map<string, number>();
  const waiting = new Map<string, (atMs: number) => void>();
  const reach = (name: string, milestone: Milestone): void => {
    const key = `${name}/${milestone}`;
    if (atMs.has(key)) return;
    atMs.set(key, performance.now());
    waiting.get(key)?.(performance.now());
  };
  const listed = JSON.parse((await client.send({ method: "GET", path: PODS })).body.toString()) as {
    metadata: { resourceVersion: string };
  };
  const path = `${PODS}?watch=1&resourceVersion=${listed.metadata.resourceVersion}`;
  const lines = createInterface({ input: await client.open({ method: "GET", path }) });
  const closing = new AbortController();
  lines.on("error", (error: Error) => {
    if (!closing.signal.aborted) throw error;
  });
  lines.on("line", (line) => {
    const { type, object } = JSON.parse(line) as { type: string; object: Pod };
    const { name } = object.metadata;
    if (object.spec.nodeName) reach(name, "scheduled");
    if (object.status.phase === "Running") reach(name, "running");
    if (object.status.conditions?.some((it) => it.type === "Ready" && it.status === "True")) reach(name, "ready");
    if (type === "DELETED") reach(name, "gone");
  });
  return {
    close: () => closing.abort(),
    reached: (name, milestone) =>
      new Promise((resolve) => {
        const key = `${name}/${milestone}`;
        const known = atMs.get(key);
        if (known === undefined) waiting.set(key, resolve);
        else resolve(known);
      }),
  };
}

function podBody(name: string): string {
  const container = { name: "web", image: WEB_IMAGE, imagePullPolicy: "IfNotPresent" };
  return JSON.stringify({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name },
    spec: { containers: [container], terminationGracePeriodSeconds: 1 },
  });
}
