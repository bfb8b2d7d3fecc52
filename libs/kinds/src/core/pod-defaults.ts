/** What Kubernetes fills into pods and pod templates. All in place. */
import type {
  Container,
  DownwardAPIVolumeFile,
  EphemeralVolumeSource,
  LifecycleHandler,
  ObjectFieldSelector,
  Pod,
  PodSpec,
  PodTemplateSpec,
  Probe,
  ResourceFieldSelector,
  Volume,
} from "@pilothouse/api/types/core-v1";

/** 0644 */
const DEFAULT_FILE_MODE = 0o644;

/** Volume sources that turn into files, each with a mode. */
const FILE_SOURCES = ["secret", "configMap", "downwardAPI", "projected"] as const;

/** For pods themselves, which get more than templates do. */
export function defaultPod(pod: Pod): void {
  pod.spec ??= { containers: [] };
  const { spec } = pod;
  defaultPodSpec(spec);
  spec.enableServiceLinks ??= true;
  for (const container of allContainers(spec)) {
    requestWhatIsLimited(container);
    if (spec.hostNetwork === true) {
      for (const port of container.ports ?? []) port.hostPort ||= port.containerPort;
    }
  }
}

export function defaultPodTemplate(template: PodTemplateSpec): void {
  template.metadata ??= {};
  template.spec ??= { containers: [] };
  defaultPodSpec(template.spec);
}

function defaultPodSpec(spec: PodSpec): void {
  // Of a feature that is switched off.
  delete spec.schedulingGroup;
  spec.containers ??= [];
  spec.volumes?.forEach(defaultVolume);
  allContainers(spec).forEach(defaultContainer);
  spec.ephemeralContainers?.forEach(defaultContainer);
  spec.dnsPolicy ||= "ClusterFirst";
  spec.restartPolicy ||= "Always";
  spec.securityContext ??= {};
  spec.terminationGracePeriodSeconds ??= 30;
  spec.schedulerName ||= "default-scheduler";
  // `serviceAccount` is the older name of the same field: both always say the same.
  const account = spec.serviceAccountName || spec.serviceAccount;
  if (account) {
    spec.serviceAccountName = account;
    spec.serviceAccount = account;
  }
}

function allContainers(spec: PodSpec): Container[] {
  return [...(spec.initContainers ?? []), ...spec.containers];
}

function defaultContainer(container: Container): void {
  container.resources ??= {};
  container.imagePullPolicy ||= pullPolicyFor(container.image ?? "");
  container.terminationMessagePath ||= "/dev/termination-log";
  container.terminationMessagePolicy ||= "File";
  for (const port of container.ports ?? []) port.protocol ||= "TCP";
  for (const { valueFrom } of container.env ?? []) {
    defaultFieldRef(valueFrom?.fieldRef);
    defaultDivisor(valueFrom?.resourceFieldRef);
  }
  for (const probe of [container.livenessProbe, container.readinessProbe, container.startupProbe]) {
    if (probe) defaultProbe(probe);
  }
  defaultHandler(container.lifecycle?.postStart);
  defaultHandler(container.lifecycle?.preStop);
}

/** `[registry/]name[:tag][@digest]` */
const REFERENCE =
  /^(?:[a-zA-Z0-9.-]+(?::[0-9]+)?\/)?[a-z0-9]+(?:[._-]+[a-z0-9]+)*(?:\/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*(?::([\w][\w.-]{0,127}))?(@[a-zA-Z0-9+._-]+:[0-9a-fA-F]{32,})?$/;

/** A tag that may move is looked up every time, even where a digest says what it must be. What names no image waits for who changes it. */
export function pullPolicyFor(image: string): "Always" | "IfNotPresent" {
  const match = REFERENCE.exec(image);
  if (!match) return "IfNotPresent";
  const [, tag, digest] = match;
  return (tag ?? (digest === undefined ? "latest" : "")) === "latest" ? "Always" : "IfNotPresent";
}

function defaultProbe(probe: Probe): void {
  probe.timeoutSeconds ||= 1;
  probe.periodSeconds ||= 10;
  probe.successThreshold ||= 1;
  probe.failureThreshold ||= 3;
  if (probe.grpc) probe.grpc.service ??= "";
  defaultHandler(probe);
}

function defaultHandler(handler: Pick<LifecycleHandler, "httpGet"> | undefined): void {
  if (!handler?.httpGet) return;
  handler.httpGet.path ||= "/";
  handler.httpGet.scheme ||= "HTTP";
  for (const header of handler.httpGet.httpHeaders ?? []) header.value ??= "";
}

function defaultVolume(volume: Volume): void {
  const { name: _name, ...sources } = volume;
  if (Object.values(sources).every((source) => source === undefined)) volume.emptyDir = {};
  for (const kind of FILE_SOURCES) {
    const source = volume[kind];
    if (source) source.defaultMode ??= DEFAULT_FILE_MODE;
  }
  if (volume.hostPath) volume.hostPath.type ??= "";
  if (volume.image) volume.image.pullPolicy ||= pullPolicyFor(volume.image.reference ?? "");
  defaultLegacySource(volume);
  if (volume.ephemeral) defaultEphemeral(volume.ephemeral);
  volume.downwardAPI?.items?.forEach(defaultFile);
  for (const { serviceAccountToken, downwardAPI } of volume.projected?.sources ?? []) {
    if (serviceAccountToken) serviceAccountToken.expirationSeconds ??= 3600;
    downwardAPI?.items?.forEach(defaultFile);
  }
}

/** What the first volume plugins fill in. */
export function defaultLegacySource({ iscsi, rbd, azureDisk, scaleIO }: LegacySources): void {
  if (iscsi) iscsi.iscsiInterface ||= "default";
  if (rbd) {
    rbd.pool ||= "rbd";
    rbd.user ||= "admin";
    rbd.keyring ||= "/etc/ceph/keyring";
  }
  if (azureDisk) {
    azureDisk.cachingMode ??= "ReadWrite";
    azureDisk.fsType ??= "ext4";
    azureDisk.readOnly ??= false;
    azureDisk.kind ??= "Shared";
  }
  if (scaleIO) {
    scaleIO.storageMode ||= "ThinProvisioned";
    scaleIO.fsType ||= "xfs";
  }
}

interface LegacySources {
  iscsi?: { iscsiInterface?: string };
  rbd?: { pool?: string; user?: string; keyring?: string };
  azureDisk?: { cachingMode?: string; fsType?: string; readOnly?: boolean; kind?: string };
  scaleIO?: { storageMode?: string; fsType?: string };
}

function defaultEphemeral({ volumeClaimTemplate: template }: EphemeralVolumeSource): void {
  if (!template) return;
  template.metadata ??= {};
  template.spec ??= {};
  template.spec.resources ??= {};
  template.spec.volumeMode ??= "Filesystem";
}

function defaultFile({ fieldRef, resourceFieldRef }: DownwardAPIVolumeFile): void {
  defaultFieldRef(fieldRef);
  defaultDivisor(resourceFieldRef);
}

function defaultFieldRef(fieldRef: ObjectFieldSelector | undefined): void {
  if (fieldRef) fieldRef.apiVersion ||= "v1";
}

/** None, as every answer of Kubernetes writes it. */
function defaultDivisor(selector: ResourceFieldSelector | undefined): void {
  if (selector) selector.divisor ??= "0";
}

function requestWhatIsLimited({ resources }: Container): void {
  if (!resources?.limits) return;
  resources.requests = { ...resources.limits, ...resources.requests };
}
