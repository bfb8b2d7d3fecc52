/** Wakes the controllers of Services: for a Service itself, and for each pod that it selects or selected. */
import type { Pod } from "@pilothouse/api/types/core-v1";
import { followChanges } from "@pilothouse/controller";
import { keyOf } from "@pilothouse/informer";
import { sameValue } from "@pilothouse/kinds/field-errors";
import { labelSelectorOfMap, matchesLabels } from "@pilothouse/selectors";
import type { TraceContext } from "@pilothouse/telemetry";
import type { WorkQueue } from "@pilothouse/workqueue";
import type { ControllerPorts } from "./controller-ports.ts";
import { BY_NAMESPACE } from "./informers.ts";

export function followServicesAndPods({ scope, informers }: ControllerPorts, queue: WorkQueue): void {
  followChanges(scope, informers.services, ({ object, trace }) => void queue.add(keyOf(object), trace));
  followChanges(scope, informers.pods, (change) => {
    wake(change.object, change.trace);
    const moved =
      change.type === "updated" && !sameValue(change.previous.metadata.labels, change.object.metadata.labels);
    if (moved) wake(change.previous, change.trace);
  });
  function wake({ metadata }: Pod, trace: TraceContext | undefined): void {
    for (const service of informers.services.byIndex(BY_NAMESPACE, metadata.namespace ?? "")) {
      const { selector } = service.spec ?? {};
      if (selector && matchesLabels(labelSelectorOfMap(selector), metadata.labels)) queue.add(keyOf(service), trace);
    }
  }
}
