/** Which object of the API a pod names. Static pods and their mirrors may name none: a node would else give itself others' secrets. */
import type { Container, Pod, Volume, VolumeProjection } from "@pilothouse/api/types/core-v1";

/** The first kind of thing that the pod names, as upstream calls it in its refusals (`secrets (via projected volumes)`); undefined: none. */
export function apiReferenceOf({ spec }: Pod): string | undefined {
  if (spec.serviceAccountName) return "serviceaccounts";
  const containers: readonly Container[] = [
    ...(spec.containers ?? []),
    ...(spec.initContainers ?? []),
    ...(spec.ephemeralContainers ?? []),
  ];
  const volumes = spec.volumes ?? [];
  const names = (envFrom: "secretRef" | "configMapRef", env: "secretKeyRef" | "configMapKeyRef"): boolean =>
    containers.some(
      (it) => it.envFrom?.some((from) => from[envFrom]) || it.env?.some(({ valueFrom }) => valueFrom?.[env]),
    );
  if ((spec.imagePullSecrets ?? []).length > 0 || names("secretRef", "secretKeyRef") || volumes.some(namesSecret))
    return "secrets";
  if (names("configMapRef", "configMapKeyRef") || volumes.some(namesConfigMap)) return "configmaps";
  if ((spec.resourceClaims ?? []).length > 0) return "resourceclaims";
  for (const volume of volumes) {
    const found = referenceOfVolume(volume);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** Of all that a driver or a plugin may be handed, the passwords. */
function namesSecret(volume: Volume): boolean {
  const { secret, projected, csi, azureFile, cephfs, cinder, flexVolume, iscsi, rbd, scaleIO, storageos } = volume;
  return Boolean(
    secret ??
    csi?.nodePublishSecretRef ??
    azureFile ??
    cephfs?.secretRef ??
    cinder?.secretRef ??
    flexVolume?.secretRef ??
    iscsi?.secretRef ??
    rbd?.secretRef ??
    scaleIO?.secretRef ??
    storageos?.secretRef ??
    projected?.sources?.some((source) => source.secret),
  );
}

function namesConfigMap({ configMap, projected }: Volume): boolean {
  return configMap !== undefined || (projected?.sources ?? []).some((source) => source.configMap);
}

function referenceOfVolume(volume: Volume): string | undefined {
  if (volume.csi) return "csidrivers (via CSI volumes)";
  if (volume.glusterfs) return "endpoints (via glusterFS volumes)";
  if (volume.persistentVolumeClaim) return "persistentvolumeclaims";
  if (volume.ephemeral) return "persistentvolumeclaims (via ephemeral volumes)";
  return (volume.projected?.sources ?? []).map(referenceOfProjection).find((found) => found !== undefined);
}

function referenceOfProjection(source: VolumeProjection): string | undefined {
  if (source.serviceAccountToken) return "serviceaccounts (via projected volumes)";
  if (source.clusterTrustBundle) return "clustertrustbundles";
  return source.podCertificate ? "podcertificates" : undefined;
}
