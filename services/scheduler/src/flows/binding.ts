/** What follows a decision: the pod goes to its node, or its owner is told why it cannot. */
import type { Pod } from "@pilothouse/api/types/core-v1";
import type { ApiClient } from "@pilothouse/client";
import type { Clock } from "@pilothouse/clock";
import type { EventRecorder } from "@pilothouse/controller";
import { isStatus } from "@pilothouse/errors";
import { keyOf } from "@pilothouse/informer";
import type { Scope } from "@pilothouse/lifecycle";
import { span, type Span, type Telemetry } from "@pilothouse/telemetry";
import type { VolumeChoices } from "../plugins/volume-binding/volume-binding.ts";
import { bind, reportUnschedulable } from "./bind.ts";
import { bindVolumes } from "./bind-volumes.ts";
import type { Storage } from "./storage.ts";

export interface BindingPorts {
  readonly client: ApiClient;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  readonly scope: Scope;
  readonly events: EventRecorder;
  readonly storage: Storage;
}

/** Its volumes first, then the pod. False where it did not come to its end, and is to be decided anew. */
export async function bindToNode(
  { client, clock, telemetry, scope, events, storage }: BindingPorts,
  pod: Pod,
  nodeName: string,
  choices: VolumeChoices,
  current: Span,
): Promise<boolean> {
  const key = keyOf(pod);
  try {
    if (choices.bind.length + choices.provision.length > 0) {
      const volumePorts = { client, clock, claims: storage.claims, signal: scope.signal };
      await span(telemetry.tracer, "bind volumes", { parent: current.context }, (own) =>
        bindVolumes(volumePorts, nodeName, choices, own.context),
      );
    }
    await span(telemetry.tracer, "bind", { parent: current.context }, (own) =>
      bind(client, pod, nodeName, own.context),
    );
  } catch (error) {
    // Another uid, bound by somebody else, or gone: what the API says now decides, at the next look.
    current.fail(error);
    telemetry.log.warn("binding failed", { pod: key, node: nodeName, error, trace: current.context });
    return false;
  }
  const target = { apiVersion: "v1", kind: "Pod", object: pod };
  events.record(target, "Normal", "Scheduled", `Successfully assigned ${key} to ${nodeName}`, current.context);
  return true;
}

/** An event, and the pod's condition. */
export async function tellUnschedulable(
  { client, events, telemetry }: BindingPorts,
  pod: Pod,
  message: string,
  current: Span,
): Promise<void> {
  const target = { apiVersion: "v1", kind: "Pod", object: pod };
  events.record(target, "Warning", "FailedScheduling", message, current.context);
  try {
    await reportUnschedulable(client, pod, message, current.context);
  } catch (error) {
    if (!isStatus(error, "NotFound"))
      telemetry.log.warn("condition not written", { pod: keyOf(pod), error, trace: current.context });
  }
}
