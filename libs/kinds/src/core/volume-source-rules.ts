/** Rules for where the data of a volume lies: what pods and PersistentVolumes may both name. */
import type {
  AzureDiskVolumeSource,
  FCVolumeSource,
  FlockerVolumeSource,
  HostPathVolumeSource,
  NFSVolumeSource,
  QuobyteVolumeSource,
} from "@pilothouse/api/types/core-v1";
import { checkDns1123Label, checkDns1123Subdomain } from "@pilothouse/selectors/names";
import { inRange, invalid, invalidEach, notSupported, required, tooLong } from "../field-errors.ts";
import type { FieldErrors } from "../field-errors.ts";
import { noBackstepRules } from "./path-rules.ts";

const MAX_DRIVER_BYTES = 63;
const MAX_TENANT_BYTES = 65;
const MAX_ISCSI_NAME = 64;
const IQN = /iqn\.\d{4}-\d{2}\.([a-zA-Z0-9-.]+)(:[^,;*&$|\s]+)$/;
const EUI = /^eui.[a-zA-Z0-9]{16}$/;
const NAA = /^naa.[a-zA-Z0-9]{32}$/;
const REGISTRY = "must be a host:port pair or multiple pairs separated by commas";

const HOST_PATH_TYPES = [
  "",
  "BlockDevice",
  "CharDevice",
  "Directory",
  "DirectoryOrCreate",
  "File",
  "FileOrCreate",
  "Socket",
];

/** Fields without which a source names nothing, and nothing else is asked of it. */
const NEEDED: Readonly<Record<string, readonly string[]>> = {
  azureFile: ["secretName", "shareName"],
  cephfs: ["monitors"],
  cinder: ["volumeID"],
  flexVolume: ["driver"],
  glusterfs: ["endpoints", "path"],
  photonPersistentDisk: ["pdID"],
  portworxVolume: ["volumeID"],
  rbd: ["monitors", "image"],
  scaleIO: ["gateway", "system", "volumeName"],
  vsphereVolume: ["volumePath"],
};

interface Sources {
  readonly hostPath?: HostPathVolumeSource;
  readonly gcePersistentDisk?: { readonly pdName?: string; readonly partition?: number };
  readonly awsElasticBlockStore?: { readonly volumeID?: string; readonly partition?: number };
  readonly nfs?: NFSVolumeSource;
  readonly quobyte?: QuobyteVolumeSource;
  readonly flocker?: FlockerVolumeSource;
  readonly fc?: FCVolumeSource;
  readonly azureDisk?: AzureDiskVolumeSource;
  readonly flexVolume?: { readonly options?: Readonly<Record<string, string>> };
  readonly storageos?: { readonly volumeName?: string; readonly volumeNamespace?: string };
}

/** @param path of the volume: the sources are named below it, as upstream names them */
export function* commonSourceRules(source: string, volume: object, path: string): FieldErrors {
  const sources: Sources = volume;
  const at = `${path}.${source}`;
  yield* neededRules(source, volume, at);
  switch (source) {
    case "hostPath":
      if (sources.hostPath) yield* hostPathRules(sources.hostPath, at);
      break;
    // Upstream calls it otherwise than its field.
    case "gcePersistentDisk":
      if (!sources.gcePersistentDisk?.pdName) yield required(`${path}.persistentDisk.pdName`);
      yield* partitionRules(sources.gcePersistentDisk?.partition, `${path}.persistentDisk.partition`);
      break;
    case "awsElasticBlockStore":
      if (!sources.awsElasticBlockStore?.volumeID) yield required(`${at}.volumeID`);
      yield* partitionRules(sources.awsElasticBlockStore?.partition, `${at}.partition`);
      break;
    case "nfs":
      if (sources.nfs) yield* nfsRules(sources.nfs, at);
      break;
    case "quobyte":
      if (sources.quobyte) yield* quobyteRules(sources.quobyte, at);
      break;
    case "flocker":
      if (sources.flocker) yield* flockerRules(sources.flocker, at);
      break;
    case "fc":
      if (sources.fc) yield* fibreRules(sources.fc, at);
      break;
    case "azureDisk":
      if (sources.azureDisk) yield* azureDiskRules(sources.azureDisk, at);
      break;
    case "flexVolume":
      yield* flexOptionsRules(sources.flexVolume?.options ?? {}, `${at}.options`);
      break;
    case "storageos":
      yield* storageOsRules(sources.storageos ?? {}, at);
      break;
    default:
  }
}

function* neededRules(source: string, volume: object, path: string): FieldErrors {
  const given = (volume as Readonly<Record<string, Readonly<Record<string, unknown>> | undefined>>)[source] ?? {};
  for (const field of NEEDED[source] ?? []) {
    const value = given[field];
    if (!value || (Array.isArray(value) && value.length === 0)) yield required(`${path}.${field}`);
  }
}

export function* hostPathRules({ path: file, type }: HostPathVolumeSource, path: string): FieldErrors {
  if (!file) {
    yield required(`${path}.path`);
    return;
  }
  yield* noBackstepRules(file, `${path}.path`);
  if (type !== undefined && !HOST_PATH_TYPES.includes(type)) yield notSupported(`${path}.type`, type, HOST_PATH_TYPES);
}

/** Upstream lets 0 pass, and says it does not. */
function* partitionRules(partition: number | undefined, path: string): FieldErrors {
  if (partition === undefined || (partition >= 0 && partition <= 255)) return;
  yield invalid(path, partition, "must be between 1 and 255, inclusive");
}

function* nfsRules({ server, path: exported = "" }: Partial<NFSVolumeSource>, path: string): FieldErrors {
  if (!server) yield required(`${path}.server`);
  if (!exported) yield required(`${path}.path`);
  if (!exported.startsWith("/")) yield invalid(`${path}.path`, exported, "must be an absolute path");
}

function* quobyteRules({ registry, tenant = "", volume }: QuobyteVolumeSource, path: string): FieldErrors {
  if (!registry) yield required(`${path}.registry`, REGISTRY);
  else if (Buffer.byteLength(tenant) >= MAX_TENANT_BYTES) {
    yield required(`${path}.tenant`, "must be a UUID and may not exceed a length of 64 characters");
  } else {
    for (const pair of registry.split(",")) {
      if (!/^(\[[^\]]*\]|[^:[\]]*):[^:]*$/.test(pair)) yield invalid(`${path}.registry`, registry, REGISTRY);
    }
  }
  if (!volume) yield required(`${path}.volume`);
}

function* flockerRules({ datasetName = "", datasetUUID = "" }: FlockerVolumeSource, path: string): FieldErrors {
  if (!datasetName && !datasetUUID) yield required(path, "one of datasetName and datasetUUID is required");
  if (datasetName && datasetUUID) {
    yield invalid(path, "resource", "datasetName and datasetUUID can not be specified simultaneously");
  }
  if (datasetName.includes("/")) yield invalid(`${path}.datasetName`, datasetName, "must not contain '/'");
}

function* fibreRules({ targetWWNs = [], wwids = [], lun }: FCVolumeSource, path: string): FieldErrors {
  if (targetWWNs.length === 0 && wwids.length === 0) {
    yield required(`${path}.targetWWNs`, "must specify either targetWWNs or wwids, but not both");
  }
  if (targetWWNs.length === 0) return;
  if (wwids.length > 0) {
    yield invalid(`${path}.targetWWNs`, targetWWNs, "targetWWNs and wwids can not be specified simultaneously");
  }
  if (lun === undefined) yield required(`${path}.lun`, "lun is required if targetWWNs is specified");
  else yield* inRange(`${path}.lun`, lun, 0, 255);
}

function* azureDiskRules(
  { diskName, diskURI = "", cachingMode, kind }: Partial<AzureDiskVolumeSource>,
  path: string,
): FieldErrors {
  const modes = ["None", "ReadOnly", "ReadWrite"];
  const kinds = ["Dedicated", "Managed", "Shared"];
  if (!diskName) yield required(`${path}.diskName`);
  if (!diskURI) yield required(`${path}.diskURI`);
  if (cachingMode !== undefined && !modes.includes(cachingMode)) {
    yield notSupported(`${path}.cachingMode`, cachingMode, modes);
  }
  if (kind === undefined) return;
  if (!kinds.includes(kind)) yield notSupported(`${path}.kind`, kind, kinds);
  const [start, form] =
    kind === "Managed"
      ? [
          "/subscriptions/",
          "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}",
        ]
      : ["https://", "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd"];
  if (!diskURI.startsWith(start)) yield notSupported(`${path}.diskURI`, diskURI, [form]);
}

function* flexOptionsRules(options: Readonly<Record<string, string>>, path: string): FieldErrors {
  for (const key of Object.keys(options)) {
    const [first = ""] = key.split("/", 1);
    const domain = `.${(key.includes("/") ? first : key).toLowerCase()}`;
    if (!domain.endsWith(".kubernetes.io") && !domain.endsWith(".k8s.io")) continue;
    yield invalid(`${path}[${key}]`, key, "kubernetes.io and k8s.io namespaces are reserved");
  }
}

function* storageOsRules(
  { volumeName, volumeNamespace }: NonNullable<Sources["storageos"]>,
  path: string,
): FieldErrors {
  if (!volumeName) yield required(`${path}.volumeName`);
  else yield* invalidEach(`${path}.volumeName`, volumeName, checkDns1123Label(volumeName));
  if (volumeNamespace) {
    yield* invalidEach(`${path}.volumeNamespace`, volumeNamespace, checkDns1123Label(volumeNamespace));
  }
}

export function* csiDriverNameRules(name: string, path: string): FieldErrors {
  if (!name) yield required(path);
  if (Buffer.byteLength(name) > MAX_DRIVER_BYTES) yield tooLong(path, MAX_DRIVER_BYTES);
  yield* invalidEach(path, name, checkDns1123Subdomain(name.toLowerCase()));
}

interface Iscsi {
  readonly targetPortal?: string;
  readonly iqn?: string;
  readonly lun?: number;
  readonly chapAuthDiscovery?: boolean;
  readonly chapAuthSession?: boolean;
  readonly secretRef?: object;
  readonly initiatorName?: string;
}

/** @param where a pod's volume is told of a wrong beginning in more words than a PersistentVolume */
export function* iscsiRules(source: Iscsi, path: string, where: "pod" | "persistentVolume"): FieldErrors {
  const { targetPortal, iqn, lun = 0, initiatorName } = source;
  const beginning = where === "pod" ? "must be valid format starting with iqn, eui, or naa" : "must be valid format";
  if (!targetPortal) yield required(`${path}.targetPortal`);
  if (!iqn) yield required(`${path}.iqn`);
  else yield* iscsiNameRules(iqn, beginning, `${path}.iqn`);
  yield* inRange(`${path}.lun`, lun, 0, 255);
  if ((source.chapAuthDiscovery || source.chapAuthSession) && !source.secretRef) yield required(`${path}.secretRef`);
  if (initiatorName !== undefined) yield* iscsiNameRules(initiatorName, beginning, `${path}.initiatorname`);
}

function* iscsiNameRules(name: string, beginning: string, path: string): FieldErrors {
  const format = { iqn: IQN, eui: EUI, naa: NAA }[name.slice(0, 3)];
  if (!format) yield invalid(path, name, beginning);
  else if (!format.test(name)) yield invalid(path, name, "must be valid format");
}

/** The kernel's limit of both names together. */
export function isTooLongForIscsi(volumeName: string, { initiatorName, targetPortal = "" }: Iscsi): boolean {
  return initiatorName !== undefined && Buffer.byteLength(`${volumeName}:${targetPortal}`) > MAX_ISCSI_NAME;
}

export const ISCSI_TOO_LONG =
  "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if iscsi.initiatorName is specified.";
