/** Who may do what: RBAC and the node rules over the cached roles, bindings and pods; a refusal is judged twice (C7). */
import type { ClusterRole, PolicyRule, Role, RoleBinding } from "@pilothouse/api/types/rbac-v1";
import { forbidden } from "@pilothouse/errors";
import type { ApiObject, KindDefinition } from "@pilothouse/kinds/kind";
import {
  covers,
  forbiddenError,
  isAllowed,
  MASTERS,
  rulesFor,
  rulesOf,
  type Attributes,
  type RbacPolicy,
} from "../../core/access/authorize.ts";
import type { RequestContext, UserInfo } from "../../core/model.ts";
import { namedBy, nodeMay, type NamedByPods } from "../../core/access/node-authorizer.ts";
import { nodeOf } from "../../core/access/users.ts";
import { known } from "../../registry/known.ts";
import { signerRight } from "./certificate-requests.ts";
import type { CachedObjects } from "../reads/cached.ts";

export interface Authorizer {
  isAllowed(attributes: Attributes, signal: AbortSignal): Promise<boolean>;
  /** Throws upstream's 403. */
  authorize(attributes: Attributes, signal: AbortSignal): Promise<void>;
  /** The rules that apply to a user in a namespace, for SelfSubjectRulesReview. */
  rulesFor(user: UserInfo, namespace: string): readonly PolicyRule[];
  /** Nobody grants more than they have, unless they may `escalate` (roles) or `bind` (bindings). */
  judgeEscalation(context: RequestContext, kind: KindDefinition, object: ApiObject): Promise<void>;
  /** A certificate request's verdict needs `approve` on its signer, its certificate and failure `sign`. Throws 403. */
  judgeSigner(context: RequestContext, kind: KindDefinition, object: ApiObject, old: ApiObject): Promise<void>;
}

const EVERYTHING: readonly PolicyRule[] = [
  { verbs: ["*"], apiGroups: ["*"], resources: ["*"] },
  { verbs: ["*"], nonResourceURLs: ["*"] },
];
const RBAC_GROUP = "rbac.authorization.k8s.io";
const PODS = known.pods.kind;

export function createAuthorizer(cached: CachedObjects): Authorizer {
  const policy: RbacPolicy = {
    clusterRoleBindings: () => cached.list(known.clusterRoleBindings, ""),
    roleBindings: (namespace) => cached.list(known.roleBindings, namespace),
    clusterRole: (name) => cached.get(known.clusterRoles, "", name),
    role: (namespace, name) => cached.get(known.roles, namespace, name),
  };
  const judgeNow = (attributes: Attributes): boolean => {
    const node = nodeOf(attributes.user);
    if (node !== undefined && nodeMay(attributes, node, podsOf(cached, node))) return true;
    return isAllowed(attributes, policy);
  };
  const authorize = (attributes: Attributes, signal: AbortSignal): Promise<void> =>
    cached.judge(() => {
      if (!judgeNow(attributes)) throw forbiddenError(attributes);
    }, signal);
  const isAllowedTwice = async (attributes: Attributes, signal: AbortSignal): Promise<boolean> => {
    if (judgeNow(attributes)) return true;
    await cached.cache.waitUntilCurrent(signal);
    return judgeNow(attributes);
  };

  return {
    authorize,
    isAllowed: isAllowedTwice,
    rulesFor: (user, namespace) => [...rulesFor(user, namespace, policy)],

    async judgeSigner({ user, info, request }, kind, object, old) {
      const right = signerRight(kind, info.subresource, object, old);
      if (right === undefined) return;
      const { verb, signerName } = right;
      const ask = { user, verb, group: kind.group, resource: "signers", subresource: "", namespace: "", path: "" };
      for (const name of [signerName, `${signerName.split("/")[0]}/*`])
        if (await isAllowedTwice({ ...ask, name, isResourceRequest: true }, request.signal)) return;
      const why = `user not permitted to ${verb} requests with signerName ${JSON.stringify(signerName)}`;
      throw forbidden(kind, info.name, why);
    },

    async judgeEscalation({ user, info, request }, kind, object) {
      if (kind.group !== RBAC_GROUP || user.groups.includes(MASTERS)) return;
      const isBinding = kind.resource.endsWith("bindings");
      const { metadata } = object;
      const namespace = metadata.namespace ?? "";
      const ask = { user, verb: isBinding ? "bind" : "escalate", group: RBAC_GROUP, subresource: "", path: "" };
      const roleRef = (object as unknown as RoleBinding).roleRef;
      const resource = isBinding ? (roleRef.kind === "Role" ? "roles" : "clusterroles") : kind.resource;
      const name = isBinding ? roleRef.name : (metadata.name ?? "");
      const asked: Attributes = { ...ask, resource, namespace, name, isResourceRequest: true };
      if (await isAllowedTwice(asked, request.signal)) return;
      const own = (): readonly PolicyRule[] => [...rulesFor(user, namespace, policy)];
      if ((object as unknown as ClusterRole).aggregationRule) {
        // Who says which roles are gathered could gather anything, and is not asked again.
        const why = "must have cluster-admin privileges to use the aggregationRule";
        await cached.judge(() => {
          if (!EVERYTHING.every((right) => covers(own(), right))) throw forbidden(kind, metadata.name ?? "", why);
        }, request.signal);
      }
      await cached.judge(() => {
        const wanted = isBinding ? rulesOf(roleRef, namespace, policy) : ((object as unknown as Role).rules ?? []);
        const had = own();
        const missing = wanted.filter((rule) => !covers(had, rule));
        if (missing.length > 0) throw escalationError(kind, info.name || (metadata.name ?? ""), user, missing);
      }, request.signal);
    },
  };
}

function escalationError(kind: KindDefinition, name: string, user: UserInfo, missing: readonly PolicyRule[]): Error {
  const groups = `[${user.groups.map((group) => JSON.stringify(group)).join(" ")}]`;
  const rules = missing.map(shortRule).join("\n");
  return forbidden(
    kind,
    name,
    `user ${JSON.stringify(user.name)} (groups=${groups}) is attempting to grant RBAC permissions not currently held:\n${rules}`,
  );
}

function shortRule({ apiGroups, resources, resourceNames, nonResourceURLs, verbs }: PolicyRule): string {
  const list = (values: readonly string[]): string => `[${values.map((value) => JSON.stringify(value)).join(" ")}]`;
  const parts = [
    ...(apiGroups?.length ? [`APIGroups:${list(apiGroups)}`] : []),
    ...(resources?.length ? [`Resources:${list(resources)}`] : []),
    ...(resourceNames?.length ? [`ResourceNames:${list(resourceNames)}`] : []),
    ...(nonResourceURLs?.length ? [`NonResourceURLs:${list(nonResourceURLs)}`] : []),
    `Verbs:${list(verbs)}`,
  ];
  return `{${parts.join(", ")}}`;
}

/** What the pods bound to a node name, looked up only when a rule asks. */
function podsOf(cached: CachedObjects, node: string): NamedByPods {
  return {
    names: (resource, namespace, name) => {
      for (const entry of cached.cache.list(PODS, namespace).entries) {
        if (entry.fields["spec.nodeName"] !== node) continue;
        for (const [kind, named] of namedBy(cached.parsed(known.pods, entry))) {
          if (kind === resource && named === name) return true;
        }
      }
      return false;
    },
    claimOf: (volume) => cached.get(known.persistentVolumes, "", volume)?.spec?.claimRef,
  };
}
