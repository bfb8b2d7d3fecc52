/** What an update of a pod's status may say. */
import type { ContainerStatus, Pod, PodCondition } from "@pilothouse/api/types/core-v1";
import { checkDns1123Subdomain, checkQualifiedName } from "@pilothouse/selectors/names";
import { duplicate, forbidden, immutable, invalid, invalidEach } from "../field-errors.ts";
import type { FieldErrors } from "../field-errors.ts";
import { checkIp, ipFamily } from "../ip.ts";
import { fixedAnnotationsRules } from "./pod-update.ts";

const SYSTEM_CONDITIONS: readonly string[] = ["PodScheduled", "Ready", "Initialized"];

/** A kubelet that does not know generations leaves them out: what was observed stays observed. In place. */
export function keepObservedGenerations(pod: Pod, old: Pod): void {
  if (!pod.status) return;
  const { observedGeneration } = old.status ?? {};
  if (!pod.status.observedGeneration && observedGeneration) pod.status.observedGeneration = observedGeneration;
  // There may be several of a type: each takes the generation of its own.
  const before: PodCondition[] = [...(old.status?.conditions ?? [])];
  for (const condition of pod.status.conditions ?? []) {
    const index = before.findIndex(({ type }) => type === condition.type);
    const [known] = index < 0 ? [] : before.splice(index, 1);
    if (!condition.observedGeneration && known?.observedGeneration) {
      condition.observedGeneration = known.observedGeneration;
    }
  }
}

export function* podStatusUpdateRules(pod: Pod, old: Pod): FieldErrors {
  yield* fixedAnnotationsRules(pod, old);
  const { status = {} } = pod;
  const { status: before = {} } = old;
  for (const [index, { type }] of (status.conditions ?? []).entries()) {
    if (SYSTEM_CONDITIONS.includes(type)) continue;
    // Upstream's path, which forgot where it is.
    yield* invalidEach(`metadata.conditions[${index}].Type`, type ?? "", checkQualifiedName(type ?? ""));
  }
  const { nominatedNodeName: nominated } = status;
  if (nominated && nominated !== before.nominatedNodeName) {
    yield* invalidEach("status.nominatedNodeName", nominated, checkDns1123Subdomain(nominated));
  }
  yield* immutable("status.qosClass", status.qosClass, before.qosClass);
  const { restartPolicy = "" } = old.spec;
  const sidecars = (old.spec.initContainers ?? [])
    .filter((it) => it.restartPolicy === "Always")
    .map(({ name }) => name);
  yield* endedStays(status.containerStatuses, before.containerStatuses, restartPolicy, "status.containerStatuses");
  yield* endedStays(
    status.initContainerStatuses,
    (before.initContainerStatuses ?? []).map((one) => (sidecars.includes(one.name) ? undefined : one)),
    restartPolicy,
    "status.initContainerStatuses",
  );
  yield* endedStays(
    status.ephemeralContainerStatuses,
    before.ephemeralContainerStatuses,
    "Never",
    "status.ephemeralContainerStatuses",
  );
  yield* claimStatusRules(pod);
  yield* addressesRules(status.podIPs ?? [], "status.podIPs");
  const [first] = status.hostIPs ?? [];
  if (first && first.ip !== (status.hostIP ?? "")) {
    yield invalid("status.hostIPs[0].ip", first.ip ?? "", "must be equal to `hostIP`");
  }
  yield* addressesRules(status.hostIPs ?? [], "status.hostIPs");
}

/** A container that has ended stays so, unless its pod's policy starts it again. @param old undefined: always may start again */
function* endedStays(
  statuses: readonly ContainerStatus[] | undefined,
  old: readonly (ContainerStatus | undefined)[] | undefined,
  restartPolicy: string,
  path: string,
): FieldErrors {
  if (restartPolicy === "Always") return;
  for (const [index, before] of (old ?? []).entries()) {
    const ended = before?.state?.terminated;
    if (!ended || (ended.exitCode !== 0 && restartPolicy === "OnFailure")) continue;
    const now = statuses?.find(({ name }) => name === before.name);
    if (now && !now.state?.terminated) {
      yield forbidden(`${path}[${index}].state`, "may not be transitioned to non-terminated state");
    }
  }
}

function* claimStatusRules({ spec, status }: Pod): FieldErrors {
  const names = new Set<string>();
  for (const [index, { name, resourceClaimName }] of (status?.resourceClaimStatuses ?? []).entries()) {
    const at = `status.resourceClaimStatuses[${index}].name`;
    if (!(spec.resourceClaims ?? []).some((claim) => claim.name === name)) {
      yield invalid(at, name, "must match the name of an entry in `spec.resourceClaims`");
    }
    if (names.has(name)) yield duplicate(at, name);
    names.add(name);
    if (resourceClaimName !== undefined) {
      yield* invalidEach(at, resourceClaimName, checkDns1123Subdomain(resourceClaimName));
    }
  }
}

/** One of each family at most. */
function* addressesRules(addresses: readonly { readonly ip?: string }[], path: string): FieldErrors {
  for (const [index, { ip = "" }] of addresses.entries()) yield* invalidEach(`${path}[${index}]`, ip, checkIp(ip));
  if (addresses.length < 2) return;
  const families = new Set(addresses.map(({ ip = "" }) => ipFamily(ip)));
  if (families.size < 2 || addresses.length > 2) {
    yield invalid(path, addresses, "may specify no more than one IP for each IP family");
  }
  const seen = new Set<string>();
  for (const [index, address] of addresses.entries()) {
    if (seen.has(address.ip ?? "")) yield duplicate(`${path}[${index}]`, address);
    seen.add(address.ip ?? "");
  }
}
