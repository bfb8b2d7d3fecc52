/** The restricted level: what a hardened pod says of itself, beside the baseline. Upstream's checks, in its order and words. */
import type { Container, PodSpec, Volume } from "@pilothouse/api/types/core-v1";
import { forbiddenAdditions, uses, wrongSeccompProfile } from "./baseline.ts";
import {
  containersOf,
  distinct,
  named,
  namesWhere,
  plural,
  quoted,
  settersOf,
  type Check,
  type Checked,
  type Finding,
} from "./check.ts";

export const restrictedChecks: readonly Check[] = [
  {
    id: "allowPrivilegeEscalation",
    versions: [
      { sinceMinor: 8, find: allowPrivilegeEscalation },
      { sinceMinor: 25, find: unlessWindows(allowPrivilegeEscalation) },
    ],
  },
  {
    id: "capabilities_restricted",
    versions: [
      { sinceMinor: 22, find: keptCapabilities },
      { sinceMinor: 25, find: unlessWindows(keptCapabilities) },
    ],
    overrides: ["capabilities_baseline"],
  },
  {
    id: "restrictedVolumes",
    versions: [{ sinceMinor: 0, find: restrictedVolumes }],
    overrides: ["hostPathVolumes"],
  },
  { id: "runAsNonRoot", versions: [{ sinceMinor: 0, find: runAsNonRoot }] },
  { id: "runAsUser", versions: [{ sinceMinor: 23, find: runAsUser }] },
  {
    id: "seccompProfile_restricted",
    versions: [
      { sinceMinor: 19, find: ({ spec }) => seccompProfile(spec) },
      { sinceMinor: 25, find: unlessWindows(({ spec }) => seccompProfile(spec)) },
    ],
    overrides: ["seccompProfile_baseline"],
  },
];

/** What says nothing to Windows is not asked of its pods. */
function unlessWindows(find: (pod: Checked) => Finding | undefined): (pod: Checked) => Finding | undefined {
  return (pod) => (pod.spec.os?.name === "windows" ? undefined : find(pod));
}

function allowPrivilegeEscalation({ spec }: Checked): Finding | undefined {
  const containers = namesWhere(spec, ({ securityContext }) => securityContext?.allowPrivilegeEscalation !== false);
  if (containers.length === 0) return undefined;
  return {
    reason: "allowPrivilegeEscalation != false",
    detail: `${named("container", containers)} must set securityContext.allowPrivilegeEscalation=false`,
  };
}

function keptCapabilities({ spec }: Checked): Finding | undefined {
  const keeping = namesWhere(spec, ({ securityContext }) => !securityContext?.capabilities?.drop?.includes("ALL"));
  const details = [
    keeping.length > 0
      ? `${named("container", keeping)} must set securityContext.capabilities.drop=["ALL"]`
      : undefined,
    forbiddenAdditions(spec, ["NET_BIND_SERVICE"]),
  ].filter((detail) => detail !== undefined);
  return details.length === 0 ? undefined : { reason: "unrestricted capabilities", detail: details.join("; ") };
}

const ALLOWED_VOLUMES: readonly string[] = [
  "configMap",
  "csi",
  "downwardAPI",
  "emptyDir",
  "ephemeral",
  "persistentVolumeClaim",
  "projected",
  "secret",
];

function restrictedVolumes({ spec }: Checked): Finding | undefined {
  const typeOf = ({ name: _name, ...source }: Volume): string => Object.keys(source)[0] ?? "unknown";
  const wrong = (spec.volumes ?? []).filter((volume) => !ALLOWED_VOLUMES.includes(typeOf(volume)));
  if (wrong.length === 0) return undefined;
  const names = wrong.map(({ name }) => name);
  const types = distinct(wrong.map(typeOf));
  const words = plural("restricted volume type", types);
  return {
    reason: "restricted volume types",
    detail: `${named("volume", names)} ${uses(names)} ${words} ${quoted(types)}`,
  };
}

function runAsNonRoot({ spec }: Checked): Finding | undefined {
  const pod = spec.securityContext?.runAsNonRoot;
  const saidBy = ({ securityContext }: Container) => securityContext?.runAsNonRoot;
  const reason = "runAsNonRoot != true";
  const setters = settersOf(
    pod === false,
    namesWhere(spec, (container) => saidBy(container) === false),
  );
  if (setters !== undefined) return { reason, detail: `${setters} must not set securityContext.runAsNonRoot=false` };
  const silent = namesWhere(spec, (container) => saidBy(container) === undefined);
  if (pod === true || silent.length === 0) return undefined;
  return { reason, detail: `pod or ${named("container", silent)} must set securityContext.runAsNonRoot=true` };
}

function runAsUser({ spec }: Checked): Finding | undefined {
  const containers = namesWhere(spec, ({ securityContext }) => securityContext?.runAsUser === 0);
  const setters = settersOf(spec.securityContext?.runAsUser === 0, containers);
  return setters === undefined ? undefined : { reason: "runAsUser=0", detail: `${setters} must not set runAsUser=0` };
}

function seccompProfile(spec: PodSpec): Finding | undefined {
  const wrong = wrongSeccompProfile(spec);
  if (wrong || spec.securityContext?.seccompProfile) return wrong;
  const silent = containersOf(spec)
    .filter(({ securityContext }) => !securityContext?.seccompProfile)
    .map(({ name }) => name);
  if (silent.length === 0) return undefined;
  const must = 'must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"';
  return { reason: "seccompProfile", detail: `pod or ${named("container", silent)} ${must}` };
}
