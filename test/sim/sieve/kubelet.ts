/** The kubelet as the process under test; its runtime and its files outlive it, and are judged too. */
import { seededIds } from "@pilothouse/clock/seeded";
import { start as startKubelet } from "@pilothouse/kubelet";
import { memoryFiles, type MemoryFiles } from "@pilothouse/kubelet/memory-files";
import type { Runtime, Sandbox } from "@pilothouse/runtime";
import { memoryRuntime, type ImageScript, type MemoryRuntime } from "@pilothouse/runtime/memory";
import { nodeConfig } from "../cluster.ts";
import { portOf } from "../store.ts";
import type { World } from "../world.ts";
import type { Subject } from "./scenario.ts";

export const NODE = "node-1";

/** What changes something: after each the kubelet may die before it hears of it. */
const ACTS: ReadonlySet<string | symbol> = new Set<keyof Runtime>([
  "runPodSandbox",
  "stopPodSandbox",
  "removePodSandbox",
  "createContainer",
  "startContainer",
  "stopContainer",
  "removeContainer",
  "pullImage",
]);

export interface Lives {
  readonly images: Readonly<Record<string, ImageScript>>;
  /** Pods whose first container ends so long after it was started, once; those after it live by their image. */
  readonly firstFailsAfterMs: Readonly<Record<string, number>>;
}

export function kubeletWith({ images, firstFailsAfterMs }: Lives): Subject {
  return {
    machine: NODE,
    prepare(world) {
      const ids = seededIds(world.random.fork("runtime"));
      const runtime = memoryRuntime({ clock: world.clock, ids, images, podIp: (n) => `198.18.1.${n + 1}` });
      const files = memoryFiles();
      failFirst(world, runtime, firstFailsAfterMs);
      return {
        start(life, scope, { bus, client, telemetry, acted }) {
          const identity = { user: `system:node:${NODE}`, groups: ["system:nodes"] };
          startKubelet(
            {
              ...life.time,
              client: client(identity, "kubelet"),
              bus,
              telemetry,
              scope,
              runtime: portOf(life, "runtime", tellingActs(runtime, acted), {
                subscribe: (handle) => {
                  const end = runtime.subscribe((event) => life.run(() => handle(event)));
                  life.onEnd(end);
                  return end;
                },
              }),
              files: portOf(life, "files", files),
              logs: { read: noLogs },
              network: { http: isWell, tcp: isWell, grpc: isWell },
              writeCniConfig: () => Promise.resolve(),
            },
            nodeConfig(NODE, "198.51.100.21"),
          );
        },
        remains: () => remainsOf(runtime, files),
      };
    },
  };
}

/**
 * Each sandbox with its containers, and how often any of the same pod's containers of that name was started: a container that was
 * made and never started is made anew, under the next number, as upstream does; started it must be no more often.
 */
async function remainsOf(runtime: MemoryRuntime, files: MemoryFiles): Promise<readonly string[]> {
  const sandboxes = await runtime.listPodSandboxes();
  const containers = await runtime.listContainers();
  const lineOf = ({ id, name, state }: Sandbox): string => {
    const own = containers.filter(({ sandboxId }) => sandboxId === id);
    const told = own.map((it) => {
      const starts = runtime.journal.filter((line) => line.startsWith(`start ${name}/${it.name}#`)).length;
      return `${it.name} ${it.state}, ${starts} starts`;
    });
    return `sandbox of ${name}, ${state}: ${told.sort().join("; ")}`;
  };
  const podOf = (uid: string): string => sandboxes.find((it) => it.uid === uid)?.name ?? "a pod that is gone";
  const volumes = [...files.volumes].map(
    ([key, plan]) => `volume of ${podOf(key.split("/")[0] ?? "")}: ${JSON.stringify(plan)}`,
  );
  const paths = (await files.listPods()).map((uid) => `files of ${podOf(uid)}`);
  return [...sandboxes.map(lineOf), ...volumes, ...paths].sort();
}

function tellingActs(runtime: MemoryRuntime, acted: (what: string) => void): MemoryRuntime {
  return new Proxy(runtime, {
    get(target, member) {
      const value: unknown = Reflect.get(target, member, target);
      if (typeof value !== "function") return value;
      return (...args: unknown[]): unknown => {
        const result: unknown = Reflect.apply(value, target, args);
        if (!ACTS.has(member) || !(result instanceof Promise)) return result;
        return result.finally(() => acted(String(member)));
      };
    },
  });
}

function failFirst(world: World, runtime: MemoryRuntime, firstFailsAfterMs: Lives["firstFailsAfterMs"]): void {
  const failed = new Set<string>();
  const follow = async (containerId: string): Promise<void> => {
    const container = (await runtime.listContainers()).find(({ id }) => id === containerId);
    const sandbox = await runtime.podSandboxStatus(container?.sandboxId ?? "");
    const { name = "" } = sandbox ?? {};
    const afterMs = firstFailsAfterMs[name];
    if (afterMs === undefined || failed.has(name)) return;
    failed.add(name);
    world.at(afterMs, `a container of ${name} fails`, () => runtime.crash(containerId, 1));
  };
  runtime.subscribe((event) => {
    if (event.kind === "started") follow(event.containerId).catch((error: unknown) => world.fail(error));
  });
}

async function* noLogs(): AsyncGenerator<Uint8Array> {}

function isWell(): Promise<{ readonly ok: boolean; readonly detail: string }> {
  return Promise.resolve({ ok: true, detail: "" });
}
