/** Which objects an informer wants: asked of the server over HTTP, judged here for the bus. */
import type { KubernetesObject } from "@pilothouse/client";
import { matchesFields, matchesLabels, parseFieldSelector, parseLabelSelector } from "@pilothouse/selectors";

export interface Selection {
  /** "" or absent: all. */
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
}

/** A test of objects that has parsed its selectors once. Fields are read where their names point in the object. */
export function selects({ namespace = "", labelSelector = "", fieldSelector = "" }: Selection) {
  const labels = parseLabelSelector(labelSelector);
  const fields = parseFieldSelector(fieldSelector);
  return (object: KubernetesObject): boolean => {
    if (namespace !== "" && object.metadata.namespace !== namespace) return false;
    if (!matchesLabels(labels, object.metadata.labels)) return false;
    return matchesFields(fields, Object.fromEntries(fields.map(({ field }) => [field, fieldAt(object, field)])));
  };
}

function fieldAt(object: unknown, path: string): string {
  let value = object;
  for (const step of path.split(".")) value = (value as Readonly<Record<string, unknown>> | undefined)?.[step];
  return typeof value === "string" ? value : "";
}
