/** Rules for the containers of a pod. */
import type {
  Container,
  ContainerPort,
  EnvFromSource,
  EnvVar,
  EnvVarSource,
  SecurityContext,
  Volume,
  VolumeMount,
} from "@pilothouse/api/types/core-v1";
import { checkDns1123Label, checkEnvVarName, checkPortName, checkPortNumber } from "@pilothouse/selectors/names";
import { duplicate, forbidden, inRange, invalid, invalidEach, notFound, oneOf, required } from "../field-errors.ts";
import type { FieldErrors } from "../field-errors.ts";
import { protocolRules } from "../port-rules.ts";
import { lifecycleRules, probeRules } from "./handler-rules.ts";
import { fieldRefRules, keyRefRules, resourceFieldRules } from "./reference-rules.ts";
import { resourceRules } from "./resource-rules.ts";
import { localPathRules } from "./volume-rules.ts";

/** What the rules of a container need to know of its pod. */
export interface PodContext {
  readonly volumes: readonly Volume[];
  readonly hostNetwork: boolean;
}

/** Only a sidecar, an init container that keeps running, is probed and has hooks. */
const SIDECAR_ONLY = ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"] as const;
const NOT_FOR_INIT = "may not be set for init containers without restartPolicy=Always";

export function* containersRules(containers: readonly Container[], pod: PodContext, path: string): FieldErrors {
  if (containers.length === 0) {
    yield required(path);
    return;
  }
  const names = new Set<string>();
  for (const [index, container] of containers.entries()) {
    const at = `${path}[${index}]`;
    yield* containerRules(container, pod, at);
    if (names.has(container.name)) yield duplicate(`${at}.name`, container.name);
    names.add(container.name);
    yield* lifecycleRules(container.lifecycle, `${at}.lifecycle`);
    yield* allProbesRules(container, at);
  }
  yield* hostPortConflicts(containers, path);
}

export function* initContainersRules(
  containers: readonly Container[],
  others: readonly Container[],
  pod: PodContext,
  path: string,
): FieldErrors {
  const names = new Set(others.map(({ name }) => name));
  for (const [index, container] of containers.entries()) {
    const at = `${path}[${index}]`;
    yield* containerRules(container, pod, at);
    if (names.has(container.name)) yield duplicate(`${at}.name`, container.name);
    names.add(container.name);
    if (container.restartPolicy === "Always") {
      yield* lifecycleRules(container.lifecycle, `${at}.lifecycle`);
      yield* allProbesRules(container, at);
    } else {
      for (const field of SIDECAR_ONLY) if (container[field]) yield forbidden(`${at}.${field}`, NOT_FOR_INIT);
    }
    yield* hostPortConflicts([container], path);
  }
}

/** What holds for a container of any sort. */
export function* containerRules(container: Container, pod: PodContext, path: string): FieldErrors {
  if (!container.name) yield required(`${path}.name`);
  else yield* invalidEach(`${path}.name`, container.name, checkDns1123Label(container.name));
  if (!container.image) yield required(`${path}.image`);
  yield* oneOf(`${path}.terminationMessagePolicy`, container.terminationMessagePolicy, [
    "File",
    "FallbackToLogsOnError",
  ]);
  yield* portsRules(container.ports ?? [], pod.hostNetwork, `${path}.ports`);
  yield* envRules(container.env ?? [], `${path}.env`);
  yield* envFromRules(container.envFrom ?? [], `${path}.envFrom`);
  yield* mountsRules(container, pod, `${path}.volumeMounts`);
  yield* oneOf(`${path}.imagePullPolicy`, container.imagePullPolicy, ["Always", "IfNotPresent", "Never"]);
  yield* resourceRules(container.resources, `${path}.resources`);
  yield* securityContextRules(container.securityContext, `${path}.securityContext`);
  if (container.restartPolicy !== undefined) {
    yield* oneOf(`${path}.restartPolicy`, container.restartPolicy, ["Always", "Never", "OnFailure"]);
  }
}

function* allProbesRules(container: Container, path: string): FieldErrors {
  for (const use of ["livenessProbe", "readinessProbe", "startupProbe"] as const) {
    yield* probeRules(container[use], `${path}.${use}`, use);
  }
}

function* portsRules(ports: readonly ContainerPort[], hostNetwork: boolean, path: string): FieldErrors {
  const names = new Set<string>();
  for (const [index, port] of ports.entries()) {
    const at = `${path}[${index}]`;
    if (port.name) {
      const texts = checkPortName(port.name);
      yield* invalidEach(`${at}.name`, port.name, texts);
      if (texts.length === 0 && names.has(port.name)) yield duplicate(`${at}.name`, port.name);
      names.add(port.name);
    }
    if (!port.containerPort) yield required(`${at}.containerPort`);
    else yield* invalidEach(`${at}.containerPort`, port.containerPort, checkPortNumber(port.containerPort));
    if (port.hostPort) yield* invalidEach(`${at}.hostPort`, port.hostPort, checkPortNumber(port.hostPort));
    if (hostNetwork && port.hostPort && port.hostPort !== port.containerPort) {
      yield invalid(`${at}.containerPort`, port.containerPort, "must match `hostPort` when `hostNetwork` is true");
    }
    yield* protocolRules(port.protocol, `${at}.protocol`);
  }
}

function* hostPortConflicts(containers: readonly Container[], path: string): FieldErrors {
  const taken = new Set<string>();
  for (const [index, { ports = [] }] of containers.entries()) {
    for (const [portIndex, { protocol, hostIP = "", hostPort }] of ports.entries()) {
      if (!hostPort) continue;
      const key = `${protocol}/${hostIP}/${hostPort}`;
      if (taken.has(key)) yield duplicate(`${path}[${index}].ports[${portIndex}].hostPort`, key);
      taken.add(key);
    }
  }
}

function* envRules(env: readonly EnvVar[], path: string): FieldErrors {
  for (const [index, variable] of env.entries()) {
    const at = `${path}[${index}]`;
    if (!variable.name) yield required(`${at}.name`);
    else yield* invalidEach(`${at}.name`, variable.name, checkEnvVarName(variable.name));
    if (variable.valueFrom) yield* valueFromRules(variable, variable.valueFrom, `${at}.valueFrom`);
  }
}

function* valueFromRules({ value }: EnvVar, source: EnvVarSource, path: string): FieldErrors {
  const sources = Object.values(source).filter((one) => one !== undefined && one !== null).length;
  const { fieldRef, resourceFieldRef, configMapKeyRef, secretKeyRef } = source;
  if (fieldRef) yield* fieldRefRules(fieldRef, `${path}.fieldRef`, "env");
  if (resourceFieldRef) yield* resourceFieldRules(resourceFieldRef, `${path}.resourceFieldRef`, "env");
  if (configMapKeyRef) yield* keyRefRules(configMapKeyRef, `${path}.configMapKeyRef`);
  if (secretKeyRef) yield* keyRefRules(secretKeyRef, `${path}.secretKeyRef`);
  if (sources === 0) {
    yield invalid(
      path,
      "",
      "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`",
    );
  } else if (value) yield invalid(path, "", "may not be specified when `value` is not empty");
  else if (sources > 1) yield invalid(path, "", "may not have more than one field specified at a time");
}

function* envFromRules(sources: readonly EnvFromSource[], path: string): FieldErrors {
  for (const [index, { prefix, configMapRef, secretRef }] of sources.entries()) {
    const at = `${path}[${index}]`;
    if (prefix) yield* invalidEach(`${at}.prefix`, prefix, checkEnvVarName(prefix));
    if (configMapRef && !configMapRef.name) yield required(`${at}.configMapRef.name`);
    if (secretRef && !secretRef.name) yield required(`${at}.secretRef.name`);
    if (!configMapRef && !secretRef) yield invalid(path, "", "must specify one of: `configMapRef` or `secretRef`");
    else if (configMapRef && secretRef) {
      yield invalid(path, "", "may not have more than one field specified at a time");
    }
  }
}

function* mountsRules(container: Container, pod: PodContext, path: string): FieldErrors {
  const paths = new Set<string>();
  const devices = new Set((container.volumeDevices ?? []).map(({ name }) => name));
  for (const [index, mount] of (container.volumeMounts ?? []).entries()) {
    const at = `${path}[${index}]`;
    if (!mount.name) yield required(`${at}.name`);
    if (!pod.volumes.some(({ name }) => name === mount.name)) yield notFound(`${at}.name`, mount.name);
    if (!mount.mountPath) yield required(`${at}.mountPath`);
    if (paths.has(mount.mountPath)) yield invalid(`${at}.mountPath`, mount.mountPath, "must be unique");
    paths.add(mount.mountPath);
    if (devices.has(mount.name)) {
      yield invalid(`${at}.name`, mount.name, "must not already exist in volumeDevices");
    }
    yield* subPathRules(mount, at);
    yield* propagationRules(mount, container.securityContext?.privileged === true, at);
  }
}

function* subPathRules({ subPath, subPathExpr }: VolumeMount, path: string): FieldErrors {
  if (subPath) yield* localPathRules(subPath, `${path}.subPath`);
  if (!subPathExpr) return;
  if (subPath) yield invalid(`${path}.subPathExpr`, subPathExpr, "subPathExpr and subPath are mutually exclusive");
  yield* localPathRules(subPathExpr, `${path}.subPathExpr`);
}

function* propagationRules({ mountPropagation }: VolumeMount, privileged: boolean, path: string): FieldErrors {
  if (mountPropagation === undefined) return;
  const at = `${path}.mountPropagation`;
  yield* oneOf(at, mountPropagation, ["Bidirectional", "HostToContainer", "None"]);
  if (mountPropagation === "Bidirectional" && !privileged) {
    yield forbidden(at, "Bidirectional mount propagation is available only to privileged containers");
  }
}

export const MAX_ID = 2 ** 31 - 1;

function* securityContextRules(context: SecurityContext | undefined, path: string): FieldErrors {
  if (!context) return;
  yield* inRange(`${path}.runAsUser`, context.runAsUser, 0, MAX_ID);
  yield* inRange(`${path}.runAsGroup`, context.runAsGroup, 0, MAX_ID);
  if (context.procMount !== undefined) {
    yield* oneOf(`${path}.procMount`, context.procMount, ["Default", "Unmasked"]);
  }
  if (context.allowPrivilegeEscalation === false) {
    const field = `${path}.allowPrivilegeEscalation`;
    if (context.privileged)
      yield invalid(path, context, "cannot set `allowPrivilegeEscalation` to false and `privileged` to true");
    if (context.capabilities?.add?.includes("CAP_SYS_ADMIN")) {
      yield invalid(
        field,
        false,
        "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN",
      );
    }
  }
  yield* profileRules(context, path);
}

interface Profiles {
  seccompProfile?: { type: string; localhostProfile?: string };
  appArmorProfile?: { type: string; localhostProfile?: string };
}

/** `localhostProfile` belongs to type Localhost, and only to it. */
export function* profileRules(profiles: Profiles, path: string): FieldErrors {
  for (const field of ["seccompProfile", "appArmorProfile"] as const) {
    const profile = profiles[field];
    if (!profile) continue;
    const word = field === "seccompProfile" ? "seccomp" : "AppArmor";
    const at = `${path}.${field}`;
    if (profile.type === "Localhost") {
      if (!profile.localhostProfile)
        yield required(`${at}.localhostProfile`, `must be set when ${word} type is Localhost`);
      else if (field === "seccompProfile") yield* localPathRules(profile.localhostProfile, `${at}.localhostProfile`);
    } else {
      if (profile.localhostProfile !== undefined) {
        yield invalid(
          `${at}.localhostProfile`,
          profile.localhostProfile,
          `can only be set when ${word} type is Localhost`,
        );
      }
      yield* oneOf(`${at}.type`, profile.type, ["Localhost", "RuntimeDefault", "Unconfined"]);
    }
  }
}
