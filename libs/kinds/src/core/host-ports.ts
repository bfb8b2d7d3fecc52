/** Ports that pods take of their node. Pure. */
import type { Pod } from "@pilothouse/api/types/core-v1";

export interface HostPort {
  readonly ip: string;
  readonly protocol: string;
  readonly port: number;
}

/** Host ports that a pod takes on its node; an empty hostIP is every address. */
export function hostPortsOf(pod: Pod): readonly HostPort[] {
  const containers = [
    ...pod.spec.containers,
    ...(pod.spec.initContainers ?? []).filter((one) => one.restartPolicy === "Always"),
  ];
  return containers.flatMap((container) =>
    (container.ports ?? [])
      .filter((port) => (port.hostPort ?? 0) > 0)
      .map((port) => ({
        ip: port.hostIP || "0.0.0.0",
        protocol: port.protocol ?? "TCP",
        port: port.hostPort as number,
      })),
  );
}

/** Two pods cannot have both on one node; 0.0.0.0 is every address. */
export function clashes(a: HostPort, b: HostPort): boolean {
  const sameAddress = a.ip === b.ip || a.ip === "0.0.0.0" || b.ip === "0.0.0.0";
  return sameAddress && a.protocol === b.protocol && a.port === b.port;
}
