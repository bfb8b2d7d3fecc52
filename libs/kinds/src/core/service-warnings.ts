/** What is allowed in a Service, but has no effect, or not for long. */
import type { Service } from "@pilothouse/api/types/core-v1";
import { isHeadless } from "./service-rules.ts";

const HINTS = "service.kubernetes.io/topology-aware-hints";
const MODE = "service.kubernetes.io/topology-mode";

export function serviceWarnings({ metadata, spec }: Service): readonly string[] {
  const isExternalName = spec.type === "ExternalName";
  const isWithoutAddress = spec.type === "ClusterIP" && isHeadless(spec);
  const hasExternalIps = (spec.externalIPs ?? []).length > 0;
  const rules: readonly (readonly [applies: boolean, text: string])[] = [
    [metadata.annotations?.[HINTS] !== undefined, `annotation ${HINTS} is deprecated, please use ${MODE} instead`],
    [isWithoutAddress && Boolean(spec.loadBalancerIP), "spec.loadBalancerIP is ignored for headless services"],
    [isWithoutAddress && hasExternalIps, "spec.externalIPs is ignored for headless services"],
    [isWithoutAddress && spec.sessionAffinity !== "None", "spec.SessionAffinity is ignored for headless services"],
    [
      hasExternalIps && !isWithoutAddress && !isExternalName,
      "spec.externalIPs is deprecated and may no longer be implemented in some clusters",
    ],
    [hasExternalIps && isExternalName, 'spec.externalIPs is ignored when spec.type is "ExternalName"'],
    [
      !isExternalName && Boolean(spec.externalName),
      'spec.externalName is ignored when spec.type is not "ExternalName"',
    ],
    [
      spec.trafficDistribution === "PreferClose",
      'spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone"',
    ],
  ];
  return rules.flatMap(([applies, text]) => (applies ? [text] : []));
}
