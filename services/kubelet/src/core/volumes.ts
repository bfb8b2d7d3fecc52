/** What a pod's volumes are made of: directories, memory, paths of the host, and files whose contents come from the API. Pure. */
import type {
  ConfigMap,
  Container,
  DownwardAPIVolumeFile,
  KeyToPath,
  PersistentVolume,
  PersistentVolumeClaim,
  Pod,
  Secret,
  Volume,
  VolumeProjection,
} from "@pilothouse/api/types/core-v1";
import { isBound, isHeldBy } from "@pilothouse/kinds/core/volume-binding";
import { parseQuantity } from "@pilothouse/quantity";
import {
  bytesOfBase64,
  ConfigUnavailable,
  fieldValue,
  resourceValue,
  type PodSources,
  type Whereabouts,
} from "./environment.ts";
import { allContainers } from "./pod-runtime.ts";

export type VolumePlan =
  | { readonly kind: "directory"; readonly name: string }
  /** 0 = half of the memory, as the kernel does by itself. */
  | { readonly kind: "memory"; readonly name: string; readonly sizeBytes: number }
  | { readonly kind: "host"; readonly name: string; readonly path: string; readonly type: string }
  | { readonly kind: "files"; readonly name: string; readonly files: readonly VolumeFile[] };

export interface VolumeFile {
  /** Relative, with `/` between folders. */
  readonly path: string;
  readonly mode: number;
  readonly content: Uint8Array;
  /** Who owns it; root if absent. */
  readonly uid?: number;
}

export interface VolumeSources extends PodSources {
  /** The claim of this name, and the volume that it has. */
  claimed(
    name: string,
  ): { readonly claim: PersistentVolumeClaim; readonly volume: PersistentVolume | undefined } | undefined;
  /** Tokens by what was asked for, got before planning. */
  token(projection: TokenRequest): string | undefined;
}

export interface TokenRequest {
  readonly audience: string;
  readonly expirationSeconds: number;
}

const DEFAULT_MODE = 0o644;
const PRIVATE_MODE = 0o600;
const DEFAULT_TOKEN_SECONDS = 3600;

/** Throws ConfigUnavailable when something is missing (yet), or is of a kind that we do not have. */
export function planVolume(pod: Pod, volume: Volume, sources: VolumeSources, where: Whereabouts): VolumePlan {
  const { name } = volume;
  if (volume.emptyDir) {
    const limit = volume.emptyDir.sizeLimit;
    if (volume.emptyDir.medium !== "Memory") return { kind: "directory", name };
    return { kind: "memory", name, sizeBytes: memoryVolumeBytes(pod, limit) };
  }
  if (volume.hostPath) return { kind: "host", name, path: volume.hostPath.path, type: volume.hostPath.type ?? "" };
  const claimName = claimNameOf(pod, volume);
  if (claimName !== undefined) return { ...planClaimed(claimName, sources), name };
  const files = volumeFiles(pod, volume, sources, where);
  if (!files) throw new ConfigUnavailable(`volume "${name}" is of a kind that is not supported`);
  return { kind: "files", name, files };
}

function claimNameOf({ metadata }: Pod, { name, persistentVolumeClaim, ephemeral }: Volume): string | undefined {
  return persistentVolumeClaim?.claimName ?? (ephemeral ? `${metadata.name ?? ""}-${name}` : undefined);
}

/** A claim is as good as the volume that it has; those on this machine are paths of it. */
function planClaimed(claimName: string, sources: VolumeSources): VolumePlan {
  const found = sources.claimed(claimName);
  if (!found) throw new ConfigUnavailable(`persistentvolumeclaim "${claimName}" not found`);
  const { claim, volume } = found;
  const { hostPath, local, volumeMode } = volume?.spec ?? {};
  if (!volume || !isBound(claim)) throw new ConfigUnavailable(`PVC "${claimName}" is not bound`);
  if (!isHeldBy(volume, claim)) {
    throw new ConfigUnavailable(`PV "${volume.metadata.name ?? ""}" is not bound to PVC "${claimName}"`);
  }
  if (volumeMode === "Block")
    throw new ConfigUnavailable(`volume "${claimName}" is a raw device, which is not supported`);
  if (hostPath) return { kind: "host", name: claimName, path: hostPath.path, type: hostPath.type ?? "" };
  if (local) return { kind: "host", name: claimName, path: local.path, type: "Directory" };
  throw new ConfigUnavailable(`PV "${volume.metadata.name ?? ""}" is of a kind that is not supported`);
}

/** No more than the pod may use: its own limit counts as the volume's where that is smaller. 0 = neither says anything. */
function memoryVolumeBytes({ spec }: Pod, sizeLimit: string | undefined): number {
  const bytes = (text: string | undefined): number => (text === undefined ? 0 : Number(parseQuantity(text).value()));
  const limits = spec.containers.map((container) => bytes(container.resources?.limits?.["memory"]));
  const ofPod = limits.every((limit) => limit > 0) ? limits.reduce((sum, limit) => sum + limit, 0) : 0;
  const wanted = [ofPod, bytes(sizeLimit)].filter((limit) => limit > 0);
  return wanted.length === 0 ? 0 : Math.min(...wanted);
}

/** The user that all containers of the pod run as, if that is one and the pod says so. */
function commonUser({ spec }: Pod): number | undefined {
  const containers = [...spec.containers, ...(spec.initContainers ?? [])];
  const users = new Set(containers.map((it) => it.securityContext?.runAsUser ?? spec.securityContext?.runAsUser));
  return users.size === 1 ? [...users][0] : undefined;
}

/** The tokens that the pod's volumes ask for. */
export function tokenRequests(pod: Pod): readonly TokenRequest[] {
  const projections = (pod.spec.volumes ?? []).flatMap((it) => it.projected?.sources ?? []);
  return projections.flatMap(({ serviceAccountToken }) =>
    serviceAccountToken ? [tokenRequest(serviceAccountToken)] : [],
  );
}

/** Names of what the pod's volumes and environments need. */
export function referencedObjects(pod: Pod): {
  readonly configMaps: readonly string[];
  readonly secrets: readonly string[];
} {
  const configMaps = new Set<string>();
  const secrets = new Set<string>();
  const note = (into: Set<string>, name: string | undefined): void => void (name !== undefined && into.add(name));
  for (const { resource, name } of mountedObjects(pod)) note(resource === "secrets" ? secrets : configMaps, name);
  for (const container of allContainers(pod)) {
    for (const from of container.envFrom ?? []) {
      note(configMaps, from.configMapRef?.name);
      note(secrets, from.secretRef?.name);
    }
    for (const { valueFrom } of container.env ?? []) {
      note(configMaps, valueFrom?.configMapKeyRef?.name);
      note(secrets, valueFrom?.secretKeyRef?.name);
    }
  }
  for (const { name } of pod.spec.imagePullSecrets ?? []) note(secrets, name);
  return { configMaps: [...configMaps], secrets: [...secrets] };
}

export interface MountedObject {
  readonly resource: "configmaps" | "secrets";
  readonly name: string;
}

/** What of the API the pod's volumes show, and follow when it changes. */
export function mountedObjects({ spec }: Pod): readonly MountedObject[] {
  const found = new Map<string, MountedObject>();
  const note = (resource: MountedObject["resource"], name: string | undefined): void => {
    if (name !== undefined && name !== "") found.set(`${resource}/${name}`, { resource, name });
  };
  for (const { configMap, secret, projected } of spec.volumes ?? []) {
    note("configmaps", configMap?.name);
    note("secrets", secret?.secretName);
    for (const source of projected?.sources ?? []) {
      note("configmaps", source.configMap?.name);
      note("secrets", source.secret?.name);
    }
  }
  return [...found.values()];
}

/** True for volumes that are folders on the node's disk: what comes from the API lies in memory, paths of the host are not the pod's. */
export function takesDisk({ emptyDir }: Volume): boolean {
  return emptyDir !== undefined && emptyDir.medium !== "Memory";
}

/** True for volumes whose contents follow the API while the pod runs. */
export function isRefreshed(volume: Volume): boolean {
  return Boolean(volume.configMap ?? volume.secret ?? volume.projected ?? volume.downwardAPI);
}

function volumeFiles(
  pod: Pod,
  volume: Volume,
  sources: VolumeSources,
  where: Whereabouts,
): readonly VolumeFile[] | undefined {
  if (volume.configMap) {
    const { name = "", items, defaultMode, optional } = volume.configMap;
    return configMapFiles(name, { items, optional, mode: defaultMode }, sources);
  }
  if (volume.secret) {
    const { secretName = "", items, defaultMode, optional } = volume.secret;
    return secretFiles(secretName, { items, optional, mode: defaultMode }, sources);
  }
  if (volume.downwardAPI) {
    const { items = [], defaultMode } = volume.downwardAPI;
    return items.map((item) => downwardFile(pod, item, defaultMode, where));
  }
  if (!volume.projected) return undefined;
  const { sources: projections, defaultMode } = volume.projected;
  return projections.flatMap((projection) => projectedFiles(pod, projection, defaultMode, sources, where));
}

interface Selection {
  readonly items: readonly KeyToPath[] | undefined;
  readonly optional: boolean | undefined;
  readonly mode: number | undefined;
}

function projectedFiles(
  pod: Pod,
  projection: VolumeProjection,
  mode: number | undefined,
  sources: VolumeSources,
  where: Whereabouts,
): readonly VolumeFile[] {
  const { configMap, secret, downwardAPI, serviceAccountToken } = projection;
  if (configMap) {
    const { name = "", items, optional } = configMap;
    return configMapFiles(name, { items, optional, mode }, sources);
  }
  if (secret) {
    const { name = "", items, optional } = secret;
    return secretFiles(name, { items, optional, mode }, sources);
  }
  if (downwardAPI) return (downwardAPI.items ?? []).map((item) => downwardFile(pod, item, mode, where));
  if (!serviceAccountToken) return [];
  const token = sources.token(tokenRequest(serviceAccountToken));
  if (token === undefined) throw new ConfigUnavailable("the service account token is not there yet");
  const content = new TextEncoder().encode(token);
  const uid = commonUser(pod);
  const isOnes = uid !== undefined || pod.spec.securityContext?.fsGroup !== undefined;
  // Nobody else is to read it, where it is known who is to.
  const own = isOnes ? PRIVATE_MODE : (mode ?? DEFAULT_MODE);
  return [{ path: serviceAccountToken.path, mode: own, content, ...(uid === undefined ? {} : { uid }) }];
}

function tokenRequest(projection: { readonly audience?: string; readonly expirationSeconds?: number }): TokenRequest {
  const { audience = "", expirationSeconds = DEFAULT_TOKEN_SECONDS } = projection;
  return { audience, expirationSeconds };
}

function configMapFiles(name: string, selection: Selection, sources: PodSources): readonly VolumeFile[] {
  const found = sources.configMap(name);
  if (!found && !selection.optional) throw new ConfigUnavailable(`configmap "${name}" not found`);
  return select(`configmap references non-existent config key`, configMapData(found), selection);
}

function secretFiles(name: string, selection: Selection, sources: PodSources): readonly VolumeFile[] {
  const found = sources.secret(name);
  if (!found && !selection.optional) throw new ConfigUnavailable(`secret "${name}" not found`);
  return select(`references non-existent secret key`, secretData(found), selection);
}

function configMapData(found: ConfigMap | undefined): ReadonlyMap<string, Uint8Array> {
  const text = Object.entries(found?.data ?? {}).map(([key, value]) => [key, new TextEncoder().encode(value)] as const);
  const binary = Object.entries(found?.binaryData ?? {}).map(([key, value]) => [key, bytesOfBase64(value)] as const);
  return new Map([...text, ...binary]);
}

function secretData(found: Secret | undefined): ReadonlyMap<string, Uint8Array> {
  return new Map(Object.entries(found?.data ?? {}).map(([key, value]) => [key, bytesOfBase64(value)] as const));
}

function select(
  missing: string,
  data: ReadonlyMap<string, Uint8Array>,
  { items, optional, mode = DEFAULT_MODE }: Selection,
): readonly VolumeFile[] {
  if (!items) return [...data].map(([path, content]) => ({ path, mode, content }));
  return items.flatMap((item) => {
    const content = data.get(item.key);
    if (content) return [{ path: item.path, mode: item.mode ?? mode, content }];
    if (optional) return [];
    throw new ConfigUnavailable(`${missing}: ${item.key}`);
  });
}

function downwardFile(pod: Pod, item: DownwardAPIVolumeFile, mode: number | undefined, where: Whereabouts): VolumeFile {
  const { fieldRef, resourceFieldRef, path } = item;
  const container = allContainers(pod).find((it) => it.name === resourceFieldRef?.containerName);
  const text = fieldRef
    ? fieldValue(pod, fieldRef, where)
    : resourceValue(container ?? (pod.spec.containers[0] as Container), resourceFieldRef ?? { resource: "" }, where);
  return { path, mode: item.mode ?? mode ?? DEFAULT_MODE, content: new TextEncoder().encode(text) };
}
