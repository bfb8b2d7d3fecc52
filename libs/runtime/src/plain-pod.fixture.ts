/** The plainest sandbox and container there are, for tests and benchmarks of a runtime. */
import type { ContainerConfig, SandboxConfig } from "./index.ts";

const namespaces = { network: "POD", pid: "CONTAINER", ipc: "POD" } as const;

/** `directory` holds its logs; `cgroupParent` is the cgroup that it is put under. */
export function plainSandbox(name: string, directory: string, cgroupParent: string): SandboxConfig {
  return {
    name,
    namespace: "default",
    uid: `uid-${name}`,
    attempt: 0,
    hostname: name,
    logDirectory: `${directory}/${name}`,
    portMappings: [],
    labels: { pod: name },
    annotations: {},
    cgroupParent,
    sysctls: {},
    namespaces,
    security: { supplementalGroups: [], privileged: false },
  };
}

/** Sleeps until it is stopped. */
export function plainContainer(name: string, imageRef: string, pod: string): ContainerConfig {
  return {
    name,
    attempt: 0,
    imageRef,
    command: ["sleep", "1000"],
    args: [],
    workingDir: "",
    env: [],
    mounts: [],
    labels: { pod },
    annotations: { "example.com/a": "b" },
    logPath: `${name}/0.log`,
    stdin: false,
    stdinOnce: false,
    tty: false,
    resources: { cpuPeriodUs: 0, cpuQuotaUs: 0, cpuShares: 2, memoryLimitBytes: 0, oomScoreAdj: 0 },
    namespaces,
    security: {
      privileged: false,
      supplementalGroups: [],
      readOnlyRootFilesystem: false,
      noNewPrivileges: false,
      addCapabilities: [],
      dropCapabilities: [],
      maskedPaths: [],
      readonlyPaths: [],
    },
  };
}
