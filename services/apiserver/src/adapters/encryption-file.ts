/** The file of `--encryption-provider-config`, which may be read again while the process runs. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import type { Telemetry } from "@pilothouse/telemetry";
import type { EncryptionRule } from "../core/stored/encryption.ts";
import { parseEncryptionConfig } from "../core/stored/encryption-config.ts";

export interface EncryptionFile {
  readonly rules: () => readonly EncryptionRule[];
  /** A file that is wrong now is told in the log, and what held before goes on to hold. */
  reload(): void;
}

/**
 * Without a path nothing is encrypted. A metric, named as upstream's, says which file holds: who rotates a key looks there
 * whether each apiserver has taken a step.
 *
 * @throws EncryptionConfigInvalid, or what reading the file throws
 */
export function encryptionFile(path: string | undefined, { log, metrics }: Omit<Telemetry, "tracer">): EncryptionFile {
  const holds = metrics.gauge(
    "apiserver_encryption_config_controller_last_config_info",
    "1 for the digest of the encryption configuration that holds.",
    ["hash"],
  );
  let rules: readonly EncryptionRule[] = [];
  let hash: string | undefined;
  const read = (): void => {
    if (path === undefined) return;
    const text = readFileSync(path, "utf8");
    rules = parseEncryptionConfig(text);
    if (hash !== undefined) holds.set(0, { hash });
    hash = `sha256:${createHash("sha256").update(text).digest("hex")}`;
    holds.set(1, { hash });
  };
  read();
  return {
    rules: () => rules,
    reload() {
      try {
        read();
        log.info("the encryption configuration was read again", { path });
      } catch (error) {
        log.error("the encryption configuration cannot be used: what held before goes on to hold", { path, error });
      }
    },
  };
}
