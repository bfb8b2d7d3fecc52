/** What a machine holds of pods and Services, as a shell script tells it in lines of `<what> <text>`. */

/** Containers, sandboxes, network namespaces, mounts, cgroups and addresses in the rules of the packet filter. */
export interface MachineTraces {
  /** Pods that containerd has a sandbox or a container of, by uid. */
  readonly pods: readonly string[];
  readonly sandboxes: number;
  readonly namespaces: number;
  /** Mount points of pods' folders. */
  readonly mounts: readonly string[];
  /** Folders of pods. */
  readonly folders: readonly string[];
  readonly cgroups: readonly string[];
  /** All addresses of the packet filter's tables. */
  readonly addresses: readonly string[];
}

const SOCKET = "/run/pilothouse/containerd/containerd.sock";

/** For `sh`. Says `end` last: without it the answer is not whole. */
export const TRACES_SCRIPT = `
ctr="ctr --address ${SOCKET} --namespace k8s.io"
for id in $($ctr containers list -q); do
  $ctr containers info $id | sed -n 's/.*"io.kubernetes.pod.uid": "\\([^"]*\\)".*/pod \\1/p; s/.*"io.cri-containerd.kind": "sandbox".*/sandbox 1/p'
done
find /run/pilothouse/containerd/state -path '*/netns/*' 2>/dev/null | sed 's/^/namespace /'
sed -n 's|^[^ ]* \\(/var/lib/pilothouse/kubelet/pods/[^ ]*\\) .*|mount \\1|p' /proc/self/mounts
find /var/lib/pilothouse/kubelet/pods -mindepth 1 -maxdepth 1 2>/dev/null | sed 's/^/folder /'
find /sys/fs/cgroup/*/pilothouse /sys/fs/cgroup/pilothouse -type d -name '*pod*' 2>/dev/null | sed 's/^/cgroup /'
nft list ruleset | grep -oE '[0-9]+\\.[0-9]+\\.[0-9]+\\.[0-9]+' | sort -u | sed 's/^/address /'
echo end
`;

/** Throws where the answer is not whole. */
export function tracesOf(text: string): MachineTraces {
  const lines = text.trim().split("\n");
  if (lines.at(-1) !== "end") throw new Error(`the machine's answer is not whole: ${text.slice(-200)}`);
  const all = (what: string): string[] => [
    ...new Set(lines.filter((line) => line.startsWith(`${what} `)).map((line) => line.slice(what.length + 1))),
  ];
  return {
    pods: all("pod"),
    sandboxes: lines.filter((line) => line === "sandbox 1").length,
    namespaces: all("namespace").length,
    mounts: all("mount"),
    folders: all("folder"),
    cgroups: all("cgroup"),
    addresses: all("address"),
  };
}
