/** Kinds that are answered and never stored: reviews. They are in discovery, and their create is a question. */
import { kindOf, type KindDefinition } from "@pilothouse/kinds";

const AUTHENTICATION = "authentication.k8s.io";
const AUTHORIZATION = "authorization.k8s.io";

export const virtualKinds: readonly KindDefinition[] = [
  review(AUTHENTICATION, "TokenReview", "tokenreviews"),
  review(AUTHENTICATION, "SelfSubjectReview", "selfsubjectreviews"),
  review(AUTHORIZATION, "SubjectAccessReview", "subjectaccessreviews"),
  review(AUTHORIZATION, "SelfSubjectAccessReview", "selfsubjectaccessreviews"),
  review(AUTHORIZATION, "SelfSubjectRulesReview", "selfsubjectrulesreviews"),
  review(AUTHORIZATION, "LocalSubjectAccessReview", "localsubjectaccessreviews", true),
];

/** The kind behind a path, stored or virtual. */
export function servedKind(group: string, version: string, resource: string): KindDefinition | undefined {
  return (
    kindOf(group, version, resource) ??
    virtualKinds.find((kind) => kind.group === group && kind.version === version && kind.resource === resource)
  );
}

export function isVirtual(kind: KindDefinition): boolean {
  return virtualKinds.includes(kind);
}

function review(group: string, kind: string, resource: string, namespaced = false): KindDefinition {
  return {
    group,
    version: "v1",
    kind,
    resource,
    singular: kind.toLowerCase(),
    shortNames: [],
    categories: [],
    namespaced,
    verbs: ["create"],
    subresources: [],
    depth: "full",
  };
}
