/**
 * The messages we exchange with containerd, as text: only the fields we use, with upstream's numbers.
 *
 * Text in a module and not a .proto file, because the services are bundled and must find it beside nothing. `AnyValue` stands
 * for google.protobuf.Any, which it equals on the wire.
 */
export const criProto = `
syntax = "proto3";
package runtime.v1;

service RuntimeService {
  rpc Version(VersionRequest) returns (VersionResponse);
  rpc RunPodSandbox(RunPodSandboxRequest) returns (RunPodSandboxResponse);
  rpc StopPodSandbox(SandboxId) returns (Nothing);
  rpc RemovePodSandbox(SandboxId) returns (Nothing);
  rpc PodSandboxStatus(SandboxId) returns (PodSandboxStatusResponse);
  rpc ListPodSandbox(ListPodSandboxRequest) returns (ListPodSandboxResponse);
  rpc CreateContainer(CreateContainerRequest) returns (ContainerId);
  rpc StartContainer(ContainerId) returns (Nothing);
  rpc StopContainer(StopContainerRequest) returns (Nothing);
  rpc RemoveContainer(ContainerId) returns (Nothing);
  rpc ListContainers(ListContainersRequest) returns (ListContainersResponse);
  rpc ContainerStatus(ContainerId) returns (ContainerStatusResponse);
  rpc UpdateContainerResources(UpdateContainerResourcesRequest) returns (Nothing);
  rpc ListContainerStats(ListContainerStatsRequest) returns (ListContainerStatsResponse);
  rpc ReopenContainerLog(ContainerId) returns (Nothing);
  rpc ExecSync(ExecSyncRequest) returns (ExecSyncResponse);
  rpc Exec(ExecRequest) returns (StreamResponse);
  rpc Attach(AttachRequest) returns (StreamResponse);
  rpc PortForward(PortForwardRequest) returns (StreamResponse);
  rpc Status(Nothing) returns (StatusResponse);
}

service ImageService {
  rpc ListImages(Nothing) returns (ListImagesResponse);
  rpc ImageStatus(ImageStatusRequest) returns (ImageStatusResponse);
  rpc PullImage(PullImageRequest) returns (PullImageResponse);
  rpc RemoveImage(ImageRequest) returns (Nothing);
  rpc ImageFsInfo(Nothing) returns (ImageFsInfoResponse);
}

message Nothing {}
message SandboxId { string pod_sandbox_id = 1; }
message ContainerId { string container_id = 1; }
message Int64Value { int64 value = 1; }

message VersionRequest { string version = 1; }
message VersionResponse { string version = 1; string runtime_name = 2; string runtime_version = 3; string runtime_api_version = 4; }
message RuntimeCondition { string type = 1; bool status = 2; string reason = 3; string message = 4; }
message RuntimeStatus { repeated RuntimeCondition conditions = 1; }
message RuntimeHandlerFeatures { bool recursive_read_only_mounts = 1; bool user_namespaces = 2; }
message RuntimeHandler { string name = 1; RuntimeHandlerFeatures features = 2; }
message RuntimeFeatures { bool supplemental_groups_policy = 1; }
message StatusResponse { RuntimeStatus status = 1; repeated RuntimeHandler runtime_handlers = 3; RuntimeFeatures features = 4; }

message DNSConfig { repeated string servers = 1; repeated string searches = 2; repeated string options = 3; }
enum Protocol { TCP = 0; UDP = 1; SCTP = 2; }
message PortMapping { Protocol protocol = 1; int32 container_port = 2; int32 host_port = 3; string host_ip = 4; }
enum NamespaceMode { POD = 0; CONTAINER = 1; NODE = 2; TARGET = 3; }
message NamespaceOption { NamespaceMode network = 1; NamespaceMode pid = 2; NamespaceMode ipc = 3; string target_id = 4; }
message SecurityProfile {
  enum ProfileType { RuntimeDefault = 0; Unconfined = 1; Localhost = 2; }
  ProfileType profile_type = 1;
  string localhost_ref = 2;
}
message LinuxSandboxSecurityContext {
  NamespaceOption namespace_options = 1;
  Int64Value run_as_user = 3;
  Int64Value run_as_group = 8;
  repeated int64 supplemental_groups = 5;
  bool privileged = 6;
  SecurityProfile seccomp = 9;
}
message LinuxPodSandboxConfig {
  string cgroup_parent = 1;
  LinuxSandboxSecurityContext security_context = 2;
  map<string, string> sysctls = 3;
}
message PodSandboxMetadata { string name = 1; string uid = 2; string namespace = 3; uint32 attempt = 4; }
message PodSandboxConfig {
  PodSandboxMetadata metadata = 1;
  string hostname = 2;
  string log_directory = 3;
  DNSConfig dns_config = 4;
  repeated PortMapping port_mappings = 5;
  map<string, string> labels = 6;
  map<string, string> annotations = 7;
  LinuxPodSandboxConfig linux = 8;
}
message RunPodSandboxRequest { PodSandboxConfig config = 1; string runtime_handler = 2; }
message RunPodSandboxResponse { string pod_sandbox_id = 1; }
message PodIP { string ip = 1; }
message PodSandboxNetworkStatus { string ip = 1; repeated PodIP additional_ips = 2; }
enum PodSandboxState { SANDBOX_READY = 0; SANDBOX_NOTREADY = 1; }
message PodSandboxStatus {
  string id = 1;
  PodSandboxMetadata metadata = 2;
  PodSandboxState state = 3;
  int64 created_at = 4;
  PodSandboxNetworkStatus network = 5;
  map<string, string> labels = 7;
  map<string, string> annotations = 8;
}
message PodSandboxStatusResponse { PodSandboxStatus status = 1; }
message PodSandboxFilter { map<string, string> label_selector = 3; }
message ListPodSandboxRequest { PodSandboxFilter filter = 1; }
message PodSandbox {
  string id = 1;
  PodSandboxMetadata metadata = 2;
  PodSandboxState state = 3;
  int64 created_at = 4;
  map<string, string> labels = 5;
  map<string, string> annotations = 6;
}
message ListPodSandboxResponse { repeated PodSandbox items = 1; }

message ImageSpec { string image = 1; }
message KeyValue { string key = 1; string value = 2; }
enum MountPropagation { PROPAGATION_PRIVATE = 0; PROPAGATION_HOST_TO_CONTAINER = 1; PROPAGATION_BIDIRECTIONAL = 2; }
message Mount { string container_path = 1; string host_path = 2; bool readonly = 3; MountPropagation propagation = 5; bool recursive_read_only = 8; }
message LinuxContainerResources {
  int64 cpu_period = 1;
  int64 cpu_quota = 2;
  int64 cpu_shares = 3;
  int64 memory_limit_in_bytes = 4;
  int64 oom_score_adj = 5;
}
enum SupplementalGroupsPolicy { Merge = 0; Strict = 1; }
message Capability { repeated string add_capabilities = 1; repeated string drop_capabilities = 2; }
message LinuxContainerSecurityContext {
  Capability capabilities = 1;
  bool privileged = 2;
  NamespaceOption namespace_options = 3;
  Int64Value run_as_user = 5;
  bool readonly_rootfs = 7;
  repeated int64 supplemental_groups = 8;
  bool no_new_privs = 11;
  Int64Value run_as_group = 12;
  repeated string masked_paths = 13;
  repeated string readonly_paths = 14;
  SecurityProfile seccomp = 15;
  SecurityProfile apparmor = 16;
  SupplementalGroupsPolicy supplemental_groups_policy = 17;
}
message LinuxContainerConfig { LinuxContainerResources resources = 1; LinuxContainerSecurityContext security_context = 2; }
message ContainerMetadata { string name = 1; uint32 attempt = 2; }
message ContainerConfig {
  ContainerMetadata metadata = 1;
  ImageSpec image = 2;
  repeated string command = 3;
  repeated string args = 4;
  string working_dir = 5;
  repeated KeyValue envs = 6;
  repeated Mount mounts = 7;
  map<string, string> labels = 9;
  map<string, string> annotations = 10;
  string log_path = 11;
  bool stdin = 12;
  bool stdin_once = 13;
  bool tty = 14;
  LinuxContainerConfig linux = 15;
}
message CreateContainerRequest { string pod_sandbox_id = 1; ContainerConfig config = 2; PodSandboxConfig sandbox_config = 3; }
message StopContainerRequest { string container_id = 1; int64 timeout = 2; }
enum ContainerState { CONTAINER_CREATED = 0; CONTAINER_RUNNING = 1; CONTAINER_EXITED = 2; CONTAINER_UNKNOWN = 3; }
message ContainerFilter { map<string, string> label_selector = 4; }
message ListContainersRequest { ContainerFilter filter = 1; }
message Container {
  string id = 1;
  string pod_sandbox_id = 2;
  ContainerMetadata metadata = 3;
  ImageSpec image = 4;
  string image_ref = 5;
  ContainerState state = 6;
  int64 created_at = 7;
  map<string, string> labels = 8;
  map<string, string> annotations = 9;
}
message ListContainersResponse { repeated Container containers = 1; }
message ContainerStatus {
  string id = 1;
  ContainerMetadata metadata = 2;
  ContainerState state = 3;
  int64 created_at = 4;
  int64 started_at = 5;
  int64 finished_at = 6;
  int32 exit_code = 7;
  ImageSpec image = 8;
  string image_ref = 9;
  string reason = 10;
  string message = 11;
  map<string, string> labels = 12;
  map<string, string> annotations = 13;
  string log_path = 15;
  ContainerUser user = 18;
}
message LinuxContainerUser { int64 uid = 1; int64 gid = 2; repeated int64 supplemental_groups = 3; }
message ContainerUser { LinuxContainerUser linux = 1; }
message ContainerStatusResponse { ContainerStatus status = 1; }
message UpdateContainerResourcesRequest { string container_id = 1; LinuxContainerResources linux = 2; }
message UInt64Value { uint64 value = 1; }
message FilesystemIdentifier { string mountpoint = 1; }
message FilesystemUsage { int64 timestamp = 1; FilesystemIdentifier fs_id = 2; UInt64Value used_bytes = 3; UInt64Value inodes_used = 4; }
message CpuUsage { int64 timestamp = 1; UInt64Value usage_core_nano_seconds = 2; }
message MemoryUsage { int64 timestamp = 1; UInt64Value working_set_bytes = 2; }
message ContainerAttributes { string id = 1; ContainerMetadata metadata = 2; map<string, string> labels = 3; }
message ContainerStats {
  ContainerAttributes attributes = 1;
  CpuUsage cpu = 2;
  MemoryUsage memory = 3;
  FilesystemUsage writable_layer = 4;
}
message ContainerStatsFilter { string id = 1; map<string, string> label_selector = 3; }
message ListContainerStatsRequest { ContainerStatsFilter filter = 1; }
message ListContainerStatsResponse { repeated ContainerStats stats = 1; }
message ImageFsInfoResponse { repeated FilesystemUsage image_filesystems = 1; }
message ExecSyncRequest { string container_id = 1; repeated string cmd = 2; int64 timeout = 3; }
message ExecSyncResponse { bytes stdout = 1; bytes stderr = 2; int32 exit_code = 3; }
message ExecRequest { string container_id = 1; repeated string cmd = 2; bool tty = 3; bool stdin = 4; bool stdout = 5; bool stderr = 6; }
message AttachRequest { string container_id = 1; bool stdin = 2; bool tty = 3; bool stdout = 4; bool stderr = 5; }
message PortForwardRequest { string pod_sandbox_id = 1; repeated int32 port = 2; }
message StreamResponse { string url = 1; }

message Image {
  string id = 1;
  repeated string repo_tags = 2;
  repeated string repo_digests = 3;
  uint64 size = 4;
  Int64Value uid = 5;
  string username = 6;
}
message ListImagesResponse { repeated Image images = 1; }
message ImageRequest { ImageSpec image = 1; }
message ImageStatusRequest { ImageSpec image = 1; bool verbose = 2; }
message ImageStatusResponse { Image image = 1; map<string, string> info = 2; }
message AuthConfig { string username = 1; string password = 2; }
message PullImageRequest { ImageSpec image = 1; AuthConfig auth = 2; }
message PullImageResponse { string image_ref = 1; }
`;

/** containerd's own services: its events, and its tasks for commands with open streams. */
export const containerdProtos = [
  `
syntax = "proto3";
package containerd.services.events.v1;

service Events {
  rpc Publish(PublishRequest) returns (Nothing);
  rpc Subscribe(SubscribeRequest) returns (stream Envelope);
}
message Nothing {}
message AnyValue { string type_url = 1; bytes value = 2; }
message PublishRequest { string topic = 1; AnyValue event = 2; }
message SubscribeRequest { repeated string filters = 1; }
message Envelope { string namespace = 2; string topic = 3; AnyValue event = 4; }
`,
  // What the events hold: each of /tasks/start, /tasks/exit, /tasks/oom, /tasks/delete begins with the container's id.
  `
syntax = "proto3";
package containerd.events;

message TaskExit { string container_id = 1; string id = 2; }
`,
  `
syntax = "proto3";
package containerd.services.containers.v1;

service Containers { rpc Get(GetContainerRequest) returns (GetContainerResponse); }
message AnyValue { string type_url = 1; bytes value = 2; }
message GetContainerRequest { string id = 1; }
message GetContainerResponse { Container container = 1; }
message Container { string id = 1; AnyValue spec = 5; }
`,
  `
syntax = "proto3";
package containerd.services.tasks.v1;

service Tasks {
  rpc Exec(ExecProcessRequest) returns (Nothing);
  rpc Start(ProcessId) returns (StartResponse);
  rpc Wait(ProcessId) returns (WaitResponse);
  rpc Kill(KillRequest) returns (Nothing);
  rpc CloseIO(CloseIORequest) returns (Nothing);
  rpc ResizePty(ResizePtyRequest) returns (Nothing);
  rpc DeleteProcess(ProcessId) returns (Nothing);
}
message Nothing {}
message AnyValue { string type_url = 1; bytes value = 2; }
message ProcessId { string container_id = 1; string exec_id = 2; }
message StartResponse { uint32 pid = 1; }
message WaitResponse { uint32 exit_status = 1; }
message KillRequest { string container_id = 1; string exec_id = 2; uint32 signal = 3; bool all = 4; }
message CloseIORequest { string container_id = 1; string exec_id = 2; bool stdin = 3; }
message ResizePtyRequest { string container_id = 1; string exec_id = 2; uint32 width = 3; uint32 height = 4; }
message ExecProcessRequest {
  string container_id = 1;
  string stdin = 2;
  string stdout = 3;
  string stderr = 4;
  bool terminal = 5;
  AnyValue spec = 6;
  string exec_id = 7;
}
`,
  `
syntax = "proto3";
package containerd.services.snapshots.v1;

service Snapshots {
  rpc View(ViewRequest) returns (MountsResponse);
  rpc Mounts(SnapshotRequest) returns (MountsResponse);
  rpc Remove(SnapshotRequest) returns (Nothing);
}
message Nothing {}
message ViewRequest { string snapshotter = 1; string key = 2; string parent = 3; map<string, string> labels = 4; }
message SnapshotRequest { string snapshotter = 1; string key = 2; }
message MountsResponse { repeated FsMount mounts = 1; }
message FsMount { string type = 1; string source = 2; repeated string options = 4; }
`,
] as const;
