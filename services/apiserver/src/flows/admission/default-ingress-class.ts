/** An Ingress that names no class gets the cluster's default one: the newest of those that are marked. */
import type { Ingress } from "@pilothouse/api/types/networking-v1";
import { known } from "../../registry/known.ts";
import type { AdmissionPlugin } from "./admission.ts";

const MARK = "ingressclass.kubernetes.io/is-default-class";
/** The class of what was made before `ingressClassName`. */
const OLD_CLASS = "kubernetes.io/ingress.class";

export const defaultIngressClass: AdmissionPlugin = {
  name: "DefaultIngressClass",
  operations: ["CREATE"],
  resources: ["networking.k8s.io/ingresses"],
  admit({ cached }, { object }) {
    const ingress = object as unknown as Ingress;
    const { metadata, spec } = ingress;
    if (spec?.ingressClassName !== undefined || metadata.annotations?.[OLD_CLASS] !== undefined) return;
    const marked = [...cached.list(known.ingressClasses, "")].filter(
      (one) => one.metadata.annotations?.[MARK] === "true",
    );
    // Two defaults are somebody's mistake, not everybody's trouble.
    const [newest] = marked.sort((a, b) => {
      const [mine, other] = [a.metadata.creationTimestamp ?? "", b.metadata.creationTimestamp ?? ""];
      if (mine !== other) return mine > other ? -1 : 1;
      return (a.metadata.name ?? "") < (b.metadata.name ?? "") ? -1 : 1;
    });
    if (newest?.metadata.name !== undefined) ingress.spec = { ...spec, ingressClassName: newest.metadata.name };
  },
};
