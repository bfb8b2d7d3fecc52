/** What of a pod may change once it exists. */
import type { Container, ContainerStatus, Pod, PodSpec, Toleration } from "@pilothouse/api/types/core-v1";
import { checkDns1123Subdomain } from "@pilothouse/selectors/names";
import { forbidden, inRange, invalid, invalidEach, sameValue } from "../field-errors.ts";
import type { FieldErrors } from "../field-errors.ts";

const MAX_INT32 = 2 ** 31 - 1;
const MIRROR_POD = "kubernetes.io/config.mirror";

const ONLY_THESE =
  "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`," +
  "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations)," +
  "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

/** Rules for an update, beside those for any pod; while scheduling gates hold it, it may also be narrowed down. */
export function* podUpdateRules(pod: Pod, old: Pod): FieldErrors {
  yield* mirrorRules(pod, old);
  for (const field of ["containers", "initContainers"] as const) {
    if ((pod.spec[field] ?? []).length === (old.spec[field] ?? []).length) continue;
    yield forbidden(`spec.${field}`, "pod updates may not add or remove containers");
    return;
  }
  yield* deadlineRules(pod.spec.activeDeadlineSeconds, old.spec.activeDeadlineSeconds);
  yield* addedTolerationsRules(pod.spec.tolerations ?? [], old.spec.tolerations ?? []);
  yield* gateUpdateRules(pod.spec, old.spec);

  const allowed = withAllowedChanges(pod.spec, old.spec);
  if (!sameValue(pod.spec, allowed)) yield forbidden("spec", `${ONLY_THESE}\n${differences(allowed, pod.spec)}`);
}

export function* podStatusUpdateRules(pod: Pod, old: Pod): FieldErrors {
  yield* mirrorRules(pod, old);
  const nominated = pod.status?.nominatedNodeName;
  if (nominated && nominated !== old.status?.nominatedNodeName) {
    yield* invalidEach("status.nominatedNodeName", nominated, checkDns1123Subdomain(nominated));
  }
  if (old.spec.restartPolicy === "Always") return;
  const failuresRestart = old.spec.restartPolicy === "OnFailure";
  yield* terminatedStays(
    pod.status?.containerStatuses,
    old.status?.containerStatuses,
    failuresRestart,
    "status.containerStatuses",
  );
}

/** The old spec with every change that is allowed taken over: what else differs is forbidden. */
function withAllowedChanges(spec: PodSpec, old: PodSpec): PodSpec {
  const allowed: PodSpec = {
    ...old,
    containers: withImagesOf(spec.containers, old.containers),
    ...(old.initContainers ? { initContainers: withImagesOf(spec.initContainers ?? [], old.initContainers) } : {}),
  };
  for (const field of ["activeDeadlineSeconds", "tolerations", "schedulingGates"] as const) {
    copyField(allowed, spec, field);
  }
  const graceBefore = old.terminationGracePeriodSeconds ?? 0;
  if (graceBefore < 0 && spec.terminationGracePeriodSeconds === 1) allowed.terminationGracePeriodSeconds = 1;
  if ((old.schedulingGates ?? []).length > 0) {
    if (onlyAdds(spec.nodeSelector, old.nodeSelector)) copyField(allowed, spec, "nodeSelector");
    copyField(allowed, spec, "affinity");
  }
  return allowed;
}

function copyField(target: PodSpec, source: PodSpec, field: keyof PodSpec): void {
  if (source[field] === undefined) delete target[field];
  else Object.assign(target, { [field]: source[field] });
}

function withImagesOf(containers: readonly Container[], old: readonly Container[]): Container[] {
  return old.map((container, index) => {
    const image = containers[index]?.image;
    return image === undefined ? container : { ...container, image };
  });
}

function onlyAdds(labels: Record<string, string> | undefined, old: Record<string, string> | undefined): boolean {
  return Object.entries(old ?? {}).every(([key, value]) => labels?.[key] === value);
}

/** It may appear and shrink, never grow or go. */
function* deadlineRules(seconds: number | undefined, old: number | undefined): FieldErrors {
  const path = "spec.activeDeadlineSeconds";
  if (seconds === undefined) {
    if (old !== undefined) yield invalid(path, null, "must not update from a positive integer to nil value");
    return;
  }
  yield* inRange(path, seconds, 0, MAX_INT32);
  if (old !== undefined && old < seconds) yield invalid(path, seconds, "must be less than or equal to previous value");
}

function* addedTolerationsRules(tolerations: readonly Toleration[], old: readonly Toleration[]): FieldErrors {
  const withoutSeconds = ({ tolerationSeconds: _seconds, ...rest }: Toleration) => rest;
  const kept = old.every((one) => tolerations.some((now) => sameValue(withoutSeconds(now), withoutSeconds(one))));
  if (!kept) {
    yield forbidden("spec.tolerations", "existing toleration can not be modified except its tolerationSeconds");
  }
}

function* gateUpdateRules({ schedulingGates = [] }: PodSpec, old: PodSpec): FieldErrors {
  const before = new Set((old.schedulingGates ?? []).map(({ name }) => name));
  for (const [index, { name }] of schedulingGates.entries()) {
    if (before.has(name)) continue;
    yield forbidden(
      `spec.schedulingGates[${index}].name`,
      `only deletion is allowed, but found new scheduling gate '${name}'`,
    );
  }
}

function* mirrorRules(pod: Pod, old: Pod): FieldErrors {
  const now = pod.metadata.annotations?.[MIRROR_POD];
  const before = old.metadata.annotations?.[MIRROR_POD];
  if (now === before) return;
  const path = `metadata.annotations[${MIRROR_POD}]`;
  if (before === undefined) yield forbidden(path, "may not add mirror pod annotation");
  else yield forbidden(path, "may not remove or update mirror pod annotation");
}

function* terminatedStays(
  statuses: readonly ContainerStatus[] | undefined,
  old: readonly ContainerStatus[] | undefined,
  failuresRestart: boolean,
  path: string,
): FieldErrors {
  for (const [index, before] of (old ?? []).entries()) {
    const ended = before.state?.terminated;
    if (!ended || (ended.exitCode !== 0 && failuresRestart)) continue;
    const now = statuses?.find(({ name }) => name === before.name);
    if (now && !now.state?.terminated) {
      yield forbidden(`${path}[${index}].state`, "may not be transitioned to non-terminated state");
    }
  }
}

/** One line for each field of the spec that differs: `  nodeName: "a" -> "b"`. */
function differences(allowed: PodSpec, spec: PodSpec): string {
  const before: Readonly<Record<string, unknown>> = { ...allowed };
  const now: Readonly<Record<string, unknown>> = { ...spec };
  return [...new Set([...Object.keys(before), ...Object.keys(now)])]
    .filter((field) => !sameValue(before[field], now[field]))
    .sort()
    .map(
      (field) => `  ${field}: ${JSON.stringify(before[field]) ?? "unset"} -> ${JSON.stringify(now[field]) ?? "unset"}`,
    )
    .join("\n");
}
