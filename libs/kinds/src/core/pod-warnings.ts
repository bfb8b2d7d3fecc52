/** What is allowed in a pod, but hardly meant. */
import type {
  Container,
  ContainerPort,
  NodeSelectorTerm,
  Pod,
  PodAffinityTerm,
  PodSpec,
  PodTemplateSpec,
  Volume,
} from "@pilothouse/api/types/core-v1";
import { checkDns1123Label } from "@pilothouse/selectors/names";
import { APP_ARMOR, SECCOMP_CONTAINER, SECCOMP_POD } from "./pod-annotations.ts";
import { quantityOf } from "./resource-rules.ts";
import { containersOf } from "./windows-rules.ts";

type Annotations = Readonly<Record<string, string>>;

const DEPRECATED_LABELS: Readonly<Record<string, string>> = {
  "failure-domain.beta.kubernetes.io/zone": 'deprecated since v1.17; use "topology.kubernetes.io/zone" instead',
  "failure-domain.beta.kubernetes.io/region": 'deprecated since v1.17; use "topology.kubernetes.io/region" instead',
  "beta.kubernetes.io/arch": 'deprecated since v1.14; use "kubernetes.io/arch" instead',
  "beta.kubernetes.io/os": 'deprecated since v1.14; use "kubernetes.io/os" instead',
  "beta.kubernetes.io/instance-type": 'deprecated since v1.17; use "node.kubernetes.io/instance-type" instead',
};

const DEPRECATED_ANNOTATIONS: Readonly<Record<string, string>> = {
  "scheduler.alpha.kubernetes.io/critical-pod": 'non-functional in v1.16+; use the "priorityClassName" field instead',
  "security.alpha.kubernetes.io/sysctls": 'non-functional in v1.11+; use the "sysctls" field instead',
  "security.alpha.kubernetes.io/unsafe-sysctls": 'non-functional in v1.11+; use the "sysctls" field instead',
};

/** By the field of the volume, in upstream's order; the path is upstream's. */
const DEPRECATED_VOLUMES: readonly (readonly [keyof Volume, string, string])[] = [
  ["photonPersistentDisk", "photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"],
  ["gitRepo", "gitRepo", "deprecated in v1.11"],
  ["scaleIO", "scaleIO", "deprecated in v1.16, non-functional in v1.22+"],
  ["flocker", "flocker", "deprecated in v1.22, non-functional in v1.25+"],
  ["storageos", "storageOS", "deprecated in v1.22, non-functional in v1.25+"],
  ["quobyte", "quobyte", "deprecated in v1.22, non-functional in v1.25+"],
  ["glusterfs", "glusterfs", "deprecated in v1.25, non-functional in v1.26+"],
  ["cephfs", "cephfs", "deprecated in v1.28, non-functional in v1.31+"],
  ["rbd", "rbd", "deprecated in v1.28, non-functional in v1.31+"],
];

const NO_POD = "a null labelSelector results in matching no pod";

/** Of a pod that is made. */
export function podWarnings({ metadata, spec }: Pod): readonly string[] {
  const texts = checkDns1123Label(metadata.name ?? "");
  const about = "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior;";
  const name = texts.length === 0 ? [] : [`${about} a DNS label is recommended: [${texts.join(" ")}]`];
  return [...name, ...warningsOf(spec, metadata.annotations ?? {}, "", false)];
}

/** @param path of the template: `spec.template` */
export function podTemplateWarnings(template: PodTemplateSpec | undefined, path: string): readonly string[] {
  if (!template?.spec) return [];
  return warningsOf(template.spec, template.metadata?.annotations ?? {}, `${path}.`, true);
}

interface Generational {
  readonly metadata: { readonly generation?: number };
}

/** Workloads are warned of when they are made, and when their spec changes. */
export function isOtherGeneration({ metadata }: Generational, old: Generational | undefined): boolean {
  return metadata.generation !== old?.metadata.generation;
}

function warningsOf(spec: PodSpec, annotations: Annotations, prefix: string, isTemplate: boolean): readonly string[] {
  const path = `${prefix}spec`;
  return [
    ...placeWarnings(spec, path),
    ...annotationWarnings(annotations, `${prefix}metadata.annotations`),
    ...volumeWarnings(spec.volumes ?? [], path),
    ...duplicateWarnings(spec, path),
    ...fractionWarnings(spec.overhead, `${path}.overhead`),
    ...profileWarnings(spec, annotations, prefix, isTemplate),
    ...portWarnings(spec, path),
    ...graceWarnings(spec, path),
    ...affinityWarnings(spec, path),
  ];
}

function placeWarnings({ nodeSelector, affinity, topologySpreadConstraints }: PodSpec, path: string): string[] {
  const {
    requiredDuringSchedulingIgnoredDuringExecution: hard,
    preferredDuringSchedulingIgnoredDuringExecution: soft,
  } = affinity?.nodeAffinity ?? {};
  const at = `${path}.affinity.nodeAffinity`;
  return [
    ...Object.keys(nodeSelector ?? {}).flatMap((key) =>
      DEPRECATED_LABELS[key] ? [`${path}.nodeSelector[${key}]: ${DEPRECATED_LABELS[key]}`] : [],
    ),
    ...(hard?.nodeSelectorTerms ?? []).flatMap((term, index) =>
      termWarnings(term, `${at}.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[${index}]`),
    ),
    ...(soft ?? []).flatMap(({ preference }, index) =>
      termWarnings(preference, `${at}.preferredDuringSchedulingIgnoredDuringExecution[${index}].preference`),
    ),
    ...(topologySpreadConstraints ?? []).flatMap(({ topologyKey, labelSelector }, index) => {
      const one = `${path}.topologySpreadConstraints[${index}]`;
      const word = DEPRECATED_LABELS[topologyKey];
      return [
        ...(word ? [`${one}.topologyKey: ${topologyKey} is ${word}`] : []),
        ...(labelSelector ? [] : [`${one}.labelSelector: ${NO_POD}`]),
      ];
    }),
  ];
}

/** Not judged yet: anything may be missing. */
function termWarnings(term: NodeSelectorTerm | undefined, path: string): string[] {
  return (term?.matchExpressions ?? []).flatMap(({ key }, index) =>
    DEPRECATED_LABELS[key] ? [`${path}.matchExpressions[${index}].key: ${key} is ${DEPRECATED_LABELS[key]}`] : [],
  );
}

function annotationWarnings(annotations: Annotations, path: string): string[] {
  return Object.entries(DEPRECATED_ANNOTATIONS).flatMap(([key, text]) =>
    annotations[key] === undefined ? [] : [`${path}[${key}]: ${text}`],
  );
}

function volumeWarnings(volumes: readonly Volume[], path: string): string[] {
  const old = volumes.flatMap((volume, index) =>
    DEPRECATED_VOLUMES.flatMap(([field, name, text]) =>
      volume[field] === undefined ? [] : [`${path}.volumes[${index}].${name}: ${text}`],
    ),
  );
  const tokens = new Set(
    volumes.flatMap(({ projected }) =>
      (projected?.sources ?? []).flatMap(({ serviceAccountToken }) => serviceAccountToken?.path ?? []),
    ),
  );
  const hidden = volumes.flatMap(({ projected }, index) =>
    (projected?.sources ?? []).flatMap(({ configMap, secret, downwardAPI }) =>
      Object.entries({ configMap, secrets: secret, downwardAPI }).flatMap(([word, source]) =>
        (source?.items ?? []).flatMap((item, i) =>
          tokens.has(item.path)
            ? [
                `${path}.volumes[${index}].projected.sources.${word}[${i}]: ` +
                  `has duplicated path with ServiceAccountToken ${JSON.stringify(item.path)}`,
              ]
            : [],
        ),
      ),
    ),
  );
  return [...old, ...hidden];
}

function duplicateWarnings({ hostAliases = [], imagePullSecrets = [] }: PodSpec, path: string): string[] {
  const aliases = hostAliases.flatMap(({ ip }, index) =>
    hostAliases.slice(0, index).some((earlier) => earlier.ip === ip)
      ? [`${path}.hostAliases[${index}].ip: duplicate ip ${JSON.stringify(ip)}`]
      : [],
  );
  const secrets = imagePullSecrets.flatMap(({ name = "" }, index) =>
    imagePullSecrets.slice(0, index).some((earlier) => (earlier.name ?? "") === name)
      ? [`${path}.imagePullSecrets[${index}].name: duplicate name ${JSON.stringify(name)}`]
      : [],
  );
  const unnamed = imagePullSecrets.flatMap(({ name }, index) =>
    name ? [] : [`${path}.imagePullSecrets[${index}].name: invalid empty name ""`],
  );
  return [...aliases, ...secrets, ...unnamed];
}

function fractionWarnings(amounts: Readonly<Record<string, string>> | undefined, path: string): string[] {
  return ["memory", "ephemeral-storage"].flatMap((name) => {
    const amount = quantityOf(amounts?.[name]);
    if (!amount || amount.milliValue() % 1_000n === 0n) return [];
    return [
      `${path}[${name}]: fractional byte value ${JSON.stringify(amount.toString())} is invalid, must be an integer`,
    ];
  });
}

function profileWarnings(spec: PodSpec, annotations: Annotations, prefix: string, isTemplate: boolean): string[] {
  const at = `${prefix}metadata.annotations`;
  const seccomp = 'non-functional in v1.27+; use the "seccompProfile" field instead';
  const appArmor = 'deprecated since v1.30; use the "appArmorProfile" field instead';
  const { seccompProfile, appArmorProfile } = spec.securityContext ?? {};
  return [
    ...(annotations[SECCOMP_POD] === undefined || seccompProfile ? [] : [`${at}[${SECCOMP_POD}]: ${seccomp}`]),
    ...containersOf(spec, `${prefix}spec`).flatMap(([container, path]) => {
      const { name, securityContext } = container;
      const [ofSeccomp, ofAppArmor] = [`${SECCOMP_CONTAINER}${name}`, `${APP_ARMOR}${name}`];
      const hasField = appArmorProfile ?? securityContext?.appArmorProfile;
      return [
        ...(annotations[ofSeccomp] === undefined || securityContext?.seccompProfile
          ? []
          : [`${at}[${ofSeccomp}]: ${seccomp}`]),
        ...(!isTemplate || annotations[ofAppArmor] === undefined || hasField
          ? []
          : [`${at}[${ofAppArmor}]: ${appArmor}`]),
        ...fractionWarnings(container.resources?.limits, `${path}.resources.limits`),
        ...fractionWarnings(container.resources?.requests, `${path}.resources.requests`),
        ...envWarnings(container, path),
      ];
    }),
  ];
}

/** A value that is built upon the one before is meant: `PATH: $(PATH):/bin`. */
function envWarnings({ env = [] }: Container, path: string): string[] {
  return env.flatMap(({ name, value = "", valueFrom }, index) => {
    const isSecond = env.slice(0, index).some((earlier) => earlier.name === name);
    const reference = `$(${name})`;
    const isBuiltUpon = !valueFrom && value !== reference && value.includes(reference);
    if (!isSecond || isBuiltUpon) return [];
    const text = `hides previous definition of ${JSON.stringify(name)}, which may be dropped when using apply`;
    return [`${path}.env[${index}]: ${text}`];
  });
}

function portWarnings(spec: PodSpec, path: string): string[] {
  const all = containersOf(spec, path).flatMap(([{ ports = [] }, at]) =>
    ports.map((port, index) => ({ port, at: `${at}.ports[${index}]` })),
  );
  return all.flatMap(({ port, at }, index) =>
    all
      .slice(0, index)
      .filter((other) => other.port.containerPort === port.containerPort && other.port.protocol === port.protocol)
      .flatMap((other) => {
        const word = clashOf(port, other.port);
        return word ? [`${at}: ${word} port definition with ${other.at}`] : [];
      }),
  );
}

function clashOf(port: ContainerPort, other: ContainerPort): string | undefined {
  const [hostPort, otherHostPort] = [port.hostPort ?? 0, other.hostPort ?? 0];
  const [hostIp, otherHostIp] = [port.hostIP ?? "", other.hostIP ?? ""];
  if (hostIp === otherHostIp && hostPort === otherHostPort) return "duplicate";
  if (hostPort === 0 || otherHostPort === 0) return "overlapping";
  return hostPort === otherHostPort && (hostIp === "") !== (otherHostIp === "") ? "dangerously ambiguous" : undefined;
}

function graceWarnings({ terminationGracePeriodSeconds: seconds = 0 }: PodSpec, path: string): string[] {
  if (seconds >= 0) return [];
  return [`${path}.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1`];
}

function affinityWarnings({ affinity }: PodSpec, path: string): string[] {
  const { podAffinity, podAntiAffinity } = affinity ?? {};
  return Object.entries({ podAffinity, podAntiAffinity }).flatMap(([field, terms]) => {
    const at = `${path}.affinity.${field}`;
    const without = (term: PodAffinityTerm | undefined, one: string): string[] =>
      term?.labelSelector ? [] : [`${one}.labelSelector: ${NO_POD}`];
    return [
      ...(terms?.requiredDuringSchedulingIgnoredDuringExecution ?? []).flatMap((term, index) =>
        without(term, `${at}.requiredDuringSchedulingIgnoredDuringExecution[${index}]`),
      ),
      ...(terms?.preferredDuringSchedulingIgnoredDuringExecution ?? []).flatMap(({ podAffinityTerm }, index) =>
        without(podAffinityTerm, `${at}.preferredDuringSchedulingIgnoredDuringExecution[${index}].podAffinityTerm`),
      ),
    ];
  });
}
