/**
 * Which resources the API serves, by asking it (the legacy discovery documents, which every apiserver has): for each resource
 * the version that its group prefers, or else the first that has it.
 *
 * Promises: what could be learned is returned together with what could not; nobody takes a part for the whole.
 */
import type { ApiClient, CallOptions, ResourceType } from "@pilothouse/client";
import { sleep, type Clock } from "@pilothouse/clock";
import type { Telemetry } from "@pilothouse/telemetry";

export interface ServedResource extends ResourceType {
  readonly verbs: readonly string[];
}

export interface Discovered {
  readonly resources: readonly ServedResource[];
  /** What failed; empty when `resources` is all there is. */
  readonly failures: readonly DiscoveryFailure[];
}

export interface DiscoveryFailure {
  readonly groupVersion: string;
  readonly error: unknown;
}

export interface DiscoveryPorts {
  readonly client: ApiClient;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
}

/** Throws when not even the list of groups can be read. */
export async function discoverResources(client: ApiClient, options: CallOptions): Promise<Discovered> {
  const { groups } = await read<GroupList>(client, "/apis", options);
  const versions = [{ group: "", version: "v1" }, ...groups.flatMap(versionsByPreference)];
  const lists = await Promise.all(versions.map((version) => resourcesOf(client, version, options)));
  const resources = new Map<string, ServedResource>();
  const failures: DiscoveryFailure[] = [];
  for (const list of lists) {
    if ("error" in list) failures.push(list);
    else
      for (const resource of list.resources) {
        const name = `${resource.group}/${resource.resource}`;
        if (!resources.has(name)) resources.set(name, resource);
      }
  }
  return { resources: [...resources.values()], failures };
}

const RETRY_MS = 1_000;

/** For whom a part is none: what fails is asked for again. @param who for the log */
export async function discoverEverything(
  { client, clock, telemetry }: DiscoveryPorts,
  who: string,
  signal: AbortSignal,
): Promise<readonly ServedResource[]> {
  for (;;) {
    const { resources, failures } = await discoverResources(client, { signal }).catch((error: unknown): Discovered => {
      if (signal.aborted) throw error;
      return { resources: [], failures: [{ groupVersion: "", error }] };
    });
    if (failures.length === 0) return resources;
    telemetry.log.warn(`${who}: not all resources could be discovered`, { failures: failures.length });
    await sleep(clock, RETRY_MS, signal);
  }
}

interface GroupVersion {
  readonly group: string;
  readonly version: string;
}

interface GroupList {
  readonly groups: readonly {
    readonly name: string;
    readonly versions: readonly { readonly version: string }[];
    readonly preferredVersion?: { readonly version: string };
  }[];
}

interface ResourceList {
  readonly resources: readonly {
    readonly name: string;
    readonly kind: string;
    readonly namespaced: boolean;
    readonly verbs: readonly string[];
  }[];
}

function versionsByPreference({ name, versions, preferredVersion }: GroupList["groups"][number]): GroupVersion[] {
  const preferred = preferredVersion?.version;
  const others = versions.map(({ version }) => version).filter((version) => version !== preferred);
  return [...(preferred === undefined ? [] : [preferred]), ...others].map((version) => ({ group: name, version }));
}

async function resourcesOf(
  client: ApiClient,
  { group, version }: GroupVersion,
  options: CallOptions,
): Promise<{ readonly resources: readonly ServedResource[] } | DiscoveryFailure> {
  const path = group === "" ? `/api/${version}` : `/apis/${group}/${version}`;
  try {
    const { resources } = await read<ResourceList>(client, path, options);
    const own = resources.filter(({ name }) => !name.includes("/"));
    return { resources: own.map(({ name, ...rest }) => ({ ...rest, group, version, resource: name })) };
  } catch (error) {
    if (options.signal?.aborted) throw error;
    return { groupVersion: group === "" ? version : `${group}/${version}`, error };
  }
}

async function read<T>(client: ApiClient, path: string, options: CallOptions): Promise<T> {
  return JSON.parse(new TextDecoder().decode(await client.raw("GET", path, options))) as T;
}
