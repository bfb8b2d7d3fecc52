/** Claims and volumes are protected from birth: their controllers let them go once nobody uses them. */
import type { AdmissionPlugin } from "./admission.ts";

const FINALIZERS: Readonly<Record<string, string>> = {
  persistentvolumeclaims: "kubernetes.io/pvc-protection",
  persistentvolumes: "kubernetes.io/pv-protection",
};

export const storageObjectInUseProtection: AdmissionPlugin = {
  name: "StorageObjectInUseProtection",
  operations: ["CREATE"],
  resources: Object.keys(FINALIZERS),
  admit(_deps, { object, kind }) {
    const finalizer = FINALIZERS[kind.resource];
    const { finalizers = [] } = object?.metadata ?? {};
    if (!object || finalizer === undefined || finalizers.includes(finalizer)) return;
    object.metadata.finalizers = [...finalizers, finalizer];
  },
};
