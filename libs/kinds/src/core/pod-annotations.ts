/** Annotations of a pod that mean something: what fields say today, and how dear its deletion is. */
import type { AppArmorProfile, PodSpec, SeccompProfile } from "@pilothouse/api/types/core-v1";
import { forbidden, invalid } from "../field-errors.ts";
import type { FieldErrors } from "../field-errors.ts";
import { localPathRules } from "./path-rules.ts";
import { appArmorRules } from "./security-rules.ts";
import { containersOf } from "./windows-rules.ts";

export const MIRROR_POD = "kubernetes.io/config.mirror";
export const APP_ARMOR = "container.apparmor.security.beta.kubernetes.io/";
export const SECCOMP_POD = "seccomp.security.alpha.kubernetes.io/pod";
export const SECCOMP_CONTAINER = "container.seccomp.security.alpha.kubernetes.io/";
const DELETION_COST = "controller.kubernetes.io/pod-deletion-cost";
const LOCALHOST = "localhost/";

type Annotations = Readonly<Record<string, string>>;

export function* podAnnotationRules(annotations: Annotations, spec: PodSpec, path: string): FieldErrors {
  const mirror = annotations[MIRROR_POD];
  if (mirror !== undefined && !spec.nodeName) {
    yield invalid(`${path}[${MIRROR_POD}]`, mirror, "must set spec.nodeName if mirror pod annotation is set");
  }
  const cost = annotations[DELETION_COST];
  if (cost !== undefined && !isInt32(cost)) yield invalid(`${path}[${DELETION_COST}]`, cost, "must be a 32bit integer");
  for (const [key, value] of Object.entries(annotations)) {
    if (key === SECCOMP_POD || key.startsWith(SECCOMP_CONTAINER)) yield* seccompTextRules(value, `${path}.${key}`);
    if (key.startsWith(APP_ARMOR)) yield* appArmorTextRules(key, value, spec, `${path}[${key}]`);
  }
}

/** Neither `+1` nor `01`. */
function isInt32(text: string): boolean {
  return /^(0|-?[1-9]\d*|-0+)$/.test(text) && Number(text) === (Number(text) | 0);
}

function* seccompTextRules(value: string, path: string): FieldErrors {
  if (["runtime/default", "docker/default", "unconfined"].includes(value)) return;
  if (value.startsWith(LOCALHOST)) yield* localPathRules(value.slice(LOCALHOST.length), path);
  else yield invalid(path, value, "must be a valid seccomp profile");
}

function* appArmorTextRules(key: string, value: string, spec: PodSpec, path: string): FieldErrors {
  const name = key.slice(APP_ARMOR.length);
  if (!containersOf(spec, "").some(([container]) => container.name === name)) {
    yield invalid(path, name, "container not found");
  }
  if (["", "runtime/default", "unconfined"].includes(value) || value.startsWith(LOCALHOST)) return;
  yield invalid(path, value, `invalid AppArmor profile name: ${JSON.stringify(value)}`);
}

/** Where an annotation and a field both say which profile, they say the same. */
export function* profilesMatchRules(annotations: Annotations, spec: PodSpec, path: string): FieldErrors {
  const ofPod = spec.securityContext ?? {};
  yield* matchRules(
    "seccomp",
    annotations[SECCOMP_POD],
    ofPod.seccompProfile,
    `${path}.securityContext.seccompProfile`,
  );
  for (const [{ name, securityContext }, at] of containersOf(spec, path)) {
    const annotated = annotations[`${SECCOMP_CONTAINER}${name}`];
    yield* matchRules("seccomp", annotated, securityContext?.seccompProfile, `${at}.securityContext.seccompProfile`);
  }
  if (spec.os?.name === "windows") return;
  for (const [{ name, securityContext }, at] of containersOf(spec, path)) {
    const profile = securityContext?.appArmorProfile ?? ofPod.appArmorProfile;
    yield* matchRules("apparmor", annotations[`${APP_ARMOR}${name}`], profile, `${at}.securityContext.appArmorProfile`);
  }
}

function* matchRules(
  word: "seccomp" | "apparmor",
  annotation: string | undefined,
  profile: SeccompProfile | AppArmorProfile | undefined,
  path: string,
): FieldErrors {
  if (annotation === undefined || !profile) return;
  const other = forbidden(`${path}.type`, `${word} type in annotation and field must match`);
  if (profile.type === "Unconfined" && annotation !== "unconfined") yield other;
  if (profile.type === "RuntimeDefault") {
    const isDefault = annotation === "runtime/default" || (word === "seccomp" && annotation === "docker/default");
    if (!isDefault) yield other;
  }
  if (profile.type !== "Localhost") return;
  if (!annotation.startsWith(LOCALHOST)) yield other;
  else if (annotation.slice(LOCALHOST.length) !== profile.localhostProfile) {
    yield forbidden(`${path}.localhostProfile`, `${word} profile in annotation and field must match`);
  }
}

/** Kubelets read the field: what an annotation says of AppArmor goes there, unless the pod as a whole says it already. In place. */
export function profilesFromAnnotations(annotations: Annotations, spec: PodSpec): void {
  if (spec.os?.name === "windows") return;
  for (const [container] of containersOf(spec, "")) {
    const annotation = annotations[`${APP_ARMOR}${container.name}`];
    if (annotation === undefined || container.securityContext?.appArmorProfile) continue;
    const profile = profileOf(annotation);
    if (!profile || [...appArmorRules(profile, "")].length > 0) continue;
    const { type, localhostProfile } = spec.securityContext?.appArmorProfile ?? {};
    if (profile.type === type && profile.localhostProfile === localhostProfile) continue;
    container.securityContext = { ...container.securityContext, appArmorProfile: profile };
  }
}

function profileOf(annotation: string): AppArmorProfile | undefined {
  if (annotation === "unconfined") return { type: "Unconfined" };
  if (annotation === "runtime/default") return { type: "RuntimeDefault" };
  if (!annotation.startsWith(LOCALHOST)) return undefined;
  return { type: "Localhost", localhostProfile: annotation.slice(LOCALHOST.length) };
}
