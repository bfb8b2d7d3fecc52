/** Every active namespace has the ConfigMap from which pods learn whom to trust as the API. Pure. */
import type { ConfigMap, Namespace } from "@pilothouse/api/types/core-v1";
import { sameValue } from "@pilothouse/kinds/field-errors";
import type { PerNamespaceAction } from "../../core/per-namespace.ts";

export const ROOT_CA_CONFIG_MAP = "kube-root-ca.crt";

const DESCRIPTION_ANNOTATION = "kubernetes.io/description";
const DESCRIPTION =
  "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service " +
  "IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters.";

/** @param rootCa PEM */
export function plan(
  rootCa: string,
  { metadata, status }: Namespace,
  actual: ConfigMap | undefined,
): PerNamespaceAction<ConfigMap> {
  if (metadata.deletionTimestamp !== undefined || status?.phase === "Terminating") return { do: "nothing" };
  const data = { "ca.crt": rootCa };
  if (!actual) {
    const annotations = { [DESCRIPTION_ANNOTATION]: DESCRIPTION };
    const named = { name: ROOT_CA_CONFIG_MAP, namespace: metadata.name ?? "", annotations };
    return { do: "create", object: { metadata: named, data } };
  }
  // A description in somebody's own words may stay.
  const described = actual.metadata.annotations?.[DESCRIPTION_ANNOTATION] ?? "";
  if (sameValue(actual.data, data) && described !== "") return { do: "nothing" };
  const annotations = { ...actual.metadata.annotations, [DESCRIPTION_ANNOTATION]: DESCRIPTION };
  return { do: "update", object: { ...actual, data, metadata: { ...actual.metadata, annotations } } };
}
