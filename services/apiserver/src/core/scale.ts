/** The scale subresource: how many replicas a workload has, whatever kind it is. Pure. */
import { labelSelectorOf, labelSelectorToString, type LabelSelectorObject } from "@pilothouse/selectors";
import type { ApiObject } from "@pilothouse/kinds/kind";

export const SCALE_KIND = { group: "autoscaling", version: "v1", kind: "Scale" } as const;

interface Workload {
  readonly spec?: { readonly replicas?: number; readonly selector?: object };
  readonly status?: { readonly replicas?: number };
}

export function scaleOf(object: ApiObject): ApiObject {
  const { spec, status } = object as Workload;
  const { name, namespace, uid, resourceVersion, creationTimestamp } = object.metadata;
  return {
    kind: "Scale",
    apiVersion: "autoscaling/v1",
    metadata: definedOnly({ name, namespace, uid, resourceVersion, creationTimestamp }),
    spec: { replicas: spec?.replicas ?? 0 },
    status: { replicas: status?.replicas ?? 0, selector: selectorText(spec?.selector) },
  };
}

/** The workload with the replicas of the scale. */
export function withScale(object: ApiObject, scale: ApiObject): ApiObject {
  const replicas = (scale["spec"] as { replicas?: number } | undefined)?.replicas ?? 0;
  return { ...object, spec: { ...(object["spec"] as object | undefined), replicas } };
}

/** ReplicationControllers select by a plain map. */
function selectorText(selector: object | undefined): string {
  if (selector === undefined) return "";
  const isPlain = !("matchLabels" in selector) && !("matchExpressions" in selector);
  const object = (isPlain ? { matchLabels: selector } : selector) as LabelSelectorObject;
  return labelSelectorToString(labelSelectorOf(object));
}

function definedOnly(fields: Readonly<Record<string, string | undefined>>): ApiObject["metadata"] {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}
