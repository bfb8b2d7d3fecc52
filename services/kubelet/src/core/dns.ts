/** A pod's resolv.conf and hosts file. Pure. */
import type { HostAlias, Pod } from "@pilothouse/api/types/core-v1";
import { fittingSearches, fittingServers } from "./dns-limits.ts";
import { ConfigUnavailable } from "./environment.ts";

export interface ClusterDns {
  readonly servers: readonly string[];
  readonly domain: string;
}

export interface ResolverConfig {
  readonly servers: readonly string[];
  readonly searches: readonly string[];
  readonly options: readonly string[];
}

/** `host` is what the node itself uses. */
export function podDns(pod: Pod, cluster: ClusterDns, host: ResolverConfig): ResolverConfig {
  const { servers, searches, options } = wantedDns(pod, cluster, host);
  return { servers: fittingServers(servers).kept, searches: fittingSearches(searches).kept, options };
}

/** What of it is left out because resolvers take only so much. */
export function dnsWarnings(pod: Pod, cluster: ClusterDns, host: ResolverConfig): readonly string[] {
  const { servers, searches } = wantedDns(pod, cluster, host);
  return [fittingServers(servers), fittingSearches(searches)].flatMap(({ warning }) => warning ?? []);
}

function wantedDns(pod: Pod, cluster: ClusterDns, host: ResolverConfig): ResolverConfig {
  const base = baseDns(pod, cluster, host);
  const { nameservers = [], searches = [], options = [] } = pod.spec.dnsConfig ?? {};
  const written = options.map(({ name, value }) => (value === undefined ? (name ?? "") : `${name}:${value}`));
  const names = new Set(written.map(optionName));
  return {
    servers: unique([...base.servers, ...nameservers]),
    searches: unique([...base.searches, ...searches]),
    options: [...base.options.filter((option) => !names.has(optionName(option))), ...written],
  };
}

export function parseResolvConf(text: string): ResolverConfig {
  const result = { servers: [] as string[], searches: [] as string[], options: [] as string[] };
  for (const line of text.split("\n")) {
    const [word, ...rest] = line.trim().split(/\s+/);
    if (word === "nameserver" && rest[0] !== undefined) result.servers.push(rest[0]);
    if (word === "search") result.searches = rest;
    if (word === "options") result.options = rest;
  }
  return result;
}

/** The pod's host name and, with a subdomain, its full name. */
export function hostnameOf(pod: Pod, domain: string): { readonly hostname: string; readonly fqdn: string | undefined } {
  if (pod.spec.hostnameOverride) return { hostname: pod.spec.hostnameOverride, fqdn: undefined };
  const hostname = (pod.spec.hostname ?? pod.metadata.name ?? "").slice(0, 63).replace(/[-.]+$/, "");
  const { subdomain } = pod.spec;
  const fqdn = subdomain ? `${hostname}.${subdomain}.${pod.metadata.namespace}.svc.${domain}` : undefined;
  return { hostname, fqdn };
}

/** What the kernel calls the pod. Throws ConfigUnavailable for a full name that is longer than it takes. */
export function kernelHostname(pod: Pod, domain: string): string {
  const { hostname, fqdn } = hostnameOf(pod, domain);
  if (!pod.spec.setHostnameAsFQDN || fqdn === undefined) return hostname;
  if (fqdn.length <= MAX_HOSTNAME) return fqdn;
  throw new ConfigUnavailable(
    `failed to construct FQDN from pod hostname and cluster domain, FQDN ${fqdn} is too long (${MAX_HOSTNAME} characters is the max, ${fqdn.length} characters requested)`,
  );
}

const MAX_HOSTNAME = 64;

/** The text of /etc/hosts; with the host's network `hostFile` is the node's own. */
export function hostsFile(pod: Pod, podIps: readonly string[], domain: string, hostFile: string): string {
  const { hostname, fqdn } = hostnameOf(pod, domain);
  const names = fqdn === undefined ? hostname : `${fqdn}\t${hostname}`;
  const own = pod.spec.hostNetwork
    ? `# Kubernetes-managed hosts file (host network).\n${hostFile}`
    : `# Kubernetes-managed hosts file.\n${LOCALHOST}${podIps.map((ip) => `${ip}\t${names}\n`).join("")}`;
  return `${own}${aliasesText(pod.spec.hostAliases ?? [])}`;
}

const LOCALHOST = `127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::0\tip6-localnet
fe00::0\tip6-mcastprefix
fe00::1\tip6-allnodes
fe00::2\tip6-allrouters
`;

function aliasesText(aliases: readonly HostAlias[]): string {
  if (aliases.length === 0) return "";
  const lines = aliases.map(({ ip, hostnames = [] }) => `${ip}\t${hostnames.join("\t")}\n`);
  return `\n# Entries added by HostAliases.\n${lines.join("")}`;
}

function baseDns(pod: Pod, cluster: ClusterDns, host: ResolverConfig): ResolverConfig {
  const policy = pod.spec.dnsPolicy ?? "ClusterFirst";
  if (policy === "None") return { servers: [], searches: [], options: [] };
  const first = policy === "ClusterFirstWithHostNet" || (policy === "ClusterFirst" && !pod.spec.hostNetwork);
  if (!first || cluster.servers.length === 0) return host;
  const { domain } = cluster;
  const own = [`${pod.metadata.namespace}.svc.${domain}`, `svc.${domain}`, domain];
  return { servers: cluster.servers, searches: unique([...own, ...host.searches]), options: ["ndots:5"] };
}

function optionName(option: string): string {
  return option.split(":", 1)[0] as string;
}

function unique(texts: readonly string[]): readonly string[] {
  return [...new Set(texts)];
}
