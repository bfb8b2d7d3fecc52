/** The file of `--encryption-provider-config`, which may be read again while the process runs. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import type { Telemetry } from "@pilothouse/telemetry";
import type { EncryptionRule } from "../core/stored/encryption.ts";
import { parseEncryptionConfig } from "../core/stored/encryption-config.ts";

export interface EncryptionFile {
  readonly rules: () => readonly EncryptionRule[];
  /**
   * A file that is wrong now is told in the log, and what held before goes on to hold. The rules change at once; the metric tells it
   * when the writes that were begun by the earlier ones have ended.
   */
  reload(writesEnded: () => Promise<void>): Promise<void>;
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
  let told: string | undefined;
  /** The digest of what was read; undefined without a file. */
  const read = (): string | undefined => {
    if (path === undefined) return undefined;
    const text = readFileSync(path, "utf8");
    rules = parseEncryptionConfig(text);
    return `sha256:${createHash("sha256").update(text).digest("hex")}`;
  };
  const tell = (hash: string | undefined): void => {
    if (told !== undefined) holds.set(0, { hash: told });
    if (hash !== undefined) holds.set(1, { hash });
    told = hash;
  };
  tell(read());
  return {
    rules: () => rules,
    async reload(writesEnded) {
      try {
        const hash = read();
        const taken = rules;
        await writesEnded();
        // Another reload may have come meanwhile; that one tells.
        if (rules === taken) tell(hash);
        log.info("the encryption configuration was read again", { path });
      } catch (error) {
        log.error("the encryption configuration cannot be used: what held before goes on to hold", { path, error });
      }
    },
  };
}
