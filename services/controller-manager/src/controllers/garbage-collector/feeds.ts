/** The graph's feeds: every resource that is served and can be deleted, heard of by one informer each. */
import type { KubernetesObject } from "@pilothouse/client";
import { allSynced, startInformer, type Informer } from "@pilothouse/informer";
import type { ControllerPorts } from "../../controller-ports.ts";
import { wholeInformer } from "../../informers.ts";
import { discoverEverything, type ServedResource } from "../../discovery.ts";

/** Events never own and are never owned; they go by age. */
const NOT_WATCHED: readonly string[] = ["/events", "events.k8s.io/events"];

export interface Feeds {
  readonly informers: readonly Informer<KubernetesObject>[];
  /** The resource that an owner reference means; undefined when it is not served. */
  typeOf(apiVersion: string, kind: string): ServedResource | undefined;
}

/**
 * Resolves when every feed has its first list, which a leader that reads it after its election may trust (C10). Resources that
 * are served only later are found by the next leader.
 */
export async function startFeeds(ports: ControllerPorts, signal: AbortSignal): Promise<Feeds> {
  const resources = await discoverEverything(ports, "garbage collector", signal);
  const byKind = new Map(resources.map((type) => [`${apiVersionOf(type)} ${type.kind}`, type]));
  const informers = resources
    .filter((type) => isCollectable(type) && !NOT_WATCHED.includes(nameOf(type)))
    .map((type) => wholeInformer(ports.informers, type) ?? startInformer(ports, { type, keep: kinship }));
  await allSynced(informers, signal);
  return { informers, typeOf: (apiVersion, kind) => byKind.get(`${apiVersion} ${kind}`) };
}

/** All that the graph needs of an object: what is in it stays where it is. */
function kinship({ metadata }: KubernetesObject): KubernetesObject {
  const { labels: _, annotations: __, managedFields: ___, ...kept } = metadata;
  return { metadata: kept };
}

function isCollectable({ verbs }: ServedResource): boolean {
  return ["list", "watch", "get", "delete", "patch"].every((verb) => verbs.includes(verb));
}

function nameOf({ group, resource }: { readonly group: string; readonly resource: string }): string {
  return `${group}/${resource}`;
}

export function apiVersionOf({ group, version }: { readonly group: string; readonly version: string }): string {
  return group === "" ? version : `${group}/${version}`;
}
