/**
 * What resources there are: the legacy documents (one for each group version) and the aggregated ones (all in one answer),
 * of exactly the kinds that are served (wire traps 7 to 11). Pure; documents are made when first asked for.
 */
import { contentTypeOf, DISCOVERY_MEDIA, negotiate, type Negotiated, type Transform } from "@pilothouse/api/media";
import { encodeYaml } from "@pilothouse/api/codec/yaml";
import type { GroupVersionKind, KindDefinition, SubresourceDefinition } from "@pilothouse/kinds/kind";
import { matchesEtag } from "./openapi.ts";

export interface DiscoveryOptions {
  /** Stored and answered kinds; reviews have the verb create only. */
  readonly kinds: readonly KindDefinition[];
  readonly sha256Hex: (bytes: Uint8Array) => string;
  /** `host:port` under which clients reach this apiserver. */
  readonly serverAddress: string;
}

export interface DiscoveryRequest {
  /** `/api`, `/apis`, `/apis/apps`, `/apis/apps/v1`, `/api/v1`; a slash at the end does not matter. */
  readonly path: string;
  readonly accept: string | undefined;
  readonly ifNoneMatch: string | undefined;
}

export interface DiscoveryAnswer {
  readonly status: 200 | 304 | 406;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
}

export interface Discovery {
  /** Undefined: no such path (404). */
  answer(request: DiscoveryRequest): DiscoveryAnswer | undefined;
}

export function discovery(options: DiscoveryOptions): Discovery {
  const made = new Map<string, Encoded>();
  return {
    answer({ path, accept, ifNoneMatch }) {
      const asked = path.replace(/\/$/, "");
      const isRoot = asked === "/api" || asked === "/apis";
      const negotiated = negotiate(accept, isRoot ? DISCOVERY_MEDIA : LEGACY_MEDIA);
      if (!negotiated) return { status: 406, headers: {}, body: new Uint8Array() };
      const contentType = contentTypeOf(negotiated);
      const key = `${asked} ${contentType}`;
      const encoded = made.get(key) ?? encode(documentAt(asked, negotiated.transform, options), negotiated, options);
      if (!encoded) return undefined;
      made.set(key, encoded);
      const headers = { "cache-control": "no-cache, private", vary: "Accept", etag: encoded.etag };
      if (matchesEtag(ifNoneMatch, encoded.etag)) return { status: 304, headers, body: new Uint8Array() };
      return { status: 200, headers: { ...headers, "content-type": contentType }, body: encoded.bytes };
    },
  };
}

interface Encoded {
  readonly bytes: Uint8Array;
  readonly etag: string;
}

function encode(document: unknown, { format }: Negotiated, { sha256Hex }: DiscoveryOptions): Encoded | undefined {
  if (document === undefined) return undefined;
  const bytes = format === "yaml" ? encodeYaml(document) : Buffer.from(JSON.stringify(document));
  return { bytes, etag: `"${sha256Hex(bytes).toUpperCase()}"` };
}

const LEGACY_MEDIA = { ...DISCOVERY_MEDIA, transforms: [] };

function documentAt(path: string, transform: Transform | undefined, options: DiscoveryOptions): unknown {
  const { kinds, serverAddress } = options;
  if (path === "/api") return transform ? aggregated(kinds, transform.version, true) : apiVersions(serverAddress);
  if (path === "/apis") return transform ? aggregated(kinds, transform.version, false) : groupList(kinds);
  const [, root, first = "", second, ...rest] = path.split("/");
  if (root === "api") return second === undefined ? resourceList(kinds, "", first) : undefined;
  if (root !== "apis" || first === "" || rest.length > 0) return undefined;
  return second === undefined ? singleGroup(kinds, first) : resourceList(kinds, first, second);
}

function apiVersions(serverAddress: string): unknown {
  return {
    kind: "APIVersions",
    versions: ["v1"],
    serverAddressByClientCIDRs: [{ clientCIDR: "0.0.0.0/0", serverAddress }],
  };
}

function groupList(kinds: readonly KindDefinition[]): unknown {
  return { kind: "APIGroupList", apiVersion: "v1", groups: groupNames(kinds).map((name) => group(kinds, name)) };
}

function singleGroup(kinds: readonly KindDefinition[], name: string): unknown {
  return groupNames(kinds).includes(name) ? { kind: "APIGroup", apiVersion: "v1", ...group(kinds, name) } : undefined;
}

function group(kinds: readonly KindDefinition[], name: string): object {
  const versions = versionsOf(kinds, name).map((version) => ({ groupVersion: `${name}/${version}`, version }));
  return { name, versions, preferredVersion: versions[0] };
}

function resourceList(kinds: readonly KindDefinition[], groupName: string, version: string): unknown {
  const own = kindsIn(kinds, groupName, version);
  if (own.length === 0) return undefined;
  return {
    kind: "APIResourceList",
    ...(groupName === "" ? {} : { apiVersion: "v1" }),
    groupVersion: groupName === "" ? version : `${groupName}/${version}`,
    resources: own.flatMap((kind) => [legacyResource(kind), ...kind.subresources.map((sub) => legacySub(kind, sub))]),
  };
}

function legacyResource(kind: KindDefinition): object {
  return {
    name: kind.resource,
    singularName: kind.singular,
    namespaced: kind.namespaced,
    kind: kind.kind,
    verbs: kind.verbs.toSorted(),
    ...namesPart(kind),
  };
}

function legacySub(kind: KindDefinition, subresource: SubresourceDefinition): object {
  const spoken = kindOfSubresource(kind, subresource);
  const isForeign = spoken.group !== kind.group || spoken.version !== kind.version;
  return {
    name: `${kind.resource}/${subresource.name}`,
    singularName: "",
    namespaced: kind.namespaced,
    ...(isForeign ? { group: spoken.group, version: spoken.version } : {}),
    kind: spoken.kind,
    verbs: subresource.verbs.toSorted(),
  };
}

function namesPart({ shortNames, categories }: KindDefinition): object {
  return {
    ...(shortNames.length > 0 ? { shortNames } : {}),
    ...(categories.length > 0 ? { categories } : {}),
  };
}

/** `isCore`: `/api` answers with the core group alone, `/apis` with all others; clients join them. */
function aggregated(kinds: readonly KindDefinition[], documentVersion: string, isCore: boolean): unknown {
  const names = isCore ? [""] : groupNames(kinds);
  return {
    kind: "APIGroupDiscoveryList",
    apiVersion: `apidiscovery.k8s.io/${documentVersion}`,
    metadata: {},
    items: names.map((name) => ({
      metadata: name === "" ? {} : { name },
      versions: versionsOf(kinds, name).map((version) => ({
        version,
        resources: kindsIn(kinds, name, version).map(aggregatedResource),
        freshness: "Current",
      })),
    })),
  };
}

function aggregatedResource(kind: KindDefinition): object {
  const { subresources } = kind;
  return {
    resource: kind.resource,
    responseKind: { group: kind.group, version: kind.version, kind: kind.kind },
    scope: kind.namespaced ? "Namespaced" : "Cluster",
    singularResource: kind.singular,
    verbs: kind.verbs.toSorted(),
    ...namesPart(kind),
    ...(subresources.length > 0 ? { subresources: subresources.map((sub) => aggregatedSub(kind, sub)) } : {}),
  };
}

function aggregatedSub(kind: KindDefinition, subresource: SubresourceDefinition): object {
  return {
    subresource: subresource.name,
    responseKind: kindOfSubresource(kind, subresource),
    verbs: subresource.verbs.toSorted(),
  };
}

/** Never empty: clients drop entries without a kind. */
function kindOfSubresource(kind: KindDefinition, subresource: SubresourceDefinition): GroupVersionKind {
  return {
    group: subresource.group ?? kind.group,
    version: subresource.version ?? kind.version,
    kind: subresource.kind ?? kind.kind,
  };
}

function kindsIn(kinds: readonly KindDefinition[], group: string, version: string): KindDefinition[] {
  return kinds
    .filter((kind) => kind.group === group && kind.version === version)
    .sort((a, b) => (a.resource < b.resource ? -1 : 1));
}

/** All but core, in upstream's order; groups that it does not name come last. */
function groupNames(kinds: readonly KindDefinition[]): string[] {
  const names = [...new Set(kinds.map((kind) => kind.group))].filter((name) => name !== "");
  const rank = (name: string): number => (GROUP_ORDER.includes(name) ? GROUP_ORDER.indexOf(name) : GROUP_ORDER.length);
  return names.sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1));
}

const GROUP_ORDER = [
  "apiregistration.k8s.io",
  "apps",
  "events.k8s.io",
  "authentication.k8s.io",
  "authorization.k8s.io",
  "autoscaling",
  "batch",
  "certificates.k8s.io",
  "networking.k8s.io",
  "policy",
  "rbac.authorization.k8s.io",
  "storage.k8s.io",
  "admissionregistration.k8s.io",
  "apiextensions.k8s.io",
  "scheduling.k8s.io",
  "coordination.k8s.io",
  "node.k8s.io",
  "discovery.k8s.io",
  "resource.k8s.io",
  "flowcontrol.apiserver.k8s.io",
];

/** The preferred one first: v2 before v1, v1 before v1beta1, v1beta1 before v1alpha1. */
function versionsOf(kinds: readonly KindDefinition[], group: string): string[] {
  const versions = new Set(kinds.filter((kind) => kind.group === group).map((kind) => kind.version));
  return [...versions].sort((a, b) => stability(b) - stability(a));
}

function stability(version: string): number {
  const [, major = "0", stage, minor = "0"] = /^v(\d+)(alpha|beta)?(\d+)?$/.exec(version) ?? [];
  const base = stage === undefined ? 2_000_000 : stage === "beta" ? 1_000_000 : 0;
  return base + Number(major) * 1000 + Number(minor);
}
