/** Before a pod goes to its node: its claims get the volumes that were chosen there, or say for which node one is wanted. */
import type { PersistentVolume, PersistentVolumeClaim } from "@pilothouse/api/types/core-v1";
import { resources, type ApiClient } from "@pilothouse/client";
import { sleep, type Clock } from "@pilothouse/clock";
import type { Informer } from "@pilothouse/informer";
import { claimed, isBound, isHeldBy, SELECTED_NODE } from "@pilothouse/kinds/core/volume-binding";
import type { TraceContext } from "@pilothouse/telemetry";
import type { VolumeChoices } from "../plugins/volume-binding/volume-binding.ts";

export interface BindVolumesPorts {
  readonly client: ApiClient;
  readonly clock: Clock;
  readonly claims: Informer<PersistentVolumeClaim>;
  readonly signal: AbortSignal;
}

/** As long as upstream waits for a volume to be made. */
const PATIENCE_MS = 10 * 60_000;
const LOOK_EVERY_MS = 250;

/**
 * Resolves once every claim has its volume.
 *
 * @throws what the API says when a volume was taken by another claim meanwhile; Error where none was made in ten minutes
 */
export async function bindVolumes(
  ports: BindVolumesPorts,
  nodeName: string,
  { bind, provision }: VolumeChoices,
  trace: TraceContext,
): Promise<void> {
  const { client } = ports;
  for (const { claim, volume } of bind) {
    if (isHeldBy(volume, claim)) continue;
    await client.update<PersistentVolume>(resources.persistentVolumes, claimed(volume, claim), { trace });
  }
  for (const { metadata } of provision) {
    const body = { metadata: { uid: metadata.uid, annotations: { [SELECTED_NODE]: nodeName } } };
    const patch = { type: "application/merge-patch+json", body } as const;
    const { namespace = "", name = "" } = metadata;
    await client.patch(resources.persistentVolumeClaims, namespace, name, patch, { trace });
  }
  const wanted = [...bind.map(({ claim }) => claim), ...provision];
  await untilBound(ports, wanted);
}

async function untilBound(
  { clock, claims, signal }: BindVolumesPorts,
  wanted: readonly PersistentVolumeClaim[],
): Promise<void> {
  const startedMs = clock.monotonicMs();
  const isDone = ({ metadata }: PersistentVolumeClaim): boolean => {
    const shown = claims.get(metadata.namespace ?? "", metadata.name ?? "");
    if (!shown || shown.metadata.uid !== metadata.uid) throw new Error(`claim ${metadata.name ?? ""} is gone`);
    return isBound(shown);
  };
  while (!signal.aborted && !wanted.every(isDone)) {
    if (clock.monotonicMs() - startedMs > PATIENCE_MS) throw new Error("timed out waiting for volumes to be bound");
    await sleep(clock, LOOK_EVERY_MS, signal);
  }
}
