/** Kernel parameters that a pod may set: those that stay within its own namespaces. Pure. */
import type { Pod } from "@pilothouse/api/types/core-v1";

/** Upstream's list for Linux 6.x. */
const SAFE: readonly string[] = [
  "kernel.shm_rmid_forced",
  "net.ipv4.ip_local_port_range",
  "net.ipv4.tcp_syncookies",
  "net.ipv4.ping_group_range",
  "net.ipv4.ip_unprivileged_port_start",
  "net.ipv4.ip_local_reserved_ports",
  "net.ipv4.tcp_keepalive_time",
  "net.ipv4.tcp_fin_timeout",
  "net.ipv4.tcp_keepalive_intvl",
  "net.ipv4.tcp_keepalive_probes",
  "net.ipv4.tcp_rmem",
  "net.ipv4.tcp_wmem",
];

const IPC = ["kernel.shm", "kernel.msg", "kernel.sem", "fs.mqueue."] as const;

/** Why one of the pod's sysctls is refused, in upstream's words; undefined when all are allowed. */
export function forbiddenSysctl(pod: Pod, allowedUnsafe: readonly string[]): string | undefined {
  for (const { name: written } of pod.spec.securityContext?.sysctls ?? []) {
    const name = written.replaceAll("/", ".");
    const quoted = JSON.stringify(name);
    const isAllowed = SAFE.includes(name) || allowedUnsafe.some((pattern) => matches(pattern, name));
    if (!isAllowed) return `forbidden sysctl: ${quoted} not allowlisted`;
    if (pod.spec.hostNetwork && name.startsWith("net."))
      return `forbidden sysctl: ${quoted} not allowed with host net enabled`;
    if (pod.spec.hostIPC && IPC.some((prefix) => name.startsWith(prefix)))
      return `forbidden sysctl: ${quoted} not allowed with host ipc enabled`;
  }
  return undefined;
}

function matches(pattern: string, name: string): boolean {
  return pattern.endsWith("*") ? name.startsWith(pattern.slice(0, -1)) : pattern === name;
}
