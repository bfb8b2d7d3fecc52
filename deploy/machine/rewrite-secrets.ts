/** Writes every Secret again, unchanged, so that it lies in etcd as the apiservers write now: by the key that is first. */
import type { Secret } from "@pilothouse/api/types/core-v1";
import { resources, type ApiClient } from "@pilothouse/client";
import { isStatus } from "@pilothouse/errors";

const PAGE = 200;

/**
 * Resolves to how many were written. One that somebody else wrote or deleted meanwhile is left: it was written by the key of now, or
 * is gone. Where the list grows too old between two pages it is begun anew.
 */
export async function rewriteSecrets(client: ApiClient): Promise<number> {
  let written = 0;
  let next: string | undefined;
  do {
    const after = next === undefined ? {} : { continue: next };
    try {
      const page = await client.list(resources.secrets, "", { limit: PAGE, ...after });
      for (const secret of page.items) written += await rewrite(client, secret);
      next = page.continue;
    } catch (error) {
      if (next === undefined || !isStatus(error, "Expired")) throw error;
      return written + (await rewriteSecrets(client));
    }
  } while (next !== undefined);
  return written;
}

async function rewrite(client: ApiClient, secret: Secret): Promise<number> {
  try {
    await client.update(resources.secrets, secret);
    return 1;
  } catch (error) {
    if (isStatus(error, "Conflict") || isStatus(error, "NotFound")) return 0;
    throw error;
  }
}
