/**
 * The scale of anything that has one, whatever its kind: found by what the API says it serves.
 *
 * Promises: errors say what upstream's say. Does not promise: anything about how long a scale stays true.
 */
import type { Scale } from "@pilothouse/api/types/autoscaling-v1";
import { resources, type ApiClient, type CallOptions, type ResourceType, type WriteOptions } from "@pilothouse/client";
import { query, resourcePath } from "@pilothouse/client/paths";
import { isStatus } from "@pilothouse/errors";

/** `apps/v1` and `Deployment` */
export interface KindReference {
  readonly apiVersion: string;
  readonly kind: string;
}

/** Need no question. */
const WELL_KNOWN: readonly ResourceType[] = [
  resources.deployments,
  resources.replicaSets,
  resources.statefulSets,
  resources.replicationControllers,
];

interface ServedKind {
  readonly name: string;
  readonly kind: string;
  readonly namespaced: boolean;
}

/** The resource of a kind, as its group version serves it. @throws Error where nothing of that kind is served */
export async function resourceOf(
  client: ApiClient,
  { apiVersion, kind }: KindReference,
  options: CallOptions,
): Promise<ResourceType> {
  const [group, version] = apiVersion.includes("/") ? (apiVersion.split("/") as [string, string]) : ["", apiVersion];
  const known = WELL_KNOWN.find((type) => type.group === group && type.version === version && type.kind === kind);
  if (known) return known;
  const path = group === "" ? `/api/${version}` : `/apis/${group}/${version}`;
  const served = await readList(client, path, options);
  const found = served.find((one) => one.kind === kind && !one.name.includes("/"));
  if (!found) throw new Error(`no matches for kind ${JSON.stringify(kind)} in version ${JSON.stringify(apiVersion)}`);
  return { group, version, resource: found.name, kind, namespaced: found.namespaced };
}

async function readList(client: ApiClient, path: string, options: CallOptions): Promise<readonly ServedKind[]> {
  try {
    const bytes = await client.raw("GET", path, options);
    return (JSON.parse(new TextDecoder().decode(bytes)) as { resources: readonly ServedKind[] }).resources;
  } catch (error) {
    if (isStatus(error, "NotFound")) return [];
    throw error;
  }
}

export async function readScale(
  client: ApiClient,
  type: ResourceType,
  namespace: string,
  name: string,
  options: CallOptions,
): Promise<Scale> {
  const bytes = await client.raw("GET", resourcePath(type, namespace, name, "scale"), options);
  return JSON.parse(new TextDecoder().decode(bytes)) as Scale;
}

/** The scale's resourceVersion is the condition: whoever changed the object meanwhile is not overruled. */
export async function writeScale(
  client: ApiClient,
  type: ResourceType,
  scale: Scale,
  replicas: number,
  options: WriteOptions,
): Promise<void> {
  const { namespace = "", name = "" } = scale.metadata;
  const body = new TextEncoder().encode(JSON.stringify({ ...scale, spec: { ...scale.spec, replicas } }));
  const path = resourcePath(type, namespace, name, "scale") + query({ fieldManager: options.fieldManager });
  await client.raw("PUT", path, { ...options, body, contentType: "application/json" });
}
