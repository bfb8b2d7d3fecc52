/** Sees what the runtime has of a pod, and knows which pod a container or sandbox belongs to. */
import type { Runtime, SandboxStatus } from "@pilothouse/runtime";
import {
  ANNOTATION_TERMINATION_MESSAGE,
  ANNOTATION_TERMINATION_POLICY,
  LABEL_POD_UID,
  type PodRuntime,
  type RuntimeContainer,
} from "../core/pod-runtime.ts";
import { lastWords } from "../core/cri-log.ts";
import type { NodeFiles } from "./ports.ts";

/** As much as upstream keeps of a container's last words. */
const MESSAGE_BYTES = 4096;
/** Enough of a log for its last words, with what the runtime writes before each line. */
const LOG_BYTES = 16 * 1024;

export interface ObserverPorts {
  readonly runtime: Runtime;
  readonly files: NodeFiles;
}

export class PodObserver {
  readonly #ports: ObserverPorts;
  /** Pod uids by container and sandbox id, to know whom an event concerns. */
  readonly #owners = new Map<string, string>();

  constructor(ports: ObserverPorts) {
    this.#ports = ports;
  }

  ownerOf(id: string): string | undefined {
    return this.#owners.get(id);
  }

  made(id: string, uid: string): void {
    this.#owners.set(id, uid);
  }

  gone(id: string): void {
    this.#owners.delete(id);
  }

  /** Nothing belongs to this pod any more. */
  forget(uid: string): void {
    for (const [id, owner] of this.#owners) if (owner === uid) this.#owners.delete(id);
  }

  /** `before` is what was seen last: what has ended since is not asked for again. Last words are added to `messages`. */
  async look(uid: string, before: PodRuntime, messages: Map<string, string>): Promise<PodRuntime> {
    const { runtime } = this.#ports;
    const filter = { labels: { [LABEL_POD_UID]: uid } };
    const [listedSandboxes, listedContainers] = await Promise.all([
      runtime.listPodSandboxes(filter),
      runtime.listContainers(filter),
    ]);
    const [sandboxes, found] = await Promise.all([
      Promise.all(listedSandboxes.map((it) => this.#sandbox(it, before))),
      Promise.all(listedContainers.map((it) => this.#container(it, before))),
    ]);
    const containers = found.filter((it) => it !== undefined);
    for (const { id } of [...sandboxes, ...containers]) this.#owners.set(id, uid);
    await Promise.all(containers.map((it) => this.#readMessage(it, messages)));
    return {
      sandboxes: sandboxes.toSorted((a, b) => b.attempt - a.attempt || b.createdAtMs - a.createdAtMs),
      containers,
    };
  }

  /** Addresses do not change while a sandbox is ready. */
  async #sandbox(listed: Omit<SandboxStatus, "ips">, { sandboxes }: PodRuntime): Promise<SandboxStatus> {
    const known = sandboxes.find(({ id }) => id === listed.id);
    if (known && known.state === listed.state && known.ips.length > 0) return known;
    return (await this.#ports.runtime.podSandboxStatus(listed.id)) ?? { ...listed, ips: [] };
  }

  /** What has ended does not change any more. */
  async #container(
    { id, sandboxId }: { readonly id: string; readonly sandboxId: string },
    { containers }: PodRuntime,
  ): Promise<RuntimeContainer | undefined> {
    const known = containers.find((it) => it.id === id);
    if (known?.state === "exited") return known;
    const status = await this.#ports.runtime.containerStatus(id);
    return status && { ...status, sandboxId };
  }

  async #readMessage(container: RuntimeContainer, messages: Map<string, string>): Promise<void> {
    const { id, state, annotations, exitCode, reason, logPath } = container;
    if (state !== "exited" || messages.has(id)) return;
    const { files } = this.#ports;
    const message = await files.readTail(annotations[ANNOTATION_TERMINATION_MESSAGE] ?? "", MESSAGE_BYTES);
    const failed = exitCode !== 0 || reason === "OOMKilled";
    const fromLog = failed && annotations[ANNOTATION_TERMINATION_POLICY] === "FallbackToLogsOnError";
    const words = message === "" && fromLog ? lastWords(await files.readTail(logPath, LOG_BYTES)) : message;
    if (words !== "") messages.set(id, words);
  }
}
