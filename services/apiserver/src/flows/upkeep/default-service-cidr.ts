/**
 * The ServiceCIDR `kubernetes`: the range of `--service-cluster-ip-range`, made when it is missing and told ready once. One that
 * says another range than the flag is left as it is; by upstream's kubernetes-service-cidr-controller.
 */
import type { Condition } from "@pilothouse/api/types/meta-v1";
import type { ServiceCIDR } from "@pilothouse/api/types/networking-v1";
import { sleep } from "@pilothouse/clock";
import { isStatus } from "@pilothouse/errors";
import { sameValue } from "@pilothouse/kinds/field-errors";
import type { ApiObject } from "@pilothouse/kinds/kind";
import type { Scope } from "@pilothouse/lifecycle";
import type { Telemetry } from "@pilothouse/telemetry";
import { wholeSeconds } from "../../core/delete-rules.ts";
import type { AddressRange } from "../../core/service-addresses.ts";
import { known } from "../../registry/known.ts";
import { createObject } from "../writes/create.ts";
import { change } from "../writes/update.ts";
import type { WriteDeps } from "../writes/write-deps.ts";
import { internalContext } from "./internal-context.ts";

const NAME = "kubernetes";
const MANAGER = "kube-apiserver";
const INTERVAL_MS = 10_000;
const { kind } = known.serviceCidrs;

/** Idempotent. */
export async function ensureDefaultServiceCidr(
  deps: WriteDeps,
  telemetry: Telemetry,
  { cidr }: AddressRange,
  signal: AbortSignal,
): Promise<void> {
  const wanted: ServiceCIDR = {
    apiVersion: "networking.k8s.io/v1",
    kind: "ServiceCIDR",
    metadata: { name: NAME },
    spec: { cidrs: [cidr] },
  };
  const span = telemetry.tracer.start("ensure the default ServiceCIDR");
  const context = internalContext(span, kind, "", NAME, signal);
  try {
    if (!(await deps.objects.read(kind, "", NAME))) {
      const options = { dryRun: false, fieldManager: MANAGER };
      await createObject(deps, context, kind, wanted as unknown as ApiObject, options);
    }
    const stored = (await deps.objects.read(kind, "", NAME))?.object as unknown as ServiceCIDR | undefined;
    if (!stored || !isUntold(stored) || !sameValue(stored.spec, wanted.spec)) return;
    const condition: Condition = {
      type: "Ready",
      status: "True",
      lastTransitionTime: wholeSeconds(deps.time.clock.now()),
      reason: "",
      message: "Kubernetes default Service CIDR is ready",
    };
    const options = { dryRun: false, fieldManager: MANAGER, fieldValidation: "Ignore", force: undefined } as const;
    const asStatus = { ...context, info: { ...context.info, subresource: "status" } };
    await change(deps, asStatus, kind, { options, next: (old) => ({ ...old(), status: { conditions: [condition] } }) });
  } catch (error) {
    // Another apiserver was first.
    if (!isStatus(error, "AlreadyExists") && !isStatus(error, "NotFound")) throw error;
  } finally {
    span.end();
  }
}

/** Makes it again when it was deleted, until the scope closes. */
export function keepDefaultServiceCidr(deps: WriteDeps, telemetry: Telemetry, range: AddressRange, scope: Scope): void {
  scope.run("default ServiceCIDR", async (signal) => {
    for (;;) {
      await sleep(deps.time.clock, INTERVAL_MS, signal);
      try {
        const cached = deps.cached.get(known.serviceCidrs, "", NAME);
        if (!cached || isUntold(cached)) await ensureDefaultServiceCidr(deps, telemetry, range, signal);
      } catch (error) {
        telemetry.log.warn("the default ServiceCIDR was not written", { error });
      }
    }
  });
}

/** Nobody has said yet whether it is ready. */
function isUntold({ metadata, status }: ServiceCIDR): boolean {
  const ready = (status?.conditions ?? []).find(({ type }) => type === "Ready")?.status ?? "Unknown";
  return metadata.deletionTimestamp === undefined && ready === "Unknown";
}
