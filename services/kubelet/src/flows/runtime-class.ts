/** What the runtime calls the class that a pod wants. */
import type { Pod } from "@pilothouse/api/types/core-v1";
import { resources, type ApiClient } from "@pilothouse/client";
import type { TraceContext } from "@pilothouse/telemetry";

/** "" = the runtime's default. */
export async function runtimeHandlerOf(
  client: ApiClient,
  { spec }: Pod,
  trace: TraceContext | undefined,
): Promise<string> {
  if (!spec.runtimeClassName) return "";
  try {
    return (await client.get(resources.runtimeClasses, "", spec.runtimeClassName, { trace })).handler;
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new Error(`failed to get sandbox runtime: ${why}`, { cause: error });
  }
}
