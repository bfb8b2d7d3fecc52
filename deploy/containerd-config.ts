/** The configuration of a containerd of our own: nothing of it lies where the machine's own containerd keeps its things. */
export interface ContainerdPaths {
  /** Images and containers; on a real file system, not an overlay. */
  readonly root: string;
  /** What lives until the machine restarts; also network namespaces of pods. */
  readonly state: string;
  readonly socket: string;
  readonly cniConfDir: string;
  readonly cniBinDir: string;
  readonly sandboxImage: string;
}

/** `config.toml` for containerd 1.6. */
export function containerdConfig(paths: ContainerdPaths): string {
  const cri = `plugins."io.containerd.grpc.v1.cri"`;
  return `version = 2
root = ${quoted(paths.root)}
state = ${quoted(paths.state)}
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs", "io.containerd.tracing.processor.v1.otlp", "io.containerd.internal.v1.tracing",
]

[grpc]
address = ${quoted(paths.socket)}

[ttrpc]
address = ${quoted(`${paths.socket}.ttrpc`)}

[plugins."io.containerd.internal.v1.opt"]
path = ${quoted(`${paths.root}/opt`)}

[${cri}]
sandbox_image = ${quoted(paths.sandboxImage)}
netns_mounts_under_state_dir = true
stream_server_address = "127.0.0.1"
stream_server_port = "0"
restrict_oom_score_adj = true
max_container_log_line_size = 16384

# Mirrors and authorities of registries, where the machine has any.
[${cri}.registry]
config_path = "/etc/containerd/certs.d"

[${cri}.cni]
bin_dir = ${quoted(paths.cniBinDir)}
conf_dir = ${quoted(paths.cniConfDir)}

[${cri}.containerd]
snapshotter = "overlayfs"
default_runtime_name = "runc"

[${cri}.containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[${cri}.containerd.runtimes.runc.options]
SystemdCgroup = false
`;
}

function quoted(text: string): string {
  return JSON.stringify(text);
}
