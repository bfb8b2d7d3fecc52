/**
 * What upstream's default admission plugins add to a pod at creation: Priority, DefaultTolerationSeconds and
 * ServiceAccount. Pure: what has to be looked up or drawn comes in. All in place.
 */
import type { Container, Pod, ServiceAccount, Toleration, Volume } from "@pilothouse/api/types/core-v1";

/** Long enough for a node to come back before its pods are moved. */
const UNREACHABLE_SECONDS = 300;
/** An hour and a little, so that a renewal a little late still finds the token valid. */
const TOKEN_SECONDS = 3607;
const TOKEN_DIRECTORY = "/var/run/secrets/kubernetes.io/serviceaccount";
const MIRROR_POD = "kubernetes.io/config.mirror";

/** `priorityClass`: the class that the pod names, or the cluster's default; undefined when neither is. */
export function admitPriority(
  { spec }: Pod,
  priorityClass?: { name: string; value: number; preemptionPolicy?: string },
): void {
  if (priorityClass) spec.priorityClassName = priorityClass.name;
  spec.priority = priorityClass?.value ?? 0;
  spec.preemptionPolicy ??= priorityClass?.preemptionPolicy ?? "PreemptLowerPriority";
}

/** Every pod outlives five minutes of its node being not ready or unreachable, unless it says otherwise itself. */
export function admitTolerations({ spec }: Pod): void {
  for (const key of ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"]) {
    if (spec.tolerations?.some((toleration) => tolerates(toleration, key))) continue;
    spec.tolerations = [
      ...(spec.tolerations ?? []),
      { key, operator: "Exists", effect: "NoExecute", tolerationSeconds: UNREACHABLE_SECONDS },
    ];
  }
}

/** The service account a pod is to run as: look this one up, then call `admitServiceAccount`. */
export function serviceAccountNameOf({ spec }: Pod): string {
  return spec.serviceAccountName || spec.serviceAccount || "default";
}

/**
 * Gives the pod its identity: the account's name and pull secrets, and its token mounted in every container that has
 * not mounted something there itself.
 *
 * @param account undefined when it does not exist (the caller refuses the pod then, except a mirror pod)
 * @param suffix five random characters for the volume's name, kube-api-access-xxxxx
 */
export function admitServiceAccount(pod: Pod, account: ServiceAccount | undefined, suffix: string): void {
  if (pod.metadata.annotations?.[MIRROR_POD] !== undefined) return;
  const { spec } = pod;
  const name = serviceAccountNameOf(pod);
  spec.serviceAccountName = name;
  spec.serviceAccount = name;
  if ((spec.imagePullSecrets ?? []).length === 0 && account?.imagePullSecrets) {
    spec.imagePullSecrets = account.imagePullSecrets.map(({ name: secretName }) =>
      secretName ? { name: secretName } : {},
    );
  }
  const wantsToken = spec.automountServiceAccountToken ?? account?.automountServiceAccountToken ?? true;
  if (wantsToken) mountToken(pod, suffix);
}

function mountToken({ spec }: Pod, suffix: string): void {
  // Nothing is validated yet: a volume may have no name.
  const existing = spec.volumes?.find(({ name }: Partial<Volume>) => name?.startsWith("kube-api-access-"));
  const volume = existing ?? tokenVolume(`kube-api-access-${suffix}`);
  const without = [...(spec.initContainers ?? []), ...spec.containers].filter(
    ({ volumeMounts }) => !volumeMounts?.some(({ mountPath }) => mountPath === TOKEN_DIRECTORY),
  );
  for (const container of without) mount(container, volume.name);
  if (without.length > 0 && !existing) spec.volumes = [...(spec.volumes ?? []), volume];
}

function mount(container: Container, name: string): void {
  container.volumeMounts = [...(container.volumeMounts ?? []), { name, readOnly: true, mountPath: TOKEN_DIRECTORY }];
}

function tokenVolume(name: string): Volume {
  return {
    name,
    projected: {
      defaultMode: 0o644,
      sources: [
        { serviceAccountToken: { path: "token", expirationSeconds: TOKEN_SECONDS } },
        { configMap: { name: "kube-root-ca.crt", items: [{ key: "ca.crt", path: "ca.crt" }] } },
        {
          downwardAPI: {
            items: [{ path: "namespace", fieldRef: { apiVersion: "v1", fieldPath: "metadata.namespace" } }],
          },
        },
      ],
    },
  };
}

function tolerates({ key, effect }: Toleration, taint: string): boolean {
  return (!key || key === taint) && (!effect || effect === "NoExecute");
}
