/** Aggregated API servers learn from a ConfigMap whose client certificates to trust (wire trap 56). */
import type { ConfigMap } from "@pilothouse/api/types/core-v1";
import { isStatus } from "@pilothouse/errors";
import { combinedBundle } from "@pilothouse/pki/bundle";
import type { ApiObject } from "@pilothouse/kinds/kind";
import type { Telemetry } from "@pilothouse/telemetry";
import { known } from "../../registry/known.ts";
import { createObject } from "../writes/create.ts";
import { change } from "../writes/update.ts";
import type { WriteDeps } from "../writes/write-deps.ts";
import { internalContext } from "./internal-context.ts";

const NAME = "extension-apiserver-authentication";
const NAMESPACE = "kube-system";
const KEY = "client-ca-file";
const MANAGER = "kube-apiserver";

/** Adds these authorities to the published ones, and takes out those that have ended; idempotent. @param pem of authorities */
export async function keepClientCa(
  deps: WriteDeps,
  telemetry: Telemetry,
  pem: string,
  signal: AbortSignal,
): Promise<void> {
  const { kind } = known.configMaps;
  const nowMs = deps.time.clock.now();
  const span = telemetry.tracer.start("publish client CA");
  const context = internalContext(span, kind, NAMESPACE, NAME, signal);
  const next = (old: ApiObject): ApiObject => {
    const { data } = old as ConfigMap;
    const bundle = combinedBundle(data?.[KEY] ?? "", pem, nowMs);
    return bundle === data?.[KEY] ? old : { ...old, data: { ...data, [KEY]: bundle } };
  };
  try {
    const stored = await deps.objects.read(kind, NAMESPACE, NAME);
    if (stored) {
      if (next(stored.object) === stored.object) return;
      const options = { dryRun: false, fieldManager: MANAGER, fieldValidation: "Ignore", force: undefined } as const;
      await change(deps, context, kind, { options, next: (old) => next(old()) });
      return;
    }
    const metadata = { name: NAME, namespace: NAMESPACE };
    const absent: ApiObject = { apiVersion: "v1", kind: "ConfigMap", metadata };
    await createObject(deps, context, kind, next(absent), { dryRun: false, fieldManager: MANAGER });
  } catch (error) {
    // Another apiserver was first: its own authorities are there, ours are not yet.
    if (!isStatus(error, "AlreadyExists")) throw error;
    await keepClientCa(deps, telemetry, pem, signal);
  } finally {
    span.end();
  }
}
