import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { runProcess } from "@pilothouse/process";
import { apiAccessSettings, openApi } from "@pilothouse/process/api-access";
import { watchTls, type TlsTexts } from "@pilothouse/process/tls-files";
import { criRuntime } from "@pilothouse/runtime-cri";
import { machineCgroups } from "./adapters/cgroups.ts";
import { nodeFiles } from "./adapters/files.ts";
import { logFiles } from "./adapters/log-files.ts";
import { machineFacts, machineProbe } from "./adapters/machine.ts";
import { manifestFiles } from "./adapters/manifest-files.ts";
import { networkProbe } from "./adapters/network-probe.ts";
import { serveKubelet, type ServerTls } from "./adapters/server.ts";
import { parseRegistration, parseReserved } from "./core/node.ts";
import { DEFAULT_EVICTION, keptFree, parseThresholds } from "./core/thresholds.ts";
import { start } from "./service.ts";

const CNI_FILE = "10-pilothouse.conflist";
/** The certificates that the cluster's API servers show to kubelets. */
const API_SERVER_NAMES = ["kube-apiserver-kubelet-client"];

await runProcess({
  name: "kubelet",
  description: "Runs the pods of one node, and tells the API server what became of them.",
  settings: {
    ...apiAccessSettings,
    "node-name": { type: "string", help: "Name of this node.", default: hostname() },
    "node-ip": { type: "string", help: "Address of this node, as the others reach it.", required: true },
    address: { type: "string", help: "Address on which the kubelet listens.", default: "0.0.0.0" },
    port: { type: "port", help: "Port on which the kubelet listens.", default: 10250 },
    "tls-cert-file": { type: "string", help: "Certificate of the kubelet's server.", required: true },
    "tls-private-key-file": { type: "string", help: "Its key.", required: true },
    "client-ca-file": {
      type: "string",
      help: "Authority of the client certificates of API servers and others.",
      required: true,
    },
    "root-dir": {
      type: "string",
      help: "Where volumes and files of pods live.",
      default: "/var/lib/pilothouse/kubelet",
    },
    "pod-logs-dir": { type: "string", help: "Where logs of pods are.", default: "/var/log/pods" },
    "container-logs-dir": {
      type: "string",
      help: "Where links to logs of containers are, for those who gather them.",
      default: "/var/log/containers",
    },
    "static-pod-path": {
      type: "string",
      help: "A directory of manifests, or one file: the node's own pods, which run without the API server too.",
      default: "",
    },
    "container-runtime-endpoint": {
      type: "string",
      help: "containerd's socket.",
      default: "unix:///run/containerd/containerd.sock",
    },
    "cgroup-root": {
      type: "string",
      help: "Where the cgroup kubepods is made, parent of all pods'.",
      default: "/pilothouse",
    },
    "max-pods": { type: "integer", help: "The most pods of this node.", min: 1, default: 110 },
    "pod-max-pids": {
      type: "integer",
      help: "The most processes of one pod; -1 for as many as the node has.",
      min: -1,
      default: -1,
    },
    "max-parallel-image-pulls": {
      type: "integer",
      help: "The most images brought at the same time; 0 for no bound.",
      min: 0,
      default: 0,
    },
    "kube-reserved": { type: "list", help: "Kept for Kubernetes' own processes: cpu=, memory=, ephemeral-storage=." },
    "system-reserved": { type: "list", help: "Kept for the system: cpu=, memory=, ephemeral-storage=." },
    "eviction-hard": {
      type: "list",
      help: "Pods end at once below: memory.available<100Mi, nodefs.available<10%; empty for Kubernetes' defaults.",
    },
    "eviction-soft": { type: "list", help: "Pods end in order below, when it lasts." },
    "eviction-soft-grace-period": { type: "list", help: "How long each soft one must last: memory.available=1m30s." },
    "eviction-max-pod-grace-period": {
      type: "integer",
      help: "The most seconds that a pod gets to end for a soft threshold's sake.",
      min: 0,
      default: 0,
    },
    "cni-conf-dir": { type: "string", help: "Where containerd looks for its network.", default: "/etc/cni/net.d" },
    "bridge-name": { type: "string", help: "Bridge that the node's pods hang on.", default: "pilothouse0" },
    mtu: { type: "integer", help: "MTU of pods' interfaces.", min: 576, max: 65_535, default: 1500 },
    "node-labels": { type: "list", help: "Labels of a node that is registered anew: key=value." },
    "register-with-taints": { type: "list", help: "Taints of a node that is registered anew: key=value:effect." },
    "allowed-unsafe-sysctls": {
      type: "list",
      help: "Sysctls beside the safe ones that pods may set; net.core.* allows all that begin so.",
    },
    "cluster-dns": { type: "list", help: "Addresses of the cluster's DNS." },
    "cluster-domain": { type: "string", help: "Domain of the cluster's names.", default: "cluster.local" },
    "resolv-conf": { type: "string", help: "How the node itself resolves names.", default: "/etc/resolv.conf" },
  },
  instance: (values) => values["node-name"],
  start: async (values, ports) => {
    const { clock, ids, telemetry, scope } = ports;
    const rootDir = values["root-dir"];
    await mkdir(rootDir, { recursive: true });
    const thresholds = parseThresholds(
      values["eviction-hard"],
      values["eviction-soft"],
      values["eviction-soft-grace-period"],
    );
    const facts = await machineFacts(rootDir, values["max-pods"]);
    const socketPath = values["container-runtime-endpoint"].replace(/^unix:\/\//, "");
    const runtime = criRuntime({ clock, ids, socketPath, pipesDir: join(rootDir, "exec") });
    scope.defer(() => runtime.close());
    const cniFile = join(values["cni-conf-dir"], CNI_FILE);
    const service = start(
      {
        ...ports,
        client: openApi("kubelet", values, ports),
        runtime,
        files: nodeFiles({
          rootDir,
          resolvConf: values["resolv-conf"],
          logLinksDir: values["container-logs-dir"],
        }),
        cgroups: machineCgroups(),
        network: networkProbe(clock),
        logs: logFiles(clock),
        machine: machineProbe(clock, rootDir, async () => (await runtime.imageFsInfo()).mountpoint),
        manifests: values["static-pod-path"] === "" ? undefined : manifestFiles(values["static-pod-path"]),
        writeCniConfig: (text) => replaceFile(cniFile, text),
      },
      {
        nodeName: values["node-name"],
        nodeIp: values["node-ip"],
        port: values.port,
        clusterDns: values["cluster-dns"],
        clusterDomain: values["cluster-domain"],
        cgroupRoot: values["cgroup-root"],
        logsDir: values["pod-logs-dir"],
        machine: {
          ...facts,
          keptFree: keptFree(thresholds, facts),
          reserved: parseReserved(values["kube-reserved"], values["system-reserved"]),
        },
        eviction: {
          ...DEFAULT_EVICTION,
          thresholds,
          maxPodGraceSeconds: values["eviction-max-pod-grace-period"],
        },
        podPids: Math.max(0, values["pod-max-pids"]),
        maxParallelPulls: values["max-parallel-image-pulls"],
        bridgeName: values["bridge-name"],
        mtu: values.mtu,
        ipamDir: join(rootDir, "ipam"),
        allowedUnsafeSysctls: values["allowed-unsafe-sysctls"],
        apiServers: API_SERVER_NAMES,
        registration: parseRegistration(values["node-labels"], values["register-with-taints"]),
      },
    );
    const files = watchTls(
      "kubelet-serving",
      {
        certificate: values["tls-cert-file"],
        key: values["tls-private-key-file"],
        ca: values["client-ca-file"],
      },
      ports,
    );
    const server = await serveKubelet(
      { clock, requests: service.requests, access: service.access, log: telemetry.log, scope },
      { address: values.address, port: values.port, tls: serverTls(files.current()) },
    );
    files.follow((tls) => server.renew(serverTls(tls)));
    return service;
  },
});

function serverTls({ certificate = "", key = "", ca = "" }: TlsTexts): ServerTls {
  return { certificate, key, clientCa: ca };
}

/** In one step, and not at all when nothing changes: containerd reads the folder anew whenever it is written to. */
async function replaceFile(path: string, text: string): Promise<void> {
  if ((await readFile(path, "utf8").catch(() => "")) === text) return;
  await mkdir(join(path, ".."), { recursive: true });
  await writeFile(`${path}.new`, text);
  await rename(`${path}.new`, path);
}
