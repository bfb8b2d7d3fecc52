/** What a container sees of the node's files: its volumes, its termination message, and the hosts file. */
import type { Container, Pod, VolumeMount } from "@pilothouse/api/types/core-v1";
import type { Mount, Runtime } from "@pilothouse/runtime";
import { hostsFile } from "../core/dns.ts";
import { ConfigUnavailable, expandSubPath } from "../core/environment.ts";
import { uidOf } from "../core/pod-runtime.ts";
import { isRefreshed } from "../core/volumes.ts";
import type { NodeFiles } from "./ports.ts";

export interface MountPorts {
  readonly files: NodeFiles;
  readonly runtime: Runtime;
}

export interface MountInput {
  readonly pod: Pod;
  readonly podIps: readonly string[];
  readonly container: Container;
  readonly attempt: number;
  /** On the host, by the volumes' names. */
  readonly volumePaths: ReadonlyMap<string, string>;
  readonly env: ReadonlyMap<string, string>;
  readonly clusterDomain: string;
}

/** Throws ConfigUnavailable for what cannot be mounted as it is wanted. */
export async function containerMounts(
  ports: MountPorts,
  input: MountInput,
): Promise<{ readonly mounts: readonly Mount[]; readonly terminationMessageFile: string }> {
  const { files } = ports;
  const { pod, podIps, container, attempt, clusterDomain } = input;
  const uid = uidOf(pod);
  const mounts: Mount[] = [];
  for (const index of (container.volumeMounts ?? []).keys()) mounts.push(await volumeMount(ports, input, index));
  const own = (containerPath: string, hostPath: string): Mount => {
    return { containerPath, hostPath, readOnly: false, propagation: "None" };
  };
  const terminationPath = container.terminationMessagePath ?? "/dev/termination-log";
  const messageName = `containers/${container.name}/${attempt}`;
  const terminationMessageFile = await files.writePodFile(uid, messageName, "", 0o666);
  mounts.push(own(terminationPath, terminationMessageFile));
  if (!mounts.some((it) => it.containerPath === "/etc/hosts")) {
    const { hosts } = await files.hostFiles();
    const text = hostsFile(pod, podIps, clusterDomain, hosts);
    mounts.push(own("/etc/hosts", await files.writePodFile(uid, "etc-hosts", text, 0o644)));
  }
  return { mounts, terminationMessageFile };
}

async function volumeMount(ports: MountPorts, input: MountInput, index: number): Promise<Mount> {
  const { pod, container, volumePaths, env } = input;
  const mount = container.volumeMounts?.[index] as VolumeMount;
  const { name, mountPath, readOnly, subPath, subPathExpr, mountPropagation } = mount;
  const volumePath = volumePaths.get(name) ?? "";
  const part = subPathExpr ? expandSubPath(subPathExpr, env) : (subPath ?? "");
  const where = { volume: name, container: container.name, index, volumePath, subPath: part };
  return {
    containerPath: mountPath.startsWith("/") ? mountPath : `/${mountPath}`,
    hostPath: part === "" ? volumePath : await ports.files.subPath(uidOf(pod), where),
    readOnly: isOnlyRead(pod, name) || (readOnly ?? false),
    ...(await recursively(ports.runtime, pod, mount)),
    propagation: (mountPropagation ?? "None") as Mount["propagation"],
  };
}

/** In what comes from the API the kubelet itself writes and deletes: nobody in the pod may put links in its way. */
function isOnlyRead(pod: Pod, name: string): boolean {
  const volume = pod.spec.volumes?.find((it) => it.name === name);
  return (
    volume !== undefined &&
    (isRefreshed(volume) || volume.image !== undefined || volume.persistentVolumeClaim?.readOnly === true)
  );
}

/** Whether what is mounted within the mount is read-only too: if it must be, the runtime must be able to; if it may, it may. */
async function recursively(
  runtime: Runtime,
  { spec }: Pod,
  { name, recursiveReadOnly = "Disabled" }: VolumeMount,
): Promise<Pick<Mount, "recursiveReadOnly">> {
  if (recursiveReadOnly === "Disabled") return {};
  const { handlers = [] } = await runtime.status();
  // Which of the runtime's handlers a class names is not known here: all of them must be able to.
  const relevant = spec.runtimeClassName ? handlers : handlers.filter((it) => it.name === "");
  const can = relevant.length > 0 && relevant.every((it) => it.recursiveReadOnlyMounts);
  if (can) return { recursiveReadOnly: true };
  if (recursiveReadOnly === "IfPossible") return {};
  throw new ConfigUnavailable(
    `volume ${JSON.stringify(name)} requested recursive read-only mode, but it is not supported by the runtime`,
  );
}
