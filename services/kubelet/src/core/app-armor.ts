/** Which AppArmor profile a container runs under, and whether a pod needs a machine that has AppArmor. Pure. */
import type { AppArmorProfile, Container, Pod } from "@pilothouse/api/types/core-v1";
import type { SecurityProfile } from "@pilothouse/runtime";
import { allContainers } from "./pod-runtime.ts";

/** Undefined: nobody says, and the runtime does as it is used to. The container's own counts before the pod's. */
export function appArmorOf(pod: Pod, { securityContext }: Container): SecurityProfile | undefined {
  const profile = securityContext?.appArmorProfile ?? pod.spec.securityContext?.appArmorProfile;
  switch (profile?.type) {
    case "Localhost":
      return { type: "Localhost", localhostRef: profile.localhostProfile ?? "" };
    case "RuntimeDefault":
    case "Unconfined":
      return { type: profile.type };
    default:
      return undefined;
  }
}

/** Upstream's isRequired: any profile but `Unconfined` would be a promise that a machine without AppArmor breaks. */
export function needsAppArmor(pod: Pod): boolean {
  const profiles: readonly (AppArmorProfile | undefined)[] = [
    pod.spec.securityContext?.appArmorProfile,
    ...allContainers(pod).map(({ securityContext }) => securityContext?.appArmorProfile),
  ];
  return profiles.some((profile) => profile !== undefined && profile.type !== "Unconfined");
}
