/** The paths and queries of Kubernetes' API. */
import type { ResourceType } from "./contract.ts";

/** `namespace` "" for cluster-wide kinds and for all namespaces; `name` "" for the collection. */
export function resourcePath(type: ResourceType, namespace: string, name = "", subresource = ""): string {
  const root = type.group === "" ? `/api/${type.version}` : `/apis/${type.group}/${type.version}`;
  const scope = type.namespaced && namespace !== "" ? `/namespaces/${encodeURIComponent(namespace)}` : "";
  const item = name === "" ? "" : `/${encodeURIComponent(name)}`;
  return `${root}${scope}/${type.resource}${item}${subresource === "" ? "" : `/${subresource}`}`;
}

/** `?a=b&c=d`, or "" when every value is undefined or "". */
export function query(parameters: Readonly<Record<string, string | number | boolean | undefined>>): string {
  const given = Object.entries(parameters).filter(([, value]) => value !== undefined && value !== "");
  if (given.length === 0) return "";
  return `?${given.map(([name, value]) => `${name}=${encodeURIComponent(String(value))}`).join("&")}`;
}
