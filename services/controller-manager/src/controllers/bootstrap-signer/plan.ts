/** Which signatures ConfigMap kube-public/cluster-info has; by upstream's bootstrap signer. Pure. */
import type { ConfigMap, Secret } from "@pilothouse/api/types/core-v1";
import { sameValue } from "@pilothouse/kinds/field-errors";
import { endsAtMs, signingTokenOf } from "../../core/bootstrap-tokens.ts";

export const CLUSTER_INFO = { namespace: "kube-public", name: "cluster-info" } as const;

const KUBECONFIG = "kubeconfig";
const SIGNATURE = "jws-kubeconfig-";

/** The signature of a text by a secret that both sides know. */
export type Sign = (content: string, keyId: string, secret: string) => string;

/** The map with a signature by each token that may sign, and no other; undefined when it is so, or there is nothing to sign. */
export function plan(map: ConfigMap, tokens: readonly Secret[], nowMs: number, sign: Sign): ConfigMap | undefined {
  const content = map.data?.[KUBECONFIG];
  if (content === undefined || map.metadata.deletionTimestamp !== undefined) return undefined;
  const unsigned = Object.entries(map.data ?? {}).filter(([key]) => !key.startsWith(SIGNATURE));
  const signatures = tokens
    .map((secret) => signingTokenOf(secret, nowMs))
    .filter((token) => token !== undefined)
    .map(({ id, secret }) => [`${SIGNATURE}${id}`, sign(content, id, secret)] as const);
  const data = Object.fromEntries([...unsigned, ...signatures]);
  return sameValue(data, map.data) ? undefined : { ...map, data };
}

/** How long until a token that signs now may not any more, in milliseconds; undefined if none ends. */
export function nextEndMs(tokens: readonly Secret[], nowMs: number): number | undefined {
  const ends = tokens.filter((secret) => signingTokenOf(secret, nowMs)).map((secret) => endsAtMs(secret) - nowMs);
  const next = Math.min(...ends);
  return next === Infinity ? undefined : next;
}
