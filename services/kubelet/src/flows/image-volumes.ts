/** Images as volumes: pulled as those of containers are, before the first container that mounts them, and shown read-only. */
import type { Container, Pod, Volume } from "@pilothouse/api/types/core-v1";
import type { Runtime } from "@pilothouse/runtime";
import type { TraceContext } from "@pilothouse/telemetry";
import type { Login } from "../core/pull-logins.ts";
import { uidOf } from "../core/pod-runtime.ts";
import { ensureImage, type ImagePorts } from "./images.ts";
import type { NodeFiles } from "./ports.ts";

export interface ImageVolumePorts extends ImagePorts {
  readonly files: NodeFiles;
}

/** Those that the container mounts: their paths by name. Throws ImageUnavailable. */
export async function mountImageVolumes(
  ports: ImageVolumePorts,
  pod: Pod,
  container: Container,
  logins: readonly Login[],
  parent: TraceContext | undefined,
): Promise<ReadonlyMap<string, string>> {
  const mounted = new Set((container.volumeMounts ?? []).map(({ name }) => name));
  const paths = new Map<string, string>();
  for (const volume of imageVolumesOf(pod)) {
    if (!mounted.has(volume.name)) continue;
    const { reference: image = "", pullPolicy } = volume.image;
    await ensureImage(ports, pod, { image, policy: pullPolicy }, logins, parent);
    const mounts = await ports.runtime.viewImage(image, viewOf(pod, volume.name));
    paths.set(volume.name, await ports.files.mountImage(uidOf(pod), volume.name, mounts));
  }
  return paths;
}

/** After they were unmounted. `folders` are the volumes that had one: all that is known of a pod that went while we were away. */
export async function endImageVolumes(runtime: Runtime, pod: Pod, folders: readonly string[]): Promise<void> {
  const isKnown = pod.spec.containers.length > 0;
  const names = isKnown ? imageVolumesOf(pod).map(({ name }) => name) : folders;
  for (const name of names) await runtime.endView(viewOf(pod, name));
}

type ImageVolume = Volume & { readonly image: NonNullable<Volume["image"]> };

function imageVolumesOf({ spec }: Pod): readonly ImageVolume[] {
  return (spec.volumes ?? []).filter((volume): volume is ImageVolume => volume.image !== undefined);
}

function viewOf(pod: Pod, name: string): string {
  return `pilothouse-volume-${uidOf(pod)}-${name}`;
}
