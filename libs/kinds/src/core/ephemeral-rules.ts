/** Ephemeral containers: what they may say, and that they are only ever added, through their subresource. */
import type { EphemeralContainer, Pod, PodSpec } from "@pilothouse/api/types/core-v1";
import { duplicate, forbidden, notFound, sameValue } from "../field-errors.ts";
import type { FieldErrors } from "../field-errors.ts";
import { nextGeneration } from "../isolation.ts";
import { containerRules, type PodContext } from "./container-rules.ts";

const MIRROR_POD = "kubernetes.io/config.mirror";
const NOT_FOR_EPHEMERAL = "cannot be set for an Ephemeral Container";

/** Whoever looks into a pod must not become a part of its work. */
const FORBIDDEN = [
  "ports",
  "resources",
  "resizePolicy",
  "restartPolicy",
  "restartPolicyRules",
  "livenessProbe",
  "readinessProbe",
  "startupProbe",
  "lifecycle",
] as const satisfies readonly (keyof EphemeralContainer)[];

export function* ephemeralContainersRules(spec: PodSpec, pod: PodContext, path: string): FieldErrors {
  const others = [...(spec.containers ?? []), ...(spec.initContainers ?? [])].map(({ name }) => name);
  const names = new Set(others);
  for (const [index, container] of (spec.ephemeralContainers ?? []).entries()) {
    const at = `${path}[${index}]`;
    yield* containerRules(container, pod, at);
    if (names.has(container.name)) yield duplicate(`${at}.name`, container.name);
    names.add(container.name);
    const { targetContainerName: target, volumeMounts = [] } = container;
    if (target && !others.includes(target)) yield notFound(`${at}.targetContainerName`, target);
    for (const field of FORBIDDEN) {
      if (isSet(container[field])) yield forbidden(`${at}.${field}`, NOT_FOR_EPHEMERAL);
    }
    // What a subPath binds is given back only when the whole pod goes.
    for (const [mount, one] of volumeMounts.entries()) {
      for (const field of ["subPath", "subPathExpr"] as const) {
        if (one[field]) yield forbidden(`${at}.volumeMounts[${mount}].${field}`, NOT_FOR_EPHEMERAL);
      }
    }
  }
}

/** Everything but the ephemeral containers becomes what it was. In place. */
export function keepAllButEphemeral(pod: Pod, old: Pod): void {
  const { ephemeralContainers } = pod.spec;
  pod.spec = { ...old.spec };
  delete pod.spec.ephemeralContainers;
  if (ephemeralContainers) pod.spec.ephemeralContainers = ephemeralContainers;
  keepMetadataAndStatus(pod, old);
  nextGeneration(pod, old);
}

/** What a client says of metadata through a subresource of the spec does not count, but for its preconditions. In place. */
export function keepMetadataAndStatus(pod: Pod, old: Pod): void {
  const { name, namespace, uid, resourceVersion, managedFields } = pod.metadata;
  const given = Object.entries({ name, namespace, uid, resourceVersion, managedFields });
  pod.metadata = {
    ...old.metadata,
    ...Object.fromEntries(given.filter(([, value]) => value !== undefined)),
  };
  if (old.status === undefined) delete pod.status;
  else pod.status = old.status;
}

/** Beside the rules for any pod: what stands is neither changed nor taken away. */
export function* ephemeralUpdateRules(pod: Pod, old: Pod): FieldErrors {
  if (old.metadata.annotations?.[MIRROR_POD] !== undefined) {
    yield forbidden("", "static pods do not support ephemeral containers");
    return;
  }
  const now = new Map((pod.spec.ephemeralContainers ?? []).map((it) => [it.name, it]));
  const path = "spec.ephemeralContainers";
  for (const before of old.spec.ephemeralContainers ?? []) {
    const container = now.get(before.name);
    const name = JSON.stringify(before.name);
    if (!container) yield forbidden(path, `existing ephemeral containers ${name} may not be removed\n`);
    else if (!sameValue(container, before)) {
      yield forbidden(path, `existing ephemeral containers ${name} may not be changed\n${changed(before, container)}`);
    }
  }
}

function changed(before: EphemeralContainer, now: EphemeralContainer): string {
  const fields = new Set([...Object.keys(before), ...Object.keys(now)]) as Set<keyof EphemeralContainer>;
  return [...fields]
    .filter((field) => !sameValue(before[field], now[field]))
    .sort()
    .join("\n");
}

function isSet(value: unknown): boolean {
  if (value === undefined || value === null || value === "") return false;
  if (Array.isArray(value)) return value.length > 0;
  return typeof value !== "object" || Object.keys(value).length > 0;
}
