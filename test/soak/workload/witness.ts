/** A pod that writes down on its machine's disk what it does. */
import { TOOLBOX_IMAGE } from "../../../deploy/images.ts";
import { EVIDENCE, EVIDENCE_MOUNT } from "../machines/evidence.ts";

/** Of a pod template, without its restart policy. The script knows POD_NAME and POD_UID. */
export function witness(namespace: string, script: string, env: Readonly<Record<string, string>> = {}): object {
  return {
    terminationGracePeriodSeconds: 2,
    automountServiceAccountToken: false,
    containers: [
      {
        name: "witness",
        image: TOOLBOX_IMAGE,
        imagePullPolicy: "IfNotPresent",
        command: ["sh", "-c", script],
        env: [
          { name: "POD_NAME", valueFrom: { fieldRef: { fieldPath: "metadata.name" } } },
          { name: "POD_UID", valueFrom: { fieldRef: { fieldPath: "metadata.uid" } } },
          ...Object.entries(env).map(([name, value]) => ({ name, value })),
        ],
        volumeMounts: [{ name: "evidence", mountPath: EVIDENCE_MOUNT }],
      },
    ],
    volumes: [{ name: "evidence", hostPath: { path: `${EVIDENCE}/${namespace}`, type: "DirectoryOrCreate" } }],
  };
}
