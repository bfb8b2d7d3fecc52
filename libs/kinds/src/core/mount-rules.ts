/** Rules for where a container finds the volumes of its pod: as files, or as raw devices. */
import type { Container, Volume, VolumeDevice, VolumeMount } from "@pilothouse/api/types/core-v1";
import { forbidden, invalid, notFound, notSupported, required } from "../field-errors.ts";
import type { FieldErrors } from "../field-errors.ts";
import { hasBackstep, localPathRules } from "./path-rules.ts";

const PROPAGATIONS = ["Bidirectional", "HostToContainer", "None"];
const RECURSIVE_READ_ONLY = ["Disabled", "Enabled", "IfPossible"];

export function* mountsRules(container: Container, volumes: readonly Volume[], path: string): FieldErrors {
  const { volumeDevices = [] } = container;
  // Not judged yet: anything may be missing.
  const mounts: readonly Partial<VolumeMount>[] = container.volumeMounts ?? [];
  const paths = new Set<string>();
  for (const [index, mount] of mounts.entries()) {
    const at = `${path}[${index}]`;
    const { name = "", mountPath = "" } = mount;
    if (!name) yield required(`${at}.name`);
    if (!volumes.some((volume) => volume.name === name)) yield notFound(`${at}.name`, name);
    if (!mountPath) yield required(`${at}.mountPath`);
    if (paths.has(mountPath)) yield invalid(`${at}.mountPath`, mountPath, "must be unique");
    paths.add(mountPath);
    if (volumeDevices.some((device) => device.name === name)) {
      yield invalid(`${at}.name`, name, "must not already exist in volumeDevices");
    }
    if (volumeDevices.some(({ devicePath }) => devicePath === mountPath)) {
      yield invalid(`${at}.mountPath`, mountPath, "must not already exist as a path in volumeDevices");
    }
    yield* subPathRules(mount, path, at);
    yield* propagationRules(mount, container.securityContext?.privileged === true, `${path}.mountPropagation`);
    yield* recursiveRules(mount, `${path}.recursiveReadOnly`);
  }
}

/** @param path of the list: upstream names the field without the mount's index */
function* subPathRules({ subPath, subPathExpr }: Partial<VolumeMount>, path: string, at: string): FieldErrors {
  if (subPath) yield* localPathRules(subPath, `${path}.subPath`);
  if (!subPathExpr) return;
  if (subPath) yield invalid(`${at}.subPathExpr`, subPathExpr, "subPathExpr and subPath are mutually exclusive");
  yield* localPathRules(subPathExpr, `${path}.subPathExpr`);
}

function* propagationRules({ mountPropagation }: Partial<VolumeMount>, privileged: boolean, path: string): FieldErrors {
  if (mountPropagation === undefined) return;
  if (!PROPAGATIONS.includes(mountPropagation)) yield notSupported(path, mountPropagation, PROPAGATIONS);
  if (mountPropagation === "Bidirectional" && !privileged) {
    yield forbidden(path, "Bidirectional mount propagation is available only to privileged containers");
  }
}

function* recursiveRules(
  { recursiveReadOnly, readOnly, mountPropagation }: Partial<VolumeMount>,
  path: string,
): FieldErrors {
  if (recursiveReadOnly === undefined || recursiveReadOnly === "Disabled") return;
  if (!RECURSIVE_READ_ONLY.includes(recursiveReadOnly)) {
    yield notSupported(path, recursiveReadOnly, RECURSIVE_READ_ONLY);
    return;
  }
  if (readOnly !== true) yield forbidden(path, "may only be specified when readOnly is true");
  if (mountPropagation !== undefined && mountPropagation !== "None") {
    yield forbidden(path, "may only be specified when mountPropagation is None or not specified");
  }
}

export function* devicesRules(container: Container, volumes: readonly Volume[], path: string): FieldErrors {
  const { volumeMounts = [], volumeDevices = [] } = container;
  const names = new Set<string>();
  const paths = new Set<string>();
  for (const [index, { name = "", devicePath = "" }] of volumeDevices.entries()) {
    const at = `${path}[${index}]`;
    const volume = volumes.find((one) => one.name === name);
    if (!name) yield required(`${at}.name`);
    if (names.has(name)) yield invalid(`${at}.name`, name, "must be unique");
    if (!volume) yield notFound(`${at}.name`, name);
    else if (!volume.persistentVolumeClaim && !volume.ephemeral) {
      const only = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode";
      yield invalid(`${at}.name`, name, only);
    }
    yield* devicePathRules(devicePath, paths, `${at}.devicePath`);
    if (volumeMounts.some((mount) => mount.name === name)) {
      yield invalid(`${at}.name`, name, "must not already exist in volumeMounts");
    }
    if (volumeMounts.some(({ mountPath }) => mountPath === devicePath)) {
      yield invalid(`${at}.devicePath`, devicePath, "must not already exist as a path in volumeMounts");
    }
    if (name) names.add(name);
  }
}

/** @param taken by the devices before; this one is added */
function* devicePathRules(devicePath: VolumeDevice["devicePath"], taken: Set<string>, path: string): FieldErrors {
  if (!devicePath) yield required(path);
  if (taken.has(devicePath)) yield invalid(path, devicePath, "must be unique");
  if (hasBackstep(devicePath)) yield invalid(path, devicePath, "can not contain backsteps ('..')");
  else taken.add(devicePath);
}
