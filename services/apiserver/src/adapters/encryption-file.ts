/** The file of `--encryption-provider-config`, which may be read again while the process runs. */
import { readFileSync } from "node:fs";
import type { Logger } from "@pilothouse/telemetry";
import type { EncryptionRule } from "../core/encryption.ts";
import { parseEncryptionConfig } from "../core/encryption-config.ts";

export interface EncryptionFile {
  readonly rules: () => readonly EncryptionRule[];
  /** A file that is wrong now is told in the log, and what held before goes on to hold. */
  reload(): void;
}

/**
 * Without a path nothing is encrypted.
 *
 * @throws EncryptionConfigInvalid, or what reading the file throws
 */
export function encryptionFile(path: string | undefined, log: Logger): EncryptionFile {
  const read = (): readonly EncryptionRule[] =>
    path === undefined ? [] : parseEncryptionConfig(readFileSync(path, "utf8"));
  let rules = read();
  return {
    rules: () => rules,
    reload() {
      try {
        rules = read();
        log.info("the encryption configuration was read again", { path });
      } catch (error) {
        log.error("the encryption configuration cannot be used: what held before goes on to hold", { path, error });
      }
    },
  };
}
