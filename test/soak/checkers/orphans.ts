/** What a machine still holds of pods and Services that are no more. */
import type { Finding } from "../finding.ts";
import type { MachineTraces } from "../machines/traces.ts";

/** What the API says there is. */
export interface ClusterObjects {
  readonly pods: readonly { readonly uid: string; readonly node: string; readonly ip: string | undefined }[];
  /** Of Services. */
  readonly clusterIps: readonly string[];
}

/** Addresses that begin so are of pods or Services. */
const RANGES = ["198.18.", "198.19."];

export function judgeOrphans(machine: string, traces: MachineTraces, { pods, clusterIps }: ClusterObjects): Finding[] {
  const here = pods.filter(({ node }) => node === machine).map(({ uid }) => uid);
  const isOfNoPod = (text: string): boolean =>
    !here.some((uid) => text.includes(uid) || text.includes(uid.replaceAll("-", "_")));
  const addresses = new Set([...pods.map(({ ip }) => ip), ...clusterIps]);
  const isOfNobody = (address: string): boolean =>
    RANGES.some((range) => address.startsWith(range)) && !isOfNetwork(address) && !addresses.has(address);
  const orphans: readonly (readonly [string, readonly string[]])[] = [
    ["containers of pods", traces.pods.filter((uid) => !here.includes(uid))],
    ["mounts", traces.mounts.filter(isOfNoPod)],
    ["folders", traces.folders.filter(isOfNoPod)],
    ["cgroups", traces.cgroups.filter((cgroup) => PODS_CGROUP.test(cgroup) && isOfNoPod(cgroup))],
    ["addresses in the packet filter", traces.addresses.filter(isOfNobody)],
  ];
  const findings = orphans
    .filter(([, found]) => found.length > 0)
    .map(
      ([what, found]) => `${what} that are no more: ${found.slice(0, 5).join(", ")}${found.length > 5 ? ", …" : ""}`,
    );
  if (traces.namespaces > traces.sandboxes)
    findings.push(`${traces.namespaces} network namespaces for ${traces.sandboxes} sandboxes`);
  return findings.map((message) => ({ checker: "orphans", message: `${machine}: ${message}` }));
}

/** A cgroup that names a pod by its uid. */
const PODS_CGROUP = /pod[0-9a-f]{8}[-_]/;

/** The first addresses of a range are its networks' and gateways': they are of no pod. */
function isOfNetwork(address: string): boolean {
  return /\.[01]$/.test(address);
}
