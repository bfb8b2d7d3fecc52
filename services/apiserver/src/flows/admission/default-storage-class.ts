/** A claim that names no class gets the cluster's default one: the newest of those that are marked. */
import type { PersistentVolumeClaim } from "@pilothouse/api/types/core-v1";
import { known } from "../../registry/known.ts";
import type { AdmissionPlugin } from "./admission.ts";

const MARK = "storageclass.kubernetes.io/is-default-class";
const OLD_MARK = "storageclass.beta.kubernetes.io/is-default-class";
/** The class of what was made before `storageClassName`. */
const OLD_CLASS = "volume.beta.kubernetes.io/storage-class";

export const defaultStorageClass: AdmissionPlugin = {
  name: "DefaultStorageClass",
  operations: ["CREATE"],
  resources: ["persistentvolumeclaims"],
  admit({ cached }, { object }) {
    const { spec, metadata } = object as unknown as PersistentVolumeClaim;
    if (!spec || spec.storageClassName !== undefined || metadata.annotations?.[OLD_CLASS] !== undefined) return;
    const marked = [...cached.list(known.storageClasses, "")].filter(
      ({ metadata: { annotations } }) => annotations?.[MARK] === "true" || annotations?.[OLD_MARK] === "true",
    );
    const [newest] = marked.sort((a, b) => {
      const [mine, other] = [a.metadata.creationTimestamp ?? "", b.metadata.creationTimestamp ?? ""];
      if (mine !== other) return mine > other ? -1 : 1;
      return (a.metadata.name ?? "") < (b.metadata.name ?? "") ? -1 : 1;
    });
    if (newest?.metadata.name !== undefined) spec.storageClassName = newest.metadata.name;
  },
};
