/** Whether a container that ended runs again: the pod's restart policy, the container's own, and its rules. Pure. */
import type { Container, Pod } from "@pilothouse/api/types/core-v1";

export type RestartPolicy = "Always" | "OnFailure" | "Never";

/** An init container that stays: it counts as done once it has started. */
export function isSidecar(container: Container): boolean {
  return container.restartPolicy === "Always";
}

/** An ordinary init container of a pod that always restarts is tried again until it succeeds, and no longer. */
export function restartPolicyOf(pod: Pod, container: Container): RestartPolicy {
  const own = container.restartPolicy as RestartPolicy | undefined;
  const shared = (pod.spec.restartPolicy ?? "Always") as RestartPolicy;
  if (own !== undefined) return own;
  const isInit = (pod.spec.initContainers ?? []).some(({ name }) => name === container.name);
  return isInit && shared === "Always" ? "OnFailure" : shared;
}

/** The first rule that fits the exit code decides; without one the policy does. Upstream's ShouldContainerBeRestarted. */
export function runsAgain(pod: Pod, container: Container, exitCode: number): boolean {
  const isListed = (values: readonly number[] = []): boolean => values.includes(exitCode);
  const rule = (container.restartPolicyRules ?? []).find(({ exitCodes }) =>
    exitCodes?.operator === "NotIn" ? !isListed(exitCodes.values) : isListed(exitCodes?.values),
  );
  if (rule?.action === "Restart") return true;
  switch (restartPolicyOf(pod, container)) {
    case "Always":
      return true;
    case "OnFailure":
      return exitCode !== 0;
    case "Never":
      return false;
  }
}
