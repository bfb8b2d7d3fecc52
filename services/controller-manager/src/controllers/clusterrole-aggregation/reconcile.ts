/**
 * The ClusterRole aggregation: roles with an aggregationRule have the rules of the roles that it selects.
 *
 * A role's labels say whose it is part of, so any change of any role may be about every role that gathers.
 */
import type { ClusterRole } from "@pilothouse/api/types/rbac-v1";
import { done, followChanges, OwnWrites } from "@pilothouse/controller";
import type { Outcome, ReconcileContext } from "@pilothouse/controller";
import { WorkQueue } from "@pilothouse/workqueue";
import type { ControllerPorts } from "../../controller-ports.ts";
import { startWorkers } from "../../start-workers.ts";
import { isAggregated, rulesWanted } from "./plan.ts";

export function startClusterRoleAggregationController(ports: ControllerPorts): void {
  const { clock, telemetry, scope, informers, executor } = ports;
  const { clusterRoles } = informers;
  const name = "clusterrole-aggregation";
  const queue = new WorkQueue({ name, clock, tracer: telemetry.tracer });
  const ownWrites = new OwnWrites();
  followChanges(scope, clusterRoles, ({ trace }) => {
    for (const role of clusterRoles.list()) if (isAggregated(role)) void queue.add(role.metadata.name ?? "", trace);
  });
  const reconcile = async (key: string, { trace, signal }: ReconcileContext): Promise<Outcome> => {
    const role = clusterRoles.get("", key);
    if (!role) {
      ownWrites.forget(key);
      return done;
    }
    const rules = rulesWanted(role, [...clusterRoles.list()]);
    if (rules) {
      const wanted: ClusterRole = { ...role, rules: [...rules] };
      await executor.update(clusterRoles, wanted, { key, trace, signal, ownWrites });
    }
    return done;
  };
  startWorkers(ports, { name, queue, workers: 1, controller: { ownWrites, reconcile } });
}
