/** What a container wants to be done right after its start, or before its end. */
import type { LifecycleHandler, Pod } from "@pilothouse/api/types/core-v1";
import { withDeadline } from "@pilothouse/clock";
import type { KubeletPorts } from "./kubelet-ports.ts";
import { runHandler, type Target } from "./prober.ts";

/** False when it failed, or took longer than it may. */
export async function runHook(
  ports: KubeletPorts,
  pod: Pod,
  target: Target,
  hook: LifecycleHandler,
  title: "PreStop" | "PostStart",
  timeoutMs: number,
): Promise<boolean> {
  const work = runHandler(ports, target, hook, timeoutMs);
  const late = { ok: false, detail: "it took too long" };
  const outcome = await withDeadline(ports.clock, timeoutMs, title, work).catch(() => late);
  // Not what it said: that may be a secret of the pod's, and events are read by more people.
  if (!outcome.ok) ports.events.pod(pod, "Warning", `Failed${title}Hook`, `${title}Hook failed`, target.container.name);
  return outcome.ok;
}
