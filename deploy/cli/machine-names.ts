/** Which machine an address is of, as far as the cluster says so. Pure. */
import type * as coreV1 from "@pilothouse/api/types/core-v1";
import type { ClusterSeen } from "./cluster-seen.ts";

export interface MachineNames {
  /** Of a URL's host: the machine's name, or `host:port` where nobody knows it. */
  of(url: string): string;
}

/** An etcd member's own name goes by its whole address; a node's by its host alone, if no other node has it. */
export function machineNames({ etcd, nodes }: Pick<ClusterSeen, "etcd" | "nodes">): MachineNames {
  const members = etcd.flatMap(({ members: list }) => ("value" in list ? list.value : []));
  const byHostAndPort = new Map(
    members.flatMap(({ name, clientUrls }) => clientUrls.map((url) => [new URL(url).host, name])),
  );
  const hosts = Map.groupBy(
    [
      ...("value" in nodes ? nodes.value : []).map(
        (node) => [addressOf(node) ?? "", node.metadata?.name ?? ""] as const,
      ),
      ...members.flatMap(({ name, clientUrls }) => clientUrls.map((url) => [new URL(url).hostname, name] as const)),
    ],
    ([host]) => host,
  );
  return {
    of(url) {
      const { host, hostname } = new URL(url);
      const candidates = new Set((hosts.get(hostname) ?? []).map(([, name]) => name));
      return byHostAndPort.get(host) ?? (candidates.size === 1 ? ([...candidates][0] as string) : host);
    },
  };
}

export function addressOf(node: coreV1.Node): string | undefined {
  return node.status?.addresses?.find(({ type }) => type === "InternalIP")?.address;
}
