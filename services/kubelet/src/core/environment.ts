/** The environment of a container, in upstream's order: services, envFrom, env, with $(NAME) expanded. Pure. */
import type {
  ConfigMap,
  Container,
  EnvFromSource,
  EnvVar,
  EnvVarSource,
  ObjectFieldSelector,
  Pod,
  ResourceFieldSelector,
  Secret,
  Service,
} from "@pilothouse/api/types/core-v1";
import { parseQuantity } from "@pilothouse/quantity";
import { allContainers } from "./pod-runtime.ts";

/** What a pod may read besides itself. Undefined = there is no such object. */
export interface PodSources {
  configMap(name: string): ConfigMap | undefined;
  secret(name: string): Secret | undefined;
}

/** What a pod knows of where it runs. */
export interface Whereabouts {
  readonly nodeName: string;
  readonly hostIp: string;
  readonly podIps: readonly string[];
  /** Whole cores and bytes that a container without a limit can have. */
  readonly allocatable: { readonly cpu: string; readonly memory: string };
}

/** What the user wrote cannot be had (yet); the message becomes CreateContainerConfigError's. */
export class ConfigUnavailable extends Error {
  override readonly name = "ConfigUnavailable";
}

export interface EnvironmentInput {
  readonly pod: Pod;
  readonly container: Container;
  readonly sources: PodSources;
  readonly services: readonly Service[];
  readonly whereabouts: Whereabouts;
}

/** Throws ConfigUnavailable. */
export function environmentOf(input: EnvironmentInput): ReadonlyMap<string, string> {
  const { pod, container, sources } = input;
  const services = serviceEnvironment(pod, input.services);
  const result = new Map<string, string>();
  for (const from of container.envFrom ?? []) {
    for (const [key, value] of Object.entries(envFromData(from, sources))) {
      if (isEnvName(`${from.prefix ?? ""}${key}`)) result.set(`${from.prefix ?? ""}${key}`, value);
    }
  }
  const lookup = (name: string): string | undefined => result.get(name) ?? services.get(name);
  for (const variable of container.env ?? []) {
    const value = valueOf(variable, input, lookup);
    if (value !== undefined) result.set(variable.name, value);
  }
  for (const [name, value] of services) if (!result.has(name)) result.set(name, value);
  return result;
}

/** `$(NAME)` becomes its value where it has one; `$$` is one `$`; everything else stays. */
export function expand(text: string, lookup: (name: string) => string | undefined): string {
  return text.replaceAll(/\$\$|\$\(([^()]*)\)/g, (whole, name: string | undefined) =>
    whole === "$$" ? "$" : (lookup(name ?? "") ?? whole),
  );
}

/** A subPathExpr with its variables: unlike elsewhere each must have a value. Throws ConfigUnavailable. */
export function expandSubPath(text: string, env: ReadonlyMap<string, string>): string {
  const missing = new Set<string>();
  const expanded = expand(text, (name) => {
    const value = env.get(name) ?? "";
    if (value === "") missing.add(name);
    return value;
  });
  if (missing.size > 0) throw new ConfigUnavailable(`missing value for ${[...missing].toSorted().join(", ")}`);
  return expanded;
}

/** The value of a `fieldRef`. Throws ConfigUnavailable for a path that does not exist. */
export function fieldValue(pod: Pod, { fieldPath }: ObjectFieldSelector, where: Whereabouts): string {
  const { metadata, spec } = pod;
  const keyed = /^metadata\.(labels|annotations)\['(.*)'\]$/.exec(fieldPath);
  if (keyed) return metadata[keyed[1] as "labels" | "annotations"]?.[keyed[2] ?? ""] ?? "";
  switch (fieldPath) {
    case "metadata.name":
      return metadata.name ?? "";
    case "metadata.namespace":
      return metadata.namespace ?? "";
    case "metadata.uid":
      return metadata.uid ?? "";
    case "metadata.labels":
      return formatMap(metadata.labels);
    case "metadata.annotations":
      return formatMap(metadata.annotations);
    case "spec.nodeName":
      return spec.nodeName ?? "";
    case "spec.serviceAccountName":
      return spec.serviceAccountName ?? "";
    case "status.hostIP":
    case "status.hostIPs":
      return where.hostIp;
    case "status.podIP":
      return where.podIps[0] ?? "";
    case "status.podIPs":
      return where.podIps.join(",");
    default:
      throw new ConfigUnavailable(`unsupported fieldPath: ${fieldPath}`);
  }
}

/** The value of a `resourceFieldRef` of this container: whole units of the divisor, rounded up. */
export function resourceValue(container: Container, selector: ResourceFieldSelector, where: Whereabouts): string {
  const [list, name] = selector.resource.split(".", 2) as ["limits" | "requests", string];
  const fallback = list === "limits" ? where.allocatable[name as "cpu" | "memory"] : undefined;
  const amount = container.resources?.[list]?.[name] ?? fallback ?? "0";
  const given = selector.divisor === undefined || selector.divisor === "0" ? "1" : selector.divisor;
  const [dividend, divisor] = [parseQuantity(amount).nanos, parseQuantity(given).nanos];
  return String((dividend + divisor - 1n) / divisor);
}

function valueOf(
  variable: EnvVar,
  input: EnvironmentInput,
  lookup: (name: string) => string | undefined,
): string | undefined {
  if (!variable.valueFrom) return expand(variable.value ?? "", lookup);
  return sourcedValue(variable.valueFrom, input);
}

function sourcedValue(
  from: EnvVarSource,
  { pod, container, sources, whereabouts }: EnvironmentInput,
): string | undefined {
  if (from.fieldRef) return fieldValue(pod, from.fieldRef, whereabouts);
  if (from.resourceFieldRef) {
    const named = from.resourceFieldRef.containerName;
    const all = allContainers(pod);
    const of = named === undefined || named === "" ? container : all.find((it) => it.name === named);
    return resourceValue(of ?? container, from.resourceFieldRef, whereabouts);
  }
  const { namespace } = pod.metadata;
  if (from.configMapKeyRef) {
    const { name = "", key, optional } = from.configMapKeyRef;
    const found = sources.configMap(name);
    const value = found?.data?.[key];
    if (value !== undefined || optional) return value;
    throw new ConfigUnavailable(
      found ? `couldn't find key ${key} in ConfigMap ${namespace}/${name}` : `configmap "${name}" not found`,
    );
  }
  if (from.secretKeyRef) {
    const { name = "", key, optional } = from.secretKeyRef;
    const found = sources.secret(name);
    const value = found?.data?.[key];
    if (value !== undefined) return decodeBase64(value);
    if (optional) return undefined;
    throw new ConfigUnavailable(
      found ? `couldn't find key ${key} in Secret ${namespace}/${name}` : `secret "${name}" not found`,
    );
  }
  throw new ConfigUnavailable("unsupported valueFrom");
}

function envFromData(from: EnvFromSource, sources: PodSources): Readonly<Record<string, string>> {
  if (from.configMapRef) {
    const { name = "", optional } = from.configMapRef;
    const found = sources.configMap(name);
    if (!found && !optional) throw new ConfigUnavailable(`configmap "${name}" not found`);
    return found?.data ?? {};
  }
  const { name = "", optional } = from.secretRef ?? {};
  const found = sources.secret(name);
  if (!found && !optional) throw new ConfigUnavailable(`secret "${name}" not found`);
  return Object.fromEntries(Object.entries(found?.data ?? {}).map(([key, value]) => [key, decodeBase64(value)]));
}

/** `REDIS_SERVICE_HOST` and its kin: the namespace's Services if wanted, and always the API server's. */
function serviceEnvironment(pod: Pod, services: readonly Service[]): ReadonlyMap<string, string> {
  const links = pod.spec.enableServiceLinks ?? true;
  const result = new Map<string, string>();
  for (const service of services) {
    const { name = "", namespace } = service.metadata;
    const isApi = namespace === "default" && name === "kubernetes";
    const ip = service.spec?.clusterIP;
    if (!ip || ip === "None" || !(isApi || (links && namespace === pod.metadata.namespace))) continue;
    const prefix = name.toUpperCase().replaceAll("-", "_");
    const ports = service.spec?.ports ?? [];
    result.set(`${prefix}_SERVICE_HOST`, ip);
    ports.forEach((port, i) => {
      const protocol = (port.protocol ?? "TCP").toLowerCase();
      const url = `${protocol}://${ip}:${port.port}`;
      if (i === 0) result.set(`${prefix}_SERVICE_PORT`, String(port.port)).set(`${prefix}_PORT`, url);
      if (port.name) {
        result.set(`${prefix}_SERVICE_PORT_${port.name.toUpperCase().replaceAll("-", "_")}`, String(port.port));
      }
      const one = `${prefix}_PORT_${port.port}_${protocol.toUpperCase()}`;
      result.set(one, url).set(`${one}_PROTO`, protocol).set(`${one}_PORT`, String(port.port)).set(`${one}_ADDR`, ip);
    });
  }
  return result;
}

/** `key="value"` lines, sorted, as upstream's downward API writes labels and annotations. */
function formatMap(map: Readonly<Record<string, string>> | undefined): string {
  return Object.entries(map ?? {})
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => `${key}=${JSON.stringify(value)}`)
    .join("\n");
}

function isEnvName(name: string): boolean {
  return name !== "" && !name.includes("=");
}

function decodeBase64(text: string): string {
  return new TextDecoder().decode(bytesOfBase64(text));
}

/** A Secret's data are base64 in JSON. */
export function bytesOfBase64(text: string): Uint8Array {
  return Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
}
