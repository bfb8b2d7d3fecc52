/** Questions put as creates: who am I, may I, whose token is this. Nothing is stored. */
import type { ApiResponse } from "@pilothouse/api/http";
import type { SelfSubjectReview, TokenReview } from "@pilothouse/api/types/authentication-v1";
import type {
  NonResourceAttributes,
  ResourceAttributes,
  SelfSubjectAccessReview,
  SelfSubjectRulesReview,
  SubjectAccessReview,
} from "@pilothouse/api/types/authorization-v1";
import { badRequest, internalError, invalid, type FieldError } from "@pilothouse/errors";
import type { KindDefinition } from "@pilothouse/kinds/kind";
import type { Attributes } from "../../core/access/authorize.ts";
import type { RequestContext, UserInfo } from "../../core/model.ts";
import { writeOptionsOf } from "../../core/options.ts";
import { canonical, decodeBody, objectAnswer } from "../../core/wire.ts";
import type { Authenticator } from "./authenticate.ts";
import type { Authorizer } from "./authorizer.ts";

export interface ReviewDeps {
  readonly authorizer: Authorizer;
  readonly authenticator: Authenticator;
  /** The audiences that this API answers to. */
  readonly audiences: readonly string[];
}

export async function review(deps: ReviewDeps, context: RequestContext, kind: KindDefinition): Promise<ApiResponse> {
  const { request, warn } = context;
  const { fieldValidation } = writeOptionsOf("CreateOptions", request.query, request.headers["user-agent"]);
  const object = decodeBody(
    {
      body: request.body,
      contentType: request.headers["content-type"],
      wanted: kind,
      fieldValidation,
      anyVersion: true,
    },
    warn,
  );
  const status = await statusOf(deps, context, kind, object);
  return objectAnswer(request.headers["accept"], 201, canonical({ ...object, status }, kind), kind);
}

function statusOf(deps: ReviewDeps, context: RequestContext, kind: KindDefinition, object: unknown): Promise<object> {
  switch (kind.kind) {
    case "SelfSubjectReview":
      return Promise.resolve(whoAmI(context.user));
    case "SelfSubjectAccessReview":
      return mayI(deps, context, kind, object as SelfSubjectAccessReview);
    case "SubjectAccessReview":
      return mayThey(deps, context, kind, object as SubjectAccessReview);
    case "LocalSubjectAccessReview":
      return mayTheyHere(deps, context, kind, object as SubjectAccessReview);
    case "SelfSubjectRulesReview":
      return Promise.resolve(whatMayI(deps, context, object as SelfSubjectRulesReview));
    case "TokenReview":
      return whoseToken(deps, context, object as TokenReview);
    default:
      throw internalError(`no review of kind ${kind.kind}`);
  }
}

function whoAmI(user: UserInfo): NonNullable<SelfSubjectReview["status"]> {
  return { userInfo: userInfoOf(user) };
}

function mayI(deps: ReviewDeps, context: RequestContext, kind: KindDefinition, { spec }: SelfSubjectAccessReview) {
  return verdict(deps, context, attributesAsked(context.user, kind, spec));
}

async function mayThey(
  deps: ReviewDeps,
  context: RequestContext,
  kind: KindDefinition,
  { spec }: SubjectAccessReview,
): Promise<object> {
  if (!spec.user && (spec.groups ?? []).length === 0) {
    throw invalidReview(kind, [
      {
        type: "FieldValueInvalid",
        field: "spec.user",
        value: "",
        detail: "at least one of user or group must be specified",
      },
    ]);
  }
  const user: UserInfo = {
    name: spec.user ?? "",
    groups: spec.groups ?? [],
    ...(spec.extra ? { extra: spec.extra } : {}),
  };
  return verdict(deps, context, attributesAsked(user, kind, spec));
}

function mayTheyHere(deps: ReviewDeps, context: RequestContext, kind: KindDefinition, object: SubjectAccessReview) {
  const namespace = object.spec.resourceAttributes?.namespace ?? "";
  if (namespace !== context.info.namespace) {
    throw badRequest(`spec.resourceAttributes.namespace must match namespace: ${context.info.namespace || "<empty>"}`);
  }
  return mayThey(deps, context, kind, object);
}

function whatMayI(deps: ReviewDeps, { user }: RequestContext, { spec }: SelfSubjectRulesReview): object {
  const rules = deps.authorizer.rulesFor(user, spec.namespace ?? "");
  return {
    resourceRules: rules
      .filter(({ resources }) => (resources ?? []).length > 0)
      .map(({ verbs, apiGroups, resources, resourceNames }) => ({
        verbs,
        apiGroups,
        resources,
        ...(resourceNames ? { resourceNames } : {}),
      })),
    nonResourceRules: rules
      .filter(({ nonResourceURLs }) => (nonResourceURLs ?? []).length > 0)
      .map(({ verbs, nonResourceURLs }) => ({ verbs, nonResourceURLs })),
    incomplete: false,
  };
}

async function whoseToken(
  deps: ReviewDeps,
  { request }: RequestContext,
  { spec }: TokenReview,
): Promise<NonNullable<TokenReview["status"]>> {
  if (!spec.token) throw badRequest("token is required for TokenReview in authentication");
  const asked = spec.audiences?.length ? spec.audiences : deps.audiences;
  const owner = await deps.authenticator.userOfToken(spec.token, asked, request.signal);
  if (!owner) return { error: "[invalid bearer token]", user: {} };
  return { authenticated: true, user: userInfoOf(owner.user), audiences: [...owner.audiences] };
}

async function verdict(
  { authorizer }: ReviewDeps,
  { request }: RequestContext,
  attributes: Attributes,
): Promise<object> {
  return { allowed: await authorizer.isAllowed(attributes, request.signal) };
}

interface Asked {
  readonly resourceAttributes?: ResourceAttributes;
  readonly nonResourceAttributes?: NonResourceAttributes;
}

function attributesAsked(user: UserInfo, kind: KindDefinition, asked: Asked): Attributes {
  const { resourceAttributes: resource, nonResourceAttributes: path } = asked;
  if ((resource === undefined) === (path === undefined)) {
    const detail = resource
      ? "cannot be specified in combination with resourceAttributes"
      : "exactly one of nonResourceAttributes or resourceAttributes must be specified";
    throw invalidReview(kind, [
      {
        type: "FieldValueInvalid",
        field: resource ? "spec.nonResourceAttributes" : "spec.resourceAttributes",
        value: null,
        detail,
      },
    ]);
  }
  return {
    user,
    verb: resource?.verb ?? path?.verb ?? "",
    group: resource?.group ?? "",
    resource: resource?.resource ?? "",
    subresource: resource?.subresource ?? "",
    namespace: resource?.namespace ?? "",
    name: resource?.name ?? "",
    path: path?.path ?? "",
    isResourceRequest: resource !== undefined,
  };
}

function userInfoOf({
  name,
  uid,
  groups,
  extra,
}: UserInfo): NonNullable<NonNullable<SelfSubjectReview["status"]>["userInfo"]> {
  return {
    username: name,
    ...(uid === undefined ? {} : { uid }),
    groups: [...groups],
    ...(extra && Object.keys(extra).length > 0 ? { extra: { ...extra } } : {}),
  };
}

function invalidReview(kind: KindDefinition, errors: readonly FieldError[]): Error {
  return invalid(kind, "", errors);
}
