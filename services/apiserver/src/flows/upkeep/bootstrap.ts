/**
 * What every cluster has, ensured at start: namespaces, system priority classes, RBAC, the Services `kubernetes` and `kube-dns`. Idempotent, and safe
 * when several apiservers do it at once: each object is created only if it is absent.
 */
import type { Service } from "@pilothouse/api/types/core-v1";
import type { ClusterRole, PolicyRule } from "@pilothouse/api/types/rbac-v1";
import { isStatus } from "@pilothouse/errors";
import { sameValue } from "@pilothouse/kinds/field-errors";
import type { ApiObject, KindDefinition } from "@pilothouse/kinds/kind";
import { SYSTEM_PRIORITY_CLASSES } from "@pilothouse/kinds/scheduling/priority-class";
import type { Telemetry } from "@pilothouse/telemetry";
import { covers } from "../../core/access/authorize.ts";
import {
  bootstrapClusterRoleBindings,
  bootstrapClusterRoles,
  bootstrapRoleBindings,
  bootstrapRoles,
} from "../../core/access/bootstrap-roles.ts";
import type { RequestContext } from "../../core/model.ts";
import { addressAt, DNS_OFFSET, KUBERNETES_OFFSET, type AddressRange } from "../../core/service-addresses.ts";
import { known } from "../../registry/known.ts";
import { createObject } from "../writes/create.ts";
import { change } from "../writes/update.ts";
import type { WriteDeps } from "../writes/write-deps.ts";
import { ensureDefaultServiceCidr } from "./default-service-cidr.ts";
import { internalContext } from "./internal-context.ts";

export interface BootstrapOptions {
  readonly serviceRange: AddressRange;
  readonly securePort: number;
  /** The cluster DNS Service is made only where a cluster DNS runs. */
  readonly withClusterDns: boolean;
}

const MANAGER = "kube-apiserver";
const NAMESPACES: readonly string[] = ["default", "kube-system", "kube-public", "kube-node-lease"];

export async function bootstrap(
  deps: WriteDeps,
  telemetry: Telemetry,
  options: BootstrapOptions,
  signal: AbortSignal,
): Promise<void> {
  const span = telemetry.tracer.start("bootstrap");
  const asApiserver = (kind: KindDefinition, namespace: string, name: string): RequestContext =>
    internalContext(span, kind, namespace, name, signal);
  const ensure = async (kind: KindDefinition, object: ApiObject): Promise<void> => {
    const { namespace = "", name = "" } = object.metadata;
    if (await deps.objects.read(kind, namespace, name)) return;
    try {
      await createObject(deps, asApiserver(kind, namespace, name), kind, object, {
        dryRun: false,
        fieldManager: MANAGER,
      });
    } catch (error) {
      if (!isStatus(error, "AlreadyExists")) throw error;
    }
  };
  try {
    for (const name of NAMESPACES) await ensure(known.namespaces.kind, plain("v1", "Namespace", { name }));
    for (const object of SYSTEM_PRIORITY_CLASSES) await ensure(known.priorityClasses.kind, erased(object));
    for (const object of bootstrapClusterRoles()) {
      await ensure(known.clusterRoles.kind, erased(object));
      await addMissing(deps, asApiserver(known.clusterRoles.kind, "", object.metadata.name ?? ""), object);
    }
    for (const object of bootstrapClusterRoleBindings()) await ensure(known.clusterRoleBindings.kind, erased(object));
    for (const object of bootstrapRoles()) await ensure(known.roles.kind, erased(object));
    for (const object of bootstrapRoleBindings()) await ensure(known.roleBindings.kind, erased(object));
    await ensureDefaultServiceCidr(deps, telemetry, options.serviceRange, signal);
    await ensure(known.services.kind, erased(kubernetesService(options)));
    if (options.withClusterDns) await ensure(known.services.kind, erased(dnsService(options)));
  } finally {
    span.end();
  }
}

/** A newer version may bring a role more rights; what an administrator added stays, and `autoupdate: "false"` is heeded. */
async function addMissing(deps: WriteDeps, context: RequestContext, wanted: ClusterRole): Promise<void> {
  const { kind } = context;
  if (!kind) return;
  const stored = await deps.objects.read(kind, "", context.info.name);
  if (!stored || withMissing(stored.object, wanted) === stored.object) return;
  const options = { dryRun: false, fieldManager: MANAGER, fieldValidation: "Ignore", force: undefined } as const;
  await change(deps, context, kind, { options, next: (old) => withMissing(old(), wanted) });
}

/** Rules of a role that gathers others' are the controller's; labels say whose part a role is. */
function withMissing(role: ApiObject, { rules: wanted, metadata, aggregationRule }: ClusterRole): ApiObject {
  if (role.metadata.annotations?.["rbac.authorization.kubernetes.io/autoupdate"] === "false") return role;
  const rules = (role["rules"] ?? []) as readonly PolicyRule[];
  const missing = aggregationRule ? [] : wanted.filter((rule) => !covers(rules, rule));
  const labels = { ...role.metadata.labels, ...metadata.labels };
  const gathers = aggregationRule && !role["aggregationRule"];
  if (missing.length === 0 && sameValue(labels, role.metadata.labels) && !gathers) return role;
  return {
    ...role,
    metadata: { ...role.metadata, labels },
    ...(gathers ? { aggregationRule } : {}),
    rules: [...rules, ...missing],
  };
}

function kubernetesService({ serviceRange, securePort }: BootstrapOptions): Service {
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: {
      name: "kubernetes",
      namespace: "default",
      labels: { component: "apiserver", provider: "kubernetes" },
    },
    spec: {
      type: "ClusterIP",
      clusterIP: addressAt(serviceRange, KUBERNETES_OFFSET),
      ports: [{ name: "https", port: 443, protocol: "TCP", targetPort: securePort }],
      sessionAffinity: "None",
    },
  };
}

function dnsService({ serviceRange }: BootstrapOptions): Service {
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: {
      name: "kube-dns",
      namespace: "kube-system",
      labels: { "k8s-app": "kube-dns", "kubernetes.io/cluster-service": "true", "kubernetes.io/name": "CoreDNS" },
    },
    spec: {
      type: "ClusterIP",
      clusterIP: addressAt(serviceRange, DNS_OFFSET),
      ports: [
        { name: "dns", port: 53, protocol: "UDP" },
        { name: "dns-tcp", port: 53, protocol: "TCP" },
      ],
    },
  };
}

function plain(apiVersion: string, kind: string, metadata: ApiObject["metadata"]): ApiObject {
  return { apiVersion, kind, metadata };
}

function erased(object: object): ApiObject {
  return structuredCopy(object) as ApiObject;
}

function structuredCopy(value: object): object {
  return JSON.parse(JSON.stringify(value)) as object;
}
