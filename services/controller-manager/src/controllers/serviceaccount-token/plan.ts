/** What a Secret of type kubernetes.io/service-account-token needs; by upstream's tokens controller. Pure. */
import type { Secret, ServiceAccount } from "@pilothouse/api/types/core-v1";
import type { LegacyTokenClaims } from "@pilothouse/crypto";

export const ACCOUNT_NAME = "kubernetes.io/service-account.name";
export const ACCOUNT_UID = "kubernetes.io/service-account.uid";

/** `secret` has all but its token where `claims` are given. */
export type TokenStep =
  | { readonly do: "nothing" }
  | { readonly do: "delete" }
  | { readonly do: "fill"; readonly secret: Secret; readonly claims: LegacyTokenClaims | undefined };

interface World {
  readonly secret: Secret;
  /** The account of that name, if there is one. */
  readonly account: ServiceAccount | undefined;
  /** PEM; "" when nobody has said which authority signs for the API. */
  readonly rootCa: string;
}

interface Rule {
  readonly why: string;
  readonly when: (world: World) => boolean;
  readonly step: (world: World) => TokenStep;
}

/** The first that applies. */
const RULES: readonly Rule[] = [
  {
    why: "it goes already",
    when: ({ secret }) => secret.metadata.deletionTimestamp !== undefined,
    step: () => ({ do: "nothing" }),
  },
  { why: "nobody's token is worth keeping", when: isOrphan, step: () => ({ do: "delete" }) },
  {
    why: "what may not be changed cannot be filled",
    when: ({ secret }) => secret.immutable === true,
    step: () => ({ do: "nothing" }),
  },
  { why: "something is missing, or is of an authority before", when: (world) => missing(world).size > 0, step: filled },
];

export function plan(secret: Secret, account: ServiceAccount | undefined, rootCa: string): TokenStep {
  const world = { secret, account, rootCa };
  return RULES.find(({ when }) => when(world))?.step(world) ?? { do: "nothing" };
}

/** The account is another one when the Secret was made for an earlier one of that name. */
function isOrphan({ secret, account }: World): boolean {
  const wanted = secret.metadata.annotations?.[ACCOUNT_UID] ?? "";
  return account === undefined || (wanted !== "" && wanted !== account.metadata.uid);
}

function missing({ secret: { data = {} }, rootCa }: World): Set<string> {
  const fields = ["namespace", "token"].filter((field) => !data[field]);
  return new Set([...(rootCa !== "" && data["ca.crt"] !== base64(rootCa) ? ["ca.crt"] : []), ...fields]);
}

function filled(world: World): TokenStep {
  const { secret, account, rootCa } = world;
  const { name = "", namespace = "" } = secret.metadata;
  const { name: accountName = "", uid = "" } = account?.metadata ?? {};
  const fields = missing(world);
  const annotations = { ...secret.metadata.annotations, [ACCOUNT_NAME]: accountName, [ACCOUNT_UID]: uid };
  const data = {
    ...secret.data,
    ...(fields.has("ca.crt") ? { "ca.crt": base64(rootCa) } : {}),
    ...(fields.has("namespace") ? { namespace: base64(namespace) } : {}),
  };
  const claims: LegacyTokenClaims = {
    iss: "kubernetes/serviceaccount",
    sub: `system:serviceaccount:${namespace}:${accountName}`,
    "kubernetes.io/serviceaccount/namespace": namespace,
    "kubernetes.io/serviceaccount/secret.name": name,
    "kubernetes.io/serviceaccount/service-account.name": accountName,
    "kubernetes.io/serviceaccount/service-account.uid": uid,
  };
  return {
    do: "fill",
    secret: { ...secret, metadata: { ...secret.metadata, annotations }, data },
    claims: fields.has("token") ? claims : undefined,
  };
}

export const base64 = (text: string): string => Buffer.from(text).toString("base64");
