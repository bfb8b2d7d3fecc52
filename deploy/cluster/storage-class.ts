/** The class of claims that name none: volumes are directories of the node that their first pod goes to. */
import type { StorageClass } from "@pilothouse/api/types/storage-v1";
import type { ClusterChoices, Layout } from "./layout.ts";
import { asAdmin } from "./readiness.ts";

const STANDARD: StorageClass = {
  apiVersion: "storage.k8s.io/v1",
  kind: "StorageClass",
  metadata: { name: "standard", annotations: { "storageclass.kubernetes.io/is-default-class": "true" } },
  provisioner: "pilothouse.io/local-volume",
  reclaimPolicy: "Delete",
  volumeBindingMode: "WaitForFirstConsumer",
};

/** Made where there is none of that name; what somebody made of it stays. */
export async function ensureStorageClass(layout: Layout, choices: ClusterChoices): Promise<void> {
  const { status, body } = await asAdmin(layout, choices, "/apis/storage.k8s.io/v1/storageclasses", STANDARD);
  if (status !== 201 && status !== 409) throw new Error(`StorageClass standard could not be made: ${status} ${body}`);
}
