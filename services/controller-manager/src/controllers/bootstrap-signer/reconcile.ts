/**
 * The bootstrap signer: ConfigMap kube-public/cluster-info, which anybody may be let read, is signed by each bootstrap token that
 * is meant for it, so that a new machine that knows one sees that it is told the truth. Who writes the map's kubeconfig is not
 * its business: without a map it does nothing.
 */
import { done, followChanges, OwnWrites, requeueAfter } from "@pilothouse/controller";
import type { Outcome, ReconcileContext } from "@pilothouse/controller";
import { detachedJws } from "@pilothouse/crypto/detached-jws";
import { WorkQueue } from "@pilothouse/workqueue";
import type { ControllerPorts } from "../../controller-ports.ts";
import { startWorkers } from "../../start-workers.ts";
import { CLUSTER_INFO, nextEndMs, plan } from "./plan.ts";

const NAME = "bootstrap-signer";
const { namespace: NAMESPACE, name: MAP } = CLUSTER_INFO;
const KEY = `${NAMESPACE}/${MAP}`;

export function startBootstrapSignerController(ports: ControllerPorts): void {
  const { clock, telemetry, scope, informers, executor } = ports;
  const { bootstrapTokens, configMaps } = informers;
  const queue = new WorkQueue({ name: NAME, clock, tracer: telemetry.tracer });
  const ownWrites = new OwnWrites();
  followChanges(scope, configMaps, ({ object: { metadata }, trace }) => {
    if (metadata.namespace === NAMESPACE && metadata.name === MAP) queue.add(KEY, trace);
  });
  followChanges(scope, bootstrapTokens, ({ trace }) => void queue.add(KEY, trace));
  const reconcile = async (key: string, { trace, signal }: ReconcileContext): Promise<Outcome> => {
    const map = configMaps.get(NAMESPACE, MAP);
    if (!map) {
      ownWrites.forget(key);
      return done;
    }
    const tokens = bootstrapTokens.list();
    const signed = plan(map, tokens, clock.now(), detachedJws);
    if (signed) await executor.update(configMaps, signed, { key, trace, signal, ownWrites });
    const endsInMs = nextEndMs(tokens, clock.now());
    return endsInMs === undefined ? done : requeueAfter(endsInMs, "a token that signs ends");
  };
  startWorkers(ports, { name: NAME, queue, workers: 1, controller: { ownWrites, reconcile } });
}
