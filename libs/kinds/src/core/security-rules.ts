/** Rules for the security contexts of a pod and of its containers. */
import type {
  AppArmorProfile,
  PodSecurityContext,
  PodSpec,
  SeccompProfile,
  SecurityContext,
  Sysctl,
} from "@pilothouse/api/types/core-v1";
import { duplicate, forbidden, inRange, invalid, notSupported, required, tooLong } from "../field-errors.ts";
import type { FieldErrors } from "../field-errors.ts";
import { localPathRules } from "./path-rules.ts";
import { windowsOptionsRules } from "./windows-rules.ts";

const MAX_ID = 2 ** 31 - 1;
const PROFILE_TYPES = ["Localhost", "RuntimeDefault", "Unconfined"];
const MAX_SYSCTL_CHARACTERS = 253;
/** PATH_MAX without its end. */
const MAX_PROFILE_BYTES = 4095;
const SYSCTL_FORMAT = "^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$";
/** The same language as SYSCTL_FORMAT, written so that no name is tried in more than one way. */
const SYSCTL = /^[a-z0-9]([-_a-z0-9]*[a-z0-9])?([./][a-z0-9]([-_a-z0-9]*[a-z0-9])?)*$/;

export function* containerSecurityRules(
  context: SecurityContext | undefined,
  path: string,
  hostUsers: boolean,
): FieldErrors {
  if (!context) return;
  yield* inRange(`${path}.runAsUser`, context.runAsUser, 0, MAX_ID);
  yield* inRange(`${path}.runAsGroup`, context.runAsGroup, 0, MAX_ID);
  yield* choiceRules(context.procMount, ["Default", "Unmasked"], `${path}.procMount`);
  if (hostUsers && context.procMount === "Unmasked") {
    yield invalid(`${path}.procMount`, context.procMount, "`hostUsers` must be false to use `Unmasked`");
  }
  yield* seccompRules(context.seccompProfile, `${path}.seccompProfile`);
  if (context.allowPrivilegeEscalation === false) {
    const without = "cannot set `allowPrivilegeEscalation` to false and";
    if (context.privileged) yield invalid(path, context, `${without} \`privileged\` to true`);
    for (const capability of context.capabilities?.add ?? []) {
      if (capability === "CAP_SYS_ADMIN") yield invalid(path, context, `${without} \`capabilities.Add\` CAP_SYS_ADMIN`);
    }
  }
  yield* windowsOptionsRules(context.windowsOptions, `${path}.windowsOptions`);
  yield* appArmorRules(context.appArmorProfile, `${path}.appArmorProfile`);
}

export function* podSecurityRules(spec: PodSpec, context: PodSecurityContext, path: string): FieldErrors {
  yield* inRange(`${path}.fsGroup`, context.fsGroup, 0, MAX_ID);
  yield* inRange(`${path}.runAsUser`, context.runAsUser, 0, MAX_ID);
  yield* inRange(`${path}.runAsGroup`, context.runAsGroup, 0, MAX_ID);
  for (const [index, group] of (context.supplementalGroups ?? []).entries()) {
    yield* inRange(`${path}.supplementalGroups[${index}]`, group, 0, MAX_ID);
  }
  if (spec.shareProcessNamespace && spec.hostPID) {
    yield invalid(`${path}.shareProcessNamespace`, true, "ShareProcessNamespace and HostPID cannot both be enabled");
  }
  yield* sysctlsRules(context.sysctls ?? [], spec, `${path}.sysctls`);
  yield* choiceRules(context.fsGroupChangePolicy, ["Always", "OnRootMismatch"], `${path}.fsGroupChangePolicy`);
  yield* seccompRules(context.seccompProfile, `${path}.seccompProfile`);
  yield* windowsOptionsRules(context.windowsOptions, `${path}.windowsOptions`);
  yield* appArmorRules(context.appArmorProfile, `${path}.appArmorProfile`);
  yield* choiceRules(context.supplementalGroupsPolicy, ["Merge", "Strict"], `${path}.supplementalGroupsPolicy`);
  yield* choiceRules(context.seLinuxChangePolicy, ["MountOption", "Recursive"], `${path}.seLinuxChangePolicy`);
}

/** A pod with users of its own shares no other namespace of its node. Upstream's field names to the letter. */
export function* hostUsersRules(spec: PodSpec, path: string): FieldErrors {
  if (spec.hostUsers !== false) return;
  const detail = "when `pod.Spec.HostUsers` is false";
  if (spec.hostNetwork) yield forbidden(`${path}.hostNetwork`, detail);
  if (spec.hostPID) yield forbidden(`${path}.HostPID`, detail);
  if (spec.hostIPC) yield forbidden(`${path}.HostIPC`, detail);
}

/** An empty word is none of the choices. */
function* choiceRules(value: string | undefined, choices: readonly string[], path: string): FieldErrors {
  if (value !== undefined && !choices.includes(value)) yield notSupported(path, value, choices);
}

function* sysctlsRules(sysctls: readonly Sysctl[], spec: PodSpec, path: string): FieldErrors {
  const names = new Set<string>();
  for (const [index, { name = "" }] of sysctls.entries()) {
    const at = `${path}[${index}].name`;
    if (!name) yield required(at);
    else if (name.length > MAX_SYSCTL_CHARACTERS || !SYSCTL.test(name)) {
      const text = `must have at most ${MAX_SYSCTL_CHARACTERS} characters and match regex ${SYSCTL_FORMAT}`;
      yield invalid(at, name, text);
    } else if (names.has(name)) yield duplicate(at, name);
    names.add(name);
    const space = namespaceOf(name);
    if (spec.hostNetwork && space === "net") yield invalid(at, name, "may not be specified when 'hostNetwork' is true");
    else if (spec.hostIPC && space === "ipc") yield invalid(at, name, "may not be specified when 'hostIPC' is true");
  }
}

/** Which namespace a kernel parameter belongs to, where it belongs to one. */
function namespaceOf(sysctl: string): "net" | "ipc" | undefined {
  const name = sysctl.replaceAll("/", ".");
  if (name === "kernel.sem") return "ipc";
  if (["kernel.shm", "kernel.msg", "fs.mqueue."].some((prefix) => name.startsWith(prefix))) return "ipc";
  return name.startsWith("net.") ? "net" : undefined;
}

function* seccompRules(profile: SeccompProfile | undefined, path: string): FieldErrors {
  if (!profile) return;
  const { type, localhostProfile } = profile;
  if (!type) yield required(`${path}.type`, "type is required when seccompProfile is set");
  else if (!PROFILE_TYPES.includes(type)) yield notSupported(`${path}.type`, type, PROFILE_TYPES);
  if (type === "Localhost") {
    if (localhostProfile === undefined) {
      yield required(`${path}.localhostProfile`, "must be set when seccomp type is Localhost");
    } else yield* localPathRules(localhostProfile, `${path}.localhostProfile`);
  } else if (localhostProfile !== undefined) {
    yield invalid(`${path}.localhostProfile`, profile, "can only be set when seccomp type is Localhost");
  }
}

export function* appArmorRules(profile: AppArmorProfile | undefined, path: string): FieldErrors {
  if (!profile) return;
  const { type, localhostProfile } = profile;
  const at = `${path}.localhostProfile`;
  if (!type) yield required(`${path}.type`, "type is required when appArmorProfile is set");
  else if (!PROFILE_TYPES.includes(type)) yield notSupported(`${path}.type`, type, PROFILE_TYPES);
  else if (type !== "Localhost") {
    if (localhostProfile !== undefined)
      yield invalid(at, localhostProfile, "can only be set when AppArmor type is Localhost");
  } else if (localhostProfile === undefined) yield required(at, "must be set when AppArmor type is Localhost");
  else {
    if (localhostProfile.trim() !== localhostProfile) {
      yield invalid(at, localhostProfile, "must not be padded with whitespace");
    } else if (localhostProfile === "") yield required(at, "must be set when AppArmor type is Localhost");
    if (Buffer.byteLength(localhostProfile) > MAX_PROFILE_BYTES) yield tooLong(at, MAX_PROFILE_BYTES);
  }
}
