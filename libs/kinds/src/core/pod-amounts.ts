/** What a pod asks for as a whole, exact: upstream's PodRequests and PodLimits. Pure. */
import type { Container, PodSpec } from "@pilothouse/api/types/core-v1";
import type { Quantity } from "@pilothouse/quantity";
import { addAll, amountsOf, raiseTo } from "./amounts.ts";

export type Asked = "requests" | "limits";

/**
 * The larger of all containers with their sidecars, and of each init container beside the sidecars that started before it;
 * what the pod says as a whole (`spec.resources`) goes before what its containers say. Without overhead.
 */
export function podAmounts(spec: PodSpec, asked: Asked): Map<string, Quantity> {
  const total = new Map<string, Quantity>();
  for (const container of spec.containers) addAll(total, amountsIn(container, asked));
  const sidecars = new Map<string, Quantity>();
  const peak = new Map<string, Quantity>();
  for (const container of spec.initContainers ?? []) {
    const amounts = amountsIn(container, asked);
    if (container.restartPolicy === "Always") {
      addAll(total, amounts);
      addAll(sidecars, amounts);
      raiseTo(peak, sidecars);
    } else {
      const together = new Map(amounts);
      addAll(together, sidecars);
      raiseTo(peak, together);
    }
  }
  raiseTo(total, peak);
  for (const [name, amount] of amountsOf(spec.resources?.[asked])) if (isPodLevel(name)) total.set(name, amount);
  return total;
}

/** The same with what the pod's sandbox costs; of limits only those that there are. */
export function podAmountsWithOverhead(spec: PodSpec, asked: Asked): Map<string, Quantity> {
  const total = podAmounts(spec, asked);
  const overhead = amountsOf(spec.overhead);
  if (asked === "requests") addAll(total, overhead);
  else addAll(total, new Map([...overhead].filter(([name]) => total.get(name)?.isZero() === false)));
  return total;
}

/** Resources that a pod may ask for as a whole. */
export function isPodLevel(name: string): boolean {
  return name === "cpu" || name === "memory" || name.startsWith("hugepages-");
}

function amountsIn({ resources }: Container, asked: Asked): Map<string, Quantity> {
  return amountsOf(resources?.[asked]);
}
