/** The processes of a one-node cluster: a pure function of its layout. The supervisor keeps them running. */
import { join } from "node:path";
import { TOOLBOX_IMAGE } from "../images.ts";
import { CLUSTER_DOMAIN, DNS_SERVICE_IP, POD_CIDR, SERVICE_CIDR, type ClusterChoices, type Layout } from "./layout.ts";

export interface ProcessSpec {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Changes when the program itself changed, so that a rebuilt service is restarted. */
  readonly version: string;
}

/** Names in the order in which they start; they stop in the opposite order. */
export const SERVICES = ["apiserver", "scheduler", "controller-manager", "kubelet", "proxy", "dns"] as const;
export type ServiceName = (typeof SERVICES)[number];

type Flags = Readonly<Record<string, string | number | true>>;

/** `versionOf` gives each bundle's content hash. */
export function processSpecs(
  layout: Layout,
  choices: ClusterChoices,
  node: string,
  versionOf: (service: string) => string,
): readonly ProcessSpec[] {
  const { ports } = choices;
  const pki = (file: string): string => join(layout.pki, file);
  const kubeconfig = (user: string): Flags => ({ kubeconfig: pki(`${user}.conf`) });
  const bus: Flags = {
    "nats-servers": `127.0.0.1:${ports.nats}`,
    "nats-ca-file": pki("backbone-ca.crt"),
    "nats-cert-file": pki("backbone-client.crt"),
    "nats-key-file": pki("backbone-client.key"),
  };
  const etcd: Flags = {
    "etcd-servers": `https://127.0.0.1:${ports.etcdClient}`,
    "etcd-ca-file": pki("backbone-ca.crt"),
    "etcd-cert-file": pki("backbone-client.crt"),
    "etcd-key-file": pki("backbone-client.key"),
  };
  const service = (name: ServiceName, flags: Flags): ProcessSpec => ({
    name,
    command: node,
    args: [...nodeFlags(name), join(layout.clone, "dist", name, "main.mjs"), ...commandLine(flags)],
    env: nodeEnvironment(join(layout.root, "cache")),
    version: versionOf(name),
  });
  return [
    etcdSpec(layout, choices),
    { name: "nats", command: "nats-server", args: ["--config", join(layout.root, "nats.conf")], env: {}, version: "1" },
    {
      name: "containerd",
      command: "containerd",
      args: ["--config", join(layout.root, "containerd.toml")],
      env: {},
      version: "1",
    },
    service("apiserver", {
      name: choices.nodeName,
      "bind-address": "0.0.0.0",
      "secure-port": ports.apiserver,
      "advertise-address": choices.nodeIp,
      "service-cluster-ip-range": SERVICE_CIDR,
      "tls-cert-file": pki("apiserver.crt"),
      "tls-private-key-file": pki("apiserver.key"),
      "client-ca-file": pki("cluster-ca.crt"),
      "service-account-key-file": pki("service-account.key"),
      "encryption-provider-config": pki("encryption.yaml"),
      "kubelet-client-certificate": pki("apiserver-kubelet-client.crt"),
      "kubelet-client-key": pki("apiserver-kubelet-client.key"),
      "kubelet-certificate-authority": pki("cluster-ca.crt"),
      ...etcd,
      ...bus,
    }),
    service("scheduler", { ...kubeconfig("scheduler"), "health-port": ports.scheduler, ...etcd, ...bus }),
    service("controller-manager", {
      ...kubeconfig("controller-manager"),
      "health-port": ports.controllerManager,
      "cluster-cidr": POD_CIDR,
      "local-volume-image": TOOLBOX_IMAGE,
      "local-volume-dir": layout.volumes,
      "root-ca-file": pki("cluster-ca.crt"),
      "service-account-private-key-file": pki("service-account.key"),
      "cluster-signing-cert-file": pki("cluster-ca.crt"),
      "cluster-signing-key-file": pki("cluster-ca.key"),
      ...etcd,
      ...bus,
    }),
    service("kubelet", {
      ...kubeconfig("kubelet"),
      "node-name": choices.nodeName,
      "node-ip": choices.nodeIp,
      port: ports.kubelet,
      "root-dir": layout.kubeletRoot,
      "pod-logs-dir": join(layout.kubeletRoot, "logs"),
      "container-logs-dir": join(layout.kubeletRoot, "containers"),
      "container-runtime-endpoint": `unix://${layout.containerdSocket}`,
      "cgroup-root": layout.cgroup,
      "cni-conf-dir": layout.cniConf,
      "bridge-name": layout.bridge,
      "cluster-dns": DNS_SERVICE_IP,
      "cluster-domain": CLUSTER_DOMAIN,
      "tls-cert-file": pki("kubelet-server.crt"),
      "tls-private-key-file": pki("kubelet-server.key"),
      "client-ca-file": pki("cluster-ca.crt"),
      ...bus,
    }),
    service("proxy", {
      ...kubeconfig("proxy"),
      "node-name": choices.nodeName,
      "health-port": ports.proxy,
      "table-name": layout.nftTable,
      "cluster-cidr": POD_CIDR,
      "service-cluster-ip-range": SERVICE_CIDR,
      "bridge-name": layout.bridge,
      "cluster-dns": DNS_SERVICE_IP,
      ...bus,
    }),
    service("dns", {
      ...kubeconfig("dns"),
      "health-port": ports.dns,
      "bind-address": DNS_SERVICE_IP,
      "cluster-domain": CLUSTER_DOMAIN,
      "cluster-cidr": POD_CIDR,
      "service-cluster-ip-range": SERVICE_CIDR,
      ...bus,
    }),
  ];
}

/** Megabytes of V8's young generation: small keeps idle processes small; the apiserver's requests are worth more. */
const SEMI_SPACE_MB = { apiserver: 16, others: 2 } as const;

/** No source maps: loading them costs 30 to 65 MB per process. Bundles keep their lines and names, so that stacks can be read. */
export function nodeFlags(service: ServiceName): readonly string[] {
  const semiSpaceMb = service === "apiserver" ? SEMI_SPACE_MB.apiserver : SEMI_SPACE_MB.others;
  return ["--disable-warning=ExperimentalWarning", `--max-semi-space-size=${semiSpaceMb}`];
}

/**
 * glibc gives large buffers back to the system only until it has seen a larger one freed: from there on they share its heap,
 * and what is freed between those that stay is kept. A fixed threshold, a quarter of a slab of the watch cache, stops that.
 */
export function nodeEnvironment(compileCacheDir: string): Readonly<Record<string, string>> {
  return { NODE_COMPILE_CACHE: compileCacheDir, MALLOC_MMAP_THRESHOLD_: "262144" };
}

function etcdSpec(layout: Layout, choices: ClusterChoices): ProcessSpec {
  const client = `https://127.0.0.1:${choices.ports.etcdClient}`;
  const peer = `https://127.0.0.1:${choices.ports.etcdPeer}`;
  const tls = (prefix: string): Flags => ({
    [`${prefix}cert-file`]: join(layout.pki, "etcd.crt"),
    [`${prefix}key-file`]: join(layout.pki, "etcd.key"),
    [`${prefix}trusted-ca-file`]: join(layout.pki, "backbone-ca.crt"),
    [`${prefix}client-cert-auth`]: true,
  });
  const flags: Flags = {
    name: "pilothouse",
    "data-dir": layout.etcdData,
    logger: "zap",
    "log-outputs": "stderr",
    "listen-client-urls": client,
    "advertise-client-urls": client,
    "listen-peer-urls": peer,
    "initial-advertise-peer-urls": peer,
    "initial-cluster": `pilothouse=${peer}`,
    "quota-backend-bytes": 4 * 2 ** 30,
    ...tls(""),
    ...tls("peer-"),
  };
  // Debian's etcd refuses to start on a machine type it does not know unless told so.
  const env: Record<string, string> = process.arch === "arm64" ? { ETCD_UNSUPPORTED_ARCH: "arm64" } : {};
  return { name: "etcd", command: "etcd", args: commandLine(flags), env, version: "1" };
}

function commandLine(flags: Flags): string[] {
  return Object.entries(flags).map(([name, value]) => (value === true ? `--${name}` : `--${name}=${value}`));
}

export function natsConfig(layout: Layout, choices: ClusterChoices): string {
  return `# Written by \`npm run up\`. Core NATS only: news between processes, nothing is stored.
server_name: pilothouse
listen: "127.0.0.1:${choices.ports.nats}"
max_payload: 4194304
max_pending: 268435456
tls {
  cert_file: "${join(layout.pki, "nats.crt")}"
  key_file: "${join(layout.pki, "nats.key")}"
  ca_file: "${join(layout.pki, "backbone-ca.crt")}"
  verify: true
}
`;
}
