/**
 * Encryption at rest (C9): the form of a value in etcd, as upstream's `aesgcm` provider writes it.
 *
 * `k8s:enc:aesgcm:v1:<key name>:`, then nonce, ciphertext and tag. The ciphertext is bound to its etcd key: a value that
 * somebody copied to another key does not open there. Of several providers the first writes, and all read.
 */
import type { Sealing } from "@pilothouse/crypto";

export interface EncryptionKey {
  readonly name: string;
  /** 16, 24 or 32 bytes. */
  readonly secret: Uint8Array;
}

export type EncryptionProvider =
  | { readonly type: "identity" }
  | { readonly type: "aesgcm"; readonly keys: readonly EncryptionKey[] };

/** What holds for the keys below a prefix; of several rules that fit a key, the first counts. */
export interface EncryptionRule {
  readonly prefix: string;
  readonly providers: readonly EncryptionProvider[];
}

export type Opened =
  /** `outdated`: storing it again would use another key or provider. */
  | { readonly value: Uint8Array; readonly outdated: boolean }
  /** Why it cannot be read, in upstream's words. */
  | { readonly problem: string };

/** What every encrypted value of Kubernetes begins with. */
export const ENCRYPTED_PREFIX = "k8s:enc:";
const AESGCM_PREFIX = `${ENCRYPTED_PREFIX}aesgcm:v1:`;

/** The value as the first provider stores it under `key`. */
export function sealValue(sealing: Sealing, { providers }: EncryptionRule, key: string, value: Uint8Array): Uint8Array {
  const [provider] = providers;
  if (provider?.type !== "aesgcm") return value;
  const [writing] = provider.keys as readonly [EncryptionKey];
  return Buffer.concat([prefixOf(writing), sealing.seal(writing.secret, value, Buffer.from(key))]);
}

export function openValue(sealing: Sealing, { providers }: EncryptionRule, key: string, stored: Uint8Array): Opened {
  const isEncrypted = startsWith(stored, Buffer.from(ENCRYPTED_PREFIX));
  for (const [providerIndex, provider] of providers.entries()) {
    // Users who give encryption up put identity first: it must not stand in the way of those that can read.
    if (provider.type === "identity") {
      if (!isEncrypted) return { value: stored, outdated: providerIndex > 0 };
      continue;
    }
    for (const [keyIndex, candidate] of provider.keys.entries()) {
      const prefix = prefixOf(candidate);
      if (!startsWith(stored, prefix)) continue;
      const value = sealing.open(candidate.secret, stored.subarray(prefix.length), Buffer.from(key));
      if (!value) return { problem: "cipher: message authentication failed" };
      return { value, outdated: providerIndex + keyIndex > 0 };
    }
  }
  return { problem: "no matching prefix found" };
}

/** The rule for an etcd key; undefined for what is stored as it is. */
export function ruleFor(rules: readonly EncryptionRule[], key: string): EncryptionRule | undefined {
  return rules.find(({ prefix }) => key.startsWith(prefix));
}

function prefixOf({ name }: EncryptionKey): Buffer {
  return Buffer.from(`${AESGCM_PREFIX}${name}:`);
}

function startsWith(bytes: Uint8Array, prefix: Uint8Array): boolean {
  return Buffer.compare(bytes.subarray(0, prefix.length), prefix) === 0;
}
