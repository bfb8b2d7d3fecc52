/** The baseline level: what would let a pod out of its box. Upstream's checks, in its order and words. */
import type {
  Container,
  LifecycleHandler,
  PodSpec,
  Probe,
  SELinuxOptions,
  SeccompProfile,
} from "@pilothouse/api/types/core-v1";
import {
  containersOf,
  distinct,
  named,
  namesWhere,
  plural,
  quoted,
  settersOf,
  type Check,
  type Checked,
  type Finding,
} from "./check.ts";

export const baselineChecks: readonly Check[] = [
  { id: "appArmorProfile", versions: [{ sinceMinor: 0, find: appArmorProfile }] },
  { id: "capabilities_baseline", versions: [{ sinceMinor: 0, find: addedCapabilities }] },
  { id: "hostNamespaces", versions: [{ sinceMinor: 0, find: hostNamespaces }] },
  { id: "hostPathVolumes", versions: [{ sinceMinor: 0, find: hostPathVolumes }] },
  { id: "hostPorts", versions: [{ sinceMinor: 0, find: hostPorts }] },
  { id: "hostProbesAndHostLifecycle", versions: [{ sinceMinor: 34, find: probeHosts }] },
  { id: "privileged", versions: [{ sinceMinor: 0, find: privileged }] },
  { id: "procMount", versions: [{ sinceMinor: 0, find: procMount }] },
  {
    id: "seLinuxOptions",
    versions: [
      { sinceMinor: 0, find: seLinuxOptions(["", "container_t", "container_init_t", "container_kvm_t"]) },
      {
        sinceMinor: 31,
        find: seLinuxOptions(["", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"]),
      },
    ],
  },
  {
    id: "seccompProfile_baseline",
    versions: [
      { sinceMinor: 0, find: seccompAnnotations },
      { sinceMinor: 19, find: ({ spec }) => wrongSeccompProfile(spec) },
    ],
  },
  { id: "sysctls", versions: sysctlVersions() },
  { id: "windowsHostProcess", versions: [{ sinceMinor: 0, find: hostProcess }] },
];

const PROFILES: readonly string[] = ["RuntimeDefault", "Localhost"];
const APP_ARMOR_PREFIX = "container.apparmor.security.beta.kubernetes.io/";

function appArmorProfile({ annotations, spec }: Checked): Finding | undefined {
  const isWrong = (type: string | undefined) => type !== undefined && !PROFILES.includes(type);
  const podType = spec.securityContext?.appArmorProfile?.type;
  const typeOf = ({ securityContext }: Container) => securityContext?.appArmorProfile?.type;
  const containers = namesWhere(spec, (container) => isWrong(typeOf(container)));
  const types = distinct([podType, ...containersOf(spec).map(typeOf)].filter(isWrong) as string[]);
  const wrongAnnotations = Object.entries(annotations)
    .filter(([key, value]) => key.startsWith(APP_ARMOR_PREFIX) && !isAllowedAppArmor(value))
    .map(([key, value]) => `${key}=${JSON.stringify(value)}`)
    .sort();
  const setters = [
    settersOf(isWrong(podType), containers),
    ...(wrongAnnotations.length > 0 ? [plural("annotation", wrongAnnotations)] : []),
  ].filter((setter) => setter !== undefined);
  const values = [...types, ...wrongAnnotations];
  if (setters.length === 0) return undefined;
  return {
    reason: plural("forbidden AppArmor profile", values),
    detail: `${setters.join(" and ")} must not set AppArmor profile type to ${quoted(values)}`,
  };
}

function isAllowedAppArmor(value: string): boolean {
  return value === "" || value === "runtime/default" || value.startsWith("localhost/");
}

const DEFAULT_CAPABILITIES: readonly string[] = [
  "AUDIT_WRITE",
  "CHOWN",
  "DAC_OVERRIDE",
  "FOWNER",
  "FSETID",
  "KILL",
  "MKNOD",
  "NET_BIND_SERVICE",
  "SETFCAP",
  "SETGID",
  "SETPCAP",
  "SETUID",
  "SYS_CHROOT",
];

function addedCapabilities({ spec }: Checked): Finding | undefined {
  const detail = forbiddenAdditions(spec, DEFAULT_CAPABILITIES);
  return detail === undefined ? undefined : { reason: "non-default capabilities", detail };
}

/** Which containers add capabilities other than these; undefined if none does. */
export function forbiddenAdditions(spec: PodSpec, allowed: readonly string[]): string | undefined {
  const extra = ({ securityContext }: Container) =>
    (securityContext?.capabilities?.add ?? []).filter((name) => !allowed.includes(name));
  const containers = namesWhere(spec, (container) => extra(container).length > 0);
  if (containers.length === 0) return undefined;
  const added = distinct(containersOf(spec).flatMap(extra));
  return `${named("container", containers)} must not include ${quoted(added)} in securityContext.capabilities.add`;
}

function hostNamespaces({ spec }: Checked): Finding | undefined {
  const shared = (["hostNetwork", "hostPID", "hostIPC"] as const).filter((field) => spec[field] === true);
  if (shared.length === 0) return undefined;
  return { reason: "host namespaces", detail: shared.map((field) => `${field}=true`).join(", ") };
}

function hostPathVolumes({ spec }: Checked): Finding | undefined {
  const volumes = (spec.volumes ?? []).filter(({ hostPath }) => hostPath !== undefined).map(({ name }) => name);
  return volumes.length === 0 ? undefined : { reason: "hostPath volumes", detail: named("volume", volumes) };
}

function hostPorts({ spec }: Checked): Finding | undefined {
  const portsOf = ({ ports = [] }: Container) =>
    ports.filter(({ hostPort }) => hostPort).map((port) => String(port.hostPort));
  const containers = namesWhere(spec, (container) => portsOf(container).length > 0);
  if (containers.length === 0) return undefined;
  const ports = distinct(containersOf(spec).flatMap(portsOf));
  const words = plural("hostPort", ports);
  return {
    reason: words,
    detail: `${named("container", containers)} ${uses(containers)} ${words} ${ports.join(", ")}`,
  };
}

function probeHosts({ spec }: Checked): Finding | undefined {
  const hostsOf = ({ livenessProbe, readinessProbe, startupProbe, lifecycle }: Container) =>
    [livenessProbe, readinessProbe, startupProbe, lifecycle?.postStart, lifecycle?.preStop].flatMap(
      (handler: Probe | LifecycleHandler | undefined) =>
        [handler?.httpGet?.host, handler?.tcpSocket?.host].filter((host) => host !== undefined && host !== ""),
    ) as string[];
  const containers = distinct(namesWhere(spec, (container) => hostsOf(container).length > 0));
  if (containers.length === 0) return undefined;
  const hosts = distinct(containersOf(spec).flatMap(hostsOf));
  const words = plural("probe or lifecycle host", hosts);
  const detail = `${named("container", containers)} ${uses(containers)} ${words} ${quoted(hosts)}`;
  return { reason: "probe or lifecycle host", detail };
}

export function uses(of: readonly unknown[]): string {
  return of.length === 1 ? "uses" : "use";
}

function privileged({ spec }: Checked): Finding | undefined {
  const containers = namesWhere(spec, ({ securityContext }) => securityContext?.privileged === true);
  if (containers.length === 0) return undefined;
  return {
    reason: "privileged",
    detail: `${named("container", containers)} must not set securityContext.privileged=true`,
  };
}

function procMount({ spec }: Checked): Finding | undefined {
  const mountOf = ({ securityContext }: Container) => securityContext?.procMount ?? "Default";
  const containers = namesWhere(spec, (container) => mountOf(container) !== "Default");
  if (containers.length === 0) return undefined;
  const mounts = distinct(containersOf(spec).map(mountOf)).filter((mount) => mount !== "Default");
  const detail = `${named("container", containers)} must not set securityContext.procMount to ${quoted(mounts)}`;
  return { reason: "procMount", detail };
}

function seLinuxOptions(allowed: readonly string[]): (pod: Checked) => Finding | undefined {
  const isWrong = (options: SELinuxOptions | undefined) =>
    options !== undefined && (!allowed.includes(options.type ?? "") || Boolean(options.user) || Boolean(options.role));
  return ({ spec }) => {
    const pod = spec.securityContext?.seLinuxOptions;
    const containers = namesWhere(spec, ({ securityContext }) => isWrong(securityContext?.seLinuxOptions));
    const setters = settersOf(isWrong(pod), containers);
    if (setters === undefined) return undefined;
    const all = [pod, ...containersOf(spec).map(({ securityContext }) => securityContext?.seLinuxOptions)];
    const types = distinct(all.map((options) => options?.type ?? "").filter((type) => !allowed.includes(type)));
    const said = [
      ...(types.length > 0 ? [named("type", types)] : []),
      ...(all.some((options) => options?.user) ? ["user may not be set"] : []),
      ...(all.some((options) => options?.role) ? ["role may not be set"] : []),
    ];
    const detail = `${setters} set forbidden securityContext.seLinuxOptions: ${said.join("; ")}`;
    return { reason: "seLinuxOptions", detail };
  };
}

const POD_SECCOMP = "seccomp.security.alpha.kubernetes.io/pod";
const CONTAINER_SECCOMP = "container.seccomp.security.alpha.kubernetes.io/";

/** How it was said before v1.19. */
function seccompAnnotations({ annotations, spec }: Checked): Finding | undefined {
  const keys = [POD_SECCOMP, ...containersOf(spec).map(({ name }) => `${CONTAINER_SECCOMP}${name}`)];
  const wrong = keys
    .filter((key) => annotations[key] !== undefined && !isAllowedSeccomp(annotations[key]))
    .map((key) => `${key}=${JSON.stringify(annotations[key])}`);
  if (wrong.length === 0) return undefined;
  const list = distinct(wrong).join(", ");
  return { reason: "seccompProfile", detail: `forbidden ${plural("annotation", wrong)} ${list}` };
}

function isAllowedSeccomp(value: string): boolean {
  return value === "runtime/default" || value === "docker/default" || value.startsWith("localhost/");
}

export function isWrongSeccomp(profile: SeccompProfile | undefined): boolean {
  return profile !== undefined && !PROFILES.includes(profile.type);
}

/** Who sets another profile than the runtime's or one of the node's. */
export function wrongSeccompProfile(spec: PodSpec): Finding | undefined {
  const pod = spec.securityContext?.seccompProfile;
  const profileOf = ({ securityContext }: Container) => securityContext?.seccompProfile;
  const containers = namesWhere(spec, (container) => isWrongSeccomp(profileOf(container)));
  const setters = settersOf(isWrongSeccomp(pod), containers);
  if (setters === undefined) return undefined;
  const types = [pod, ...containersOf(spec).map(profileOf)]
    .filter(isWrongSeccomp)
    .map((profile) => profile?.type ?? "");
  const detail = `${setters} must not set securityContext.seccompProfile.type to ${quoted(distinct(types))}`;
  return { reason: "seccompProfile", detail };
}

function sysctlVersions(): Check["versions"] {
  const first = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_unprivileged_port_start",
  ];
  const since27 = [...first, "net.ipv4.ip_local_reserved_ports"];
  const since29 = [
    ...since27,
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
  ];
  const since32 = [...since29, "net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem"];
  return [
    { sinceMinor: 0, find: sysctls(first) },
    { sinceMinor: 27, find: sysctls(since27) },
    { sinceMinor: 29, find: sysctls(since29) },
    { sinceMinor: 32, find: sysctls(since32) },
  ];
}

function sysctls(allowed: readonly string[]): (pod: Checked) => Finding | undefined {
  return ({ spec }) => {
    const names = (spec.securityContext?.sysctls ?? [])
      .map(({ name }) => name)
      .filter((name) => !allowed.includes(name));
    return names.length === 0 ? undefined : { reason: "forbidden sysctls", detail: names.join(", ") };
  };
}

function hostProcess({ spec }: Checked): Finding | undefined {
  const isPod = spec.securityContext?.windowsOptions?.hostProcess === true;
  const containers = namesWhere(spec, ({ securityContext }) => securityContext?.windowsOptions?.hostProcess === true);
  const setters = settersOf(isPod, containers);
  if (setters === undefined) return undefined;
  return { reason: "hostProcess", detail: `${setters} must not set securityContext.windowsOptions.hostProcess=true` };
}
