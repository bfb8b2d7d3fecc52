/**
 * Where everything of one cluster lives: folders, addresses, ports, names. A pure function of the clone's folder and of what
 * was chosen at the first `up` (kept in `.cluster/cluster.json`).
 */
import { createHash } from "node:crypto";
import { join } from "node:path";

/** Chosen once, at the first `up`. */
export interface ClusterChoices {
  /** In a network namespace of its own: nothing is reachable from outside it, and nothing outside is touched. */
  readonly isolated: boolean;
  readonly nodeName: string;
  readonly nodeIp: string;
  readonly ports: ClusterPorts;
  /** What `down` gives back: kernel settings as they were before. */
  readonly sysctlsBefore: Readonly<Record<string, string>>;
}

export interface ClusterPorts {
  readonly apiserver: number;
  readonly kubelet: number;
  readonly etcdClient: number;
  readonly etcdPeer: number;
  readonly nats: number;
  readonly scheduler: number;
  readonly controllerManager: number;
  readonly proxy: number;
  readonly dns: number;
}

/** Kubernetes' own ports where there are any. */
export const DEFAULT_PORTS: ClusterPorts = {
  apiserver: 6443,
  kubelet: 10250,
  etcdClient: 2379,
  etcdPeer: 2380,
  nats: 4222,
  scheduler: 10259,
  controllerManager: 10257,
  proxy: 10256,
  dns: 10255,
};

/** Benchmark ranges of RFC 2544: nobody's network. */
export const POD_CIDR = "198.18.0.0/16";
export const SERVICE_CIDR = "198.19.0.0/16";
export const KUBERNETES_SERVICE_IP = "198.19.0.1";
export const DNS_SERVICE_IP = "198.19.0.10";
export const CLUSTER_DOMAIN = "cluster.local";
/** The node's address where the machine has none of its own (RFC 5737). */
export const FALLBACK_NODE_IP = "198.51.100.1";

export interface Layout {
  /** Eight hex digits that tell this cluster from every other on the machine. */
  readonly id: string;
  /** Where the code is: bundles come from `<clone>/dist`. */
  readonly clone: string;
  /** Everything of the cluster that is kept in files. */
  readonly root: string;
  readonly choicesFile: string;
  readonly processesFile: string;
  readonly pki: string;
  readonly run: string;
  readonly logs: string;
  readonly bin: string;
  readonly etcdData: string;
  readonly containerdRoot: string;
  readonly kubeletRoot: string;
  /** Directories of the volumes that claims of class `standard` get. */
  readonly volumes: string;
  readonly cniConf: string;
  readonly adminConf: string;
  /** `/run/pilothouse/<id>`: sockets (their paths must be short) and what must not survive a reboot. */
  readonly runtime: string;
  readonly containerdSocket: string;
  readonly containerdState: string;
  /** Name of the network namespace of an isolated cluster. */
  readonly netns: string;
  /** Bridge, nftables table and cgroup of the node. */
  readonly bridge: string;
  readonly nftTable: string;
  readonly cgroup: string;
}

/** `root` is where the cluster's data lies: `.cluster` in the clone, save for tests. */
export function layoutOf(clone: string, root = join(clone, ".cluster")): Layout {
  const id = createHash("sha256").update(root).digest("hex").slice(0, 8);
  const runtime = `/run/pilothouse/${id}`;
  return {
    id,
    clone,
    root,
    choicesFile: join(root, "cluster.json"),
    processesFile: join(root, "processes.json"),
    pki: join(root, "pki"),
    run: join(root, "run"),
    logs: join(root, "logs"),
    bin: join(root, "bin"),
    etcdData: join(root, "etcd"),
    containerdRoot: join(root, "containerd"),
    kubeletRoot: join(root, "kubelet"),
    volumes: join(root, "volumes"),
    cniConf: join(root, "cni"),
    adminConf: join(root, "admin.conf"),
    runtime,
    containerdSocket: `${runtime}/containerd.sock`,
    containerdState: `${runtime}/containerd`,
    netns: `ph-${id}`,
    bridge: `ph${id}`,
    nftTable: `pilothouse-${id}`,
    cgroup: `/pilothouse-${id}`,
  };
}
