/** What a behaviour works with: a namespace of its own, the API, kubectl, and pods that say something and end. */
import { execFile } from "node:child_process";
import { until as untilHolds } from "../harness/until.ts";
import { jsonClient, targetOf, type JsonClient } from "../harness/json-client.ts";
import { TOOLBOX_IMAGE } from "../../deploy/images.ts";
import { call, refusal, resourceOf, type Loose, type Resource } from "./api.ts";

export interface Trial {
  /** Its own; gone when it is over, with all that is in it. */
  readonly namespace: string;
  readonly client: JsonClient;
  /** Without a certificate, by this token alone. */
  clientOf(token: string): JsonClient;
  /** `t.api("apps/v1", "deployments")`: in the trial's namespace. */
  api(groupVersion: string, plural: string): Resource;
  /** Of the whole cluster: resources without a namespace, and lists over all of them. */
  clusterApi(groupVersion: string, plural: string): Resource;
  /** A further namespace. */
  anotherNamespace(labels?: Readonly<Record<string, string>>): Promise<string>;
  /**
   * The machine's Node.js, for a container that needs more than the toolbox has: `pod` and `container` mount the machine's
   * files, `command` runs a script there. It is in the pod's namespaces all the same.
   */
  readonly script: HostScript;
  /** For a kubectl that goes on running. */
  readonly commands: { readonly program: string; readonly kubeconfig: string };
  /** In the trial's namespace; resolves with what it printed, rejects with KubectlFailed. */
  kubectl(...args: readonly string[]): Promise<string>;
  kubectlWith(input: string, ...args: readonly string[]): Promise<string>;
  /** Asks until the answer is neither undefined nor false. A refusal by 404 counts as "not yet". */
  until<T>(what: string, look: () => Promise<T | undefined | false>, timeoutMs?: number): Promise<T>;
  /** The pod once it runs, with every container ready. */
  ready(pod: string): Promise<Loose>;
  /** Creates the pod and waits until it has ended, as wanted; what its container (the first, if not named) wrote. */
  outputOf(pod: Loose, options?: { container?: string; phase?: "Succeeded" | "Failed" }): Promise<string>;
  exec(pod: string, ...command: readonly string[]): Promise<string>;
  /** Run when the trial is over, the last given first: for what lies outside the namespace. */
  afterwards(work: () => Promise<unknown>): void;
}

export interface HostScript {
  readonly pod: object;
  readonly container: object;
  command(source: string): readonly string[];
}

export interface TrialRun {
  readonly trial: Trial;
  end(): Promise<void>;
}

export class KubectlFailed extends Error {
  override readonly name = "KubectlFailed";
  readonly code: number;
  readonly stderr: string;
  constructor(args: readonly string[], code: number, stdout: string, stderr: string) {
    super(`kubectl ${args.join(" ")} ended with ${code}\n${stdout}${stderr}`);
    this.code = code;
    this.stderr = stderr;
  }
}

export interface TrialDeps {
  readonly client: JsonClient;
  readonly kubectl: string;
  readonly kubeconfig: string;
  /** Where the cluster's machines have their Node.js. */
  readonly nodeProgram: string;
}

/** Longer than upstream waits for most things, since many trials run at once. */
const PATIENCE_MS = 120_000;
/** Not oftener: a look may be a kubectl. */
const LOOK_EVERY_MS = 250;
const OUTPUT_BYTES = 16 << 20;

export async function startTrial(
  { client, kubectl, kubeconfig, nodeProgram }: TrialDeps,
  name: string,
): Promise<TrialRun> {
  const namespaces = resourceOf(client, "v1", "namespaces");
  const afterwards: (() => Promise<unknown>)[] = [];
  const make = async (labels: Readonly<Record<string, string>> = {}): Promise<string> => {
    const { metadata } = await namespaces.create({ metadata: { generateName: `${name}-`, labels } });
    const made = metadata.name ?? "";
    afterwards.push(() => namespaces.delete(made));
    await until("the default service account", () => resourceOf(client, "v1", "serviceaccounts", made).get("default"));
    return made;
  };
  const namespace = await make();
  const run = (input: string | undefined, args: readonly string[]): Promise<string> =>
    runKubectl(kubectl, ["--kubeconfig", kubeconfig, "--namespace", namespace, ...args], input);
  const pods = resourceOf(client, "v1", "pods", namespace);
  const trial: Trial = {
    namespace,
    client,
    commands: { program: kubectl, kubeconfig },
    script: {
      pod: { volumes: [{ name: "machine", hostPath: { path: "/" } }] },
      container: { volumeMounts: [{ name: "machine", mountPath: "/machine", readOnly: true }] },
      command: (source) => ["chroot", "/machine", nodeProgram, "-e", source],
    },
    clientOf: (token) => jsonClient({ ...targetOf(kubeconfig), token }),
    api: (groupVersion, plural) => resourceOf(client, groupVersion, plural, namespace),
    clusterApi: (groupVersion, plural) => resourceOf(client, groupVersion, plural),
    anotherNamespace: make,
    kubectl: (...args) => run(undefined, args),
    kubectlWith: (input, ...args) => run(input, args),
    until,
    ready: (pod) =>
      until(`pod ${pod} is ready`, async () => {
        const found = await pods.get(pod);
        return isReady(found) && found;
      }),
    async outputOf(pod, { container, phase = "Succeeded" } = {}) {
      const { metadata } = await pods.create(pod);
      const podName = metadata.name ?? "";
      await until(`pod ${podName} has ended`, async () => {
        const ended = (await pods.get(podName))["status"]?.phase as string;
        if (ended !== phase && (ended === "Succeeded" || ended === "Failed")) {
          throw new Error(`pod ${podName} ended as ${ended}: ${await run(undefined, ["logs", podName])}`);
        }
        return ended === phase;
      });
      return run(undefined, ["logs", podName, ...(container === undefined ? [] : ["-c", container])]);
    },
    exec: (pod, ...command) => run(undefined, ["exec", pod, "--", ...command]),
    afterwards: (work) => void afterwards.push(work),
  };
  return {
    trial,
    end: async () => {
      for (const work of afterwards.reverse()) await work().catch(() => undefined);
    },
  };
}

async function until<T>(what: string, look: () => Promise<T | undefined | false>, timeoutMs = PATIENCE_MS): Promise<T> {
  let found: T | undefined | false;
  await untilHolds(
    what,
    async () => {
      found = await look().catch((error: unknown) => {
        if ((error as { code?: unknown }).code === 404) return undefined;
        throw error;
      });
      return found !== undefined && found !== false;
    },
    timeoutMs,
    LOOK_EVERY_MS,
  );
  return found as T;
}

function isReady(pod: Loose): boolean {
  const conditions = (pod["status"]?.conditions ?? []) as { type: string; status: string }[];
  return conditions.some(({ type, status }) => type === "Ready" && status === "True");
}

function runKubectl(program: string, args: readonly string[], input: string | undefined): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = execFile(program, args, { maxBuffer: OUTPUT_BYTES }, (error, stdout, stderr) => {
      if (error) reject(new KubectlFailed(args, child.exitCode ?? -1, stdout, stderr));
      else resolve(stdout);
    });
    child.stdin?.end(input ?? "");
  });
}

/** A pod of one container of the toolbox that runs this shell script once. */
export function scriptPod(script: string, more: { pod?: object; container?: object; name?: string } = {}): Loose {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: more.name === undefined ? { generateName: "script-" } : { name: more.name },
    spec: {
      restartPolicy: "Never",
      containers: [{ name: "main", image: TOOLBOX_IMAGE, command: ["sh", "-c", script], ...more.container }],
      ...more.pod,
    },
  };
}

/** A pod that waits until it is told to end. */
export function waitingPod(name: string, more: { labels?: object; pod?: object; container?: object } = {}): Loose {
  const script = "trap 'exit 0' TERM; while :; do sleep 1; done";
  const pod = scriptPod(script, { ...more, name, pod: { restartPolicy: "Always", ...more.pod } });
  pod.metadata.labels = { app: name, ...more.labels };
  return pod;
}

export { call, refusal };
export type { Loose, Resource };
