/** Pods that work on one node's disk: one makes a volume's directory, one removes it. They are all the rights that this needs. Pure. */
import type { Node, Pod } from "@pilothouse/api/types/core-v1";

export interface LocalVolumes {
  /** On every node: where volumes' directories are. */
  readonly directory: string;
  /** An image with `mkdir`, `chmod` and `rm`, as busybox has them. */
  readonly image: string;
}

export const HELPERS_NAMESPACE = "kube-system";
const LABELS = { "app.kubernetes.io/name": "local-volume-provisioner" };
/** A volume's directory is a name in here. */
const MOUNTED_AT = "/volumes";

export function directoryOf(volumeName: string, { directory }: LocalVolumes): string {
  return `${directory}/${volumeName}`;
}

export function makerName(volumeName: string): string {
  return `make-${volumeName}`;
}

export function cleanerName(volumeName: string): string {
  return `remove-${volumeName}`;
}

/** Of which volume the pod is a helper; undefined for every other pod. */
export function volumeOfHelper({ metadata }: Pod): string | undefined {
  if (metadata.namespace !== HELPERS_NAMESPACE) return undefined;
  return /^(?:make|remove)-(pvc-.+)$/.exec(metadata.name ?? "")?.[1];
}

/** Open to every user, like an emptyDir: who may mount it is the claim's affair. */
export function makerPod(volumeName: string, node: Node, settings: LocalVolumes): Pod {
  const path = `${MOUNTED_AT}/${volumeName}`;
  return helper(makerName(volumeName), ["sh", "-c", `mkdir -p ${path} && chmod 0777 ${path}`], node, settings);
}

export function cleanerPod(volumeName: string, node: Node, settings: LocalVolumes): Pod {
  return helper(cleanerName(volumeName), ["rm", "-rf", `${MOUNTED_AT}/${volumeName}`], node, settings);
}

/** It runs on its node whatever that is tainted with, and once: another try is another pod. */
function helper(name: string, command: readonly string[], node: Node, { directory, image }: LocalVolumes): Pod {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: HELPERS_NAMESPACE, labels: LABELS },
    spec: {
      nodeName: node.metadata.name ?? "",
      restartPolicy: "Never",
      automountServiceAccountToken: false,
      enableServiceLinks: false,
      terminationGracePeriodSeconds: 0,
      tolerations: [{ operator: "Exists" }],
      containers: [
        {
          name: "helper",
          image,
          imagePullPolicy: "IfNotPresent",
          command: [...command],
          volumeMounts: [{ name: "volumes", mountPath: MOUNTED_AT }],
        },
      ],
      volumes: [{ name: "volumes", hostPath: { path: directory, type: "DirectoryOrCreate" } }],
    },
  };
}
