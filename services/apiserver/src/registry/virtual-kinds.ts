/** Kinds that are answered and never stored: reviews, whose create is a question, and bindings, which change a pod. */
import { kindOf, views, type KindDefinition } from "@pilothouse/kinds";

const AUTHENTICATION = "authentication.k8s.io";
const AUTHORIZATION = "authorization.k8s.io";

/** The older way of pods/binding: the pod is the one that the body names. */
export const BINDINGS: KindDefinition = answered("", "Binding", "bindings", true);

export const virtualKinds: readonly KindDefinition[] = [
  BINDINGS,
  answered(AUTHENTICATION, "TokenReview", "tokenreviews"),
  answered(AUTHENTICATION, "SelfSubjectReview", "selfsubjectreviews"),
  answered(AUTHORIZATION, "SubjectAccessReview", "subjectaccessreviews"),
  answered(AUTHORIZATION, "SelfSubjectAccessReview", "selfsubjectaccessreviews"),
  answered(AUTHORIZATION, "SelfSubjectRulesReview", "selfsubjectrulesreviews"),
  answered(AUTHORIZATION, "LocalSubjectAccessReview", "localsubjectaccessreviews", true),
];

/** The kind behind a path: stored, a second version of one, or virtual. */
export function servedKind(group: string, version: string, resource: string): KindDefinition | undefined {
  return (
    kindOf(group, version, resource) ??
    [...views, ...virtualKinds].find(
      (kind) => kind.group === group && kind.version === version && kind.resource === resource,
    )
  );
}

export function isVirtual(kind: KindDefinition): boolean {
  return virtualKinds.includes(kind);
}

function answered(group: string, kind: string, resource: string, namespaced = false): KindDefinition {
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
